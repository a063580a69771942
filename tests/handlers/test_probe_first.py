"""Linear probing before fine-tuning: when the head is fitted, to what, and when it is left alone."""

import logging

import numpy as np
import pytest
import torch
from helpers.boxes import write_boxes
from ignite.engine import Events
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.networks.nets import SegResNet
from monai.transforms import Compose, RandShiftIntensityd

from medgenesis.data import SeededSampler, preprocessing
from medgenesis.data.screened_dataset import ScreenedDataset
from medgenesis.engines import PretextTrainer
from medgenesis.handlers import ProbeFirst, SupervisedHandlers
from medgenesis.handlers.first_crops import FirstCrops
from medgenesis.handlers.probe_first import CROPS, reestimate_norms_of_crops
from medgenesis.losses import segmentation_loss
from medgenesis.methods import Supervised
from medgenesis.networks import UNet3D
from medgenesis.weights import initialise, load_pretrained, with_settings

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def data(tmp_path):
    records = write_boxes(tmp_path, 3)
    steps = preprocessing(intensity="unit", label_keys=["label"]).transforms
    return ScreenedDataset(records, Compose([*steps, RandShiftIntensityd("image", 0.05, prob=1.0)]), seed=4)


def build(data, handlers, epochs=3, network=None):
    torch.manual_seed(0)
    network = network or UNet3D(1, 2, width=2, activation=None, head_levels="all")
    method = Supervised(network, segmentation_loss("dice_ce", 2))
    loader = DataLoader(data, batch_size=2, sampler=SeededSampler(len(data), 1))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    return PretextTrainer("cpu", epochs, loader, method, optimizer, None, handlers, seed=5)


def first_loss(trainer):
    losses = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: losses.append(engine.state.output[0]["loss"]))
    trainer.run()
    return float(losses[0])


def test_the_first_loss_is_lower(data):
    assert first_loss(build(data, [ProbeFirst()])) < first_loss(build(data, [])) - 0.1


def with_checkpoints(folder, data, epochs, stop_after=None):
    validator = SupervisedEvaluator("cpu", DataLoader(ScreenedDataset([], None)), torch.nn.Identity())
    trainer = build(data, [SupervisedHandlers(folder, validator, probe_first=True)], epochs)
    if stop_after is not None:
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED, lambda engine: engine.state.iteration == stop_after and engine.terminate()
        )
    return trainer


def test_a_run_that_is_stopped_in_its_first_epoch_is_continued_and_not_fitted_again(tmp_path, data, monkeypatch):
    whole = with_checkpoints(tmp_path / "whole", data, 3)
    whole.run()
    broken = with_checkpoints(tmp_path / "broken", data, 3, stop_after=1)
    broken.run()
    assert (broken.state.epoch, broken.state.iteration) == (1, 1)
    torch.save(broken.checkpoint(), tmp_path / "broken" / "last.pt")
    called = []
    monkeypatch.setattr("medgenesis.handlers.probe_first.begin_head", lambda *args: called.append(args))
    again = with_checkpoints(tmp_path / "broken", data, 3)
    again.run()
    assert not called and again.state.iteration == whole.state.iteration
    for key, value in whole.method.state_dict().items():
        assert torch.equal(value, again.method.state_dict()[key]), key


def test_a_head_that_was_loaded_stays(data, caplog):
    source = UNet3D(1, 2, width=2, activation=None, head_levels="all")
    weights = with_settings(source.state_dict(), {"num_classes": 2})
    network = initialise(UNet3D(1, 2, width=2, activation=None, head_levels="all"), weights)
    seen = []
    trainer = build(data, [ProbeFirst()], 1, network)
    trainer.add_event_handler(Events.ITERATION_STARTED(once=1), lambda engine: seen.append(head_of(network)))
    with caplog.at_level(logging.INFO):
        trainer.run()
    assert "the head was loaded with the weights" in caplog.text
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in seen[0].items())


def head_of(network):
    return {key: value.clone() for key, value in network.state_dict().items() if key.startswith("head.")}


@pytest.mark.parametrize("levels", ["last", "all"])
def test_a_head_that_did_not_come_with_the_weights_is_fitted(data, caplog, levels):
    network = UNet3D(1, 2, width=2, activation=None, head_levels=levels)
    load_pretrained(network, UNet3D(1, 1, width=2).state_dict())
    before = head_of(network)
    with caplog.at_level(logging.INFO):
        build(data, [ProbeFirst()], 1, network).run()
    assert f"the head begins as a linear classifier of {CROPS} crops" in caplog.text
    assert not any(torch.equal(value, before[key]) for key, value in head_of(network).items())


def test_norms_are_estimated_from_batches_of_eight_of_one_shape(data):
    network, seen = UNet3D(1, 2, width=2), []
    network.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    images = [image for image, _ in FirstCrops(data, 0).first(11)]
    reestimate_norms_of_crops(network, [*images, images[0][:, :8]], "cpu")
    assert seen == [8, 3, 1]


class Slabs(torch.utils.data.Dataset):
    """Crops of which those of one epoch show the structure, or none do."""

    def __init__(self, shown):
        self.shown, self.read = shown, []

    def __len__(self):
        return 2

    def __getitem__(self, key):
        self.read.append(key)
        label = torch.zeros(1, 16, 16, 8)
        if key.epoch == self.shown:
            label[:, 4:9] = 1
        noise = torch.rand(label.shape, generator=torch.Generator().manual_seed(2 * key.epoch + key.index))
        return {"image": label + noise, "label": label}


@pytest.mark.parametrize(("shown", "said"), [(100, "classifier of 480 crops"), (-1, "head begins at random")])
def test_crops_that_show_one_class_alone_are_looked_beyond(caplog, shown, said):
    network, begun = UNet3D(1, 2, width=2, activation=None, head_levels="all"), {}
    before = head_of(network)
    slabs, read = Slabs(shown), []
    trainer = build(slabs, [ProbeFirst()], 1, network)
    trainer.add_event_handler(Events.EPOCH_STARTED, lambda _: read.extend(slabs.read))  # before the first batch
    trainer.add_event_handler(Events.ITERATION_STARTED(once=1), lambda _: begun.update(head_of(network)))
    with caplog.at_level(logging.INFO):
        trainer.run()
    assert said in caplog.text
    assert {torch.equal(value, before[key]) for key, value in begun.items()} == {shown < 0}
    assert len(read) == len(set(read)) == 480


def test_a_head_of_a_pretext_with_as_many_outputs_is_fitted(data, caplog):
    """Two channels are restored, two classes are to be told: the shapes agree, the task does not."""
    source = with_settings(UNet3D(1, 2, width=2).state_dict(), {"width": 2, "in_channels": 1})
    network = initialise(UNet3D(1, 2, width=2, activation=None), source)
    with caplog.at_level(logging.INFO):
        build(data, [ProbeFirst()], 1, network).run()
    assert "the head begins as a linear classifier" in caplog.text


def test_another_network_is_refused_first(data):
    with pytest.raises(ValueError, match="probe_first: the network must be a UNet3D or UNet25D; found SegResNet"):
        build(data, [ProbeFirst()], 1, SegResNet(3, 8, 1, 2)).run()


def test_it_is_the_fit_that_lowers_the_first_losses(data):
    """With the warm-up of the overlay; without, Adam's first steps of the whole rate move every weight at once."""

    def losses(handlers):
        trainer, found = build(data, handlers, 5), []
        schedule = torch.optim.lr_scheduler.LambdaLR(trainer.optimizer, lambda step: min(1.0, (step + 1) / 10))
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda _: schedule.step())
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED, lambda engine: found.append(float(engine.state.output[0]["loss"]))
        )
        trainer.run()
        return np.mean(found[:5])

    assert losses([ProbeFirst()]) < losses([]) - 0.1
