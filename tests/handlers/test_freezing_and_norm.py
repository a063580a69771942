"""Parts that stay as they are, statistics estimated again, and restarts that change neither."""

import logging

import numpy as np
import pytest
import torch
from helpers.toy import toy_trainer
from ignite.engine import Events
from ignite.metrics import Average
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.transforms import Compose, RandShiftIntensityd
from torch.nn.modules.batchnorm import _BatchNorm

from medgenesis.data import SeededSampler, preprocessing
from medgenesis.data.screened_dataset import ScreenedDataset
from medgenesis.engines import PretextTrainer, parameter_groups, rate_schedule
from medgenesis.handlers import FreezeParts, ReestimateNorm, SupervisedHandlers
from medgenesis.losses import segmentation_loss
from medgenesis.methods import Supervised
from medgenesis.networks import UNet3D

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(4):
        np.save(tmp_path / f"i{number}.npy", rng.random((16, 16, 8), dtype=np.float32))
        np.save(tmp_path / f"l{number}.npy", rng.integers(0, 2, (16, 16, 8)).astype(np.uint8))
    records = [{"image": str(tmp_path / f"i{n}.npy"), "label": str(tmp_path / f"l{n}.npy")} for n in range(4)]
    steps = [
        *preprocessing(intensity="unit", label_keys=["label"]).transforms,
        RandShiftIntensityd("image", 0.5, prob=1.0),
    ]
    return ScreenedDataset(records, Compose(steps), seed=4)


def build(folder, data, epochs=4, **settings):
    torch.manual_seed(0)
    network = UNet3D(1, 2, width=1, activation=None)
    optimizer = torch.optim.Adam(parameter_groups(network, 0.01, {"encoder": 0.5}, 0.8))
    schedule = rate_schedule(optimizer, settings.pop("schedule", "cosine"), epochs=epochs)
    evaluator = SupervisedEvaluator("cpu", DataLoader(data, batch_size=1), network, key_val_metric={"dice": judged()})
    method = Supervised(network, segmentation_loss("dice_ce", 2))
    loader = DataLoader(data, batch_size=2, sampler=SeededSampler(len(data), 1))
    steps = settings.pop("steps", None)
    handlers = [SupervisedHandlers(folder, evaluator, schedule, **settings)]
    return PretextTrainer("cpu", epochs, loader, method, optimizer, schedule, handlers, seed=5, steps=steps)


def judged():
    """The negative mean loss of the validation."""
    loss = segmentation_loss("dice_ce", 2)

    def negative(items):
        pred, label = (torch.stack([item[key] for item in items]) for key in ("pred", "label"))
        return -loss(pred, label).item()

    return Average(negative)


def part_of(state, part):
    return {name: value.clone() for name, value in state.items() if name.startswith(f"{part}.")}


def differs(one, other):
    return any(not torch.equal(value, other[name]) for name, value in one.items())


def test_a_part_is_as_it_was_until_its_epoch(tmp_path, data):
    trainer = build(tmp_path / "run", data, freeze={"encoder": 2, "decoder": 1})
    network, seen = trainer.method.network, {}
    seen[0] = {part: part_of(network.state_dict(), part) for part in ("encoder", "decoder", "head")}
    trainer.add_event_handler(
        Events.EPOCH_COMPLETED,
        lambda engine: seen.update(
            {engine.state.epoch: {part: part_of(network.state_dict(), part) for part in ("encoder", "decoder", "head")}}
        ),
    )
    trainer.run()
    changed = {epoch: [p for p in seen[0] if differs(seen[epoch - 1][p], seen[epoch][p])] for epoch in (1, 2, 3)}
    assert changed == {1: ["head"], 2: ["decoder", "head"], 3: ["encoder", "decoder", "head"]}, "statistics included"


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
@pytest.mark.parametrize("stop", [3, 4, 6])
def test_a_restart_changes_nothing(tmp_path, data, schedule, stop):
    settings = dict(schedule=schedule, freeze={"encoder": 2}, norm_batches=2, patience=3)
    whole = build(tmp_path / "whole", data, **settings)
    whole.run()
    stopped = build(tmp_path / "stopped", data, **settings)

    def kill(engine):
        if engine.state.iteration == stop:
            raise KeyboardInterrupt

    stopped.add_event_handler(Events.ITERATION_COMPLETED, kill)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    again = build(tmp_path / "stopped", data, **settings)
    again.run()
    for name, value in whole.method.state_dict().items():
        assert torch.equal(value, again.method.state_dict()[name]), name


@pytest.mark.parametrize("interval, end", [(1, {"epochs": 2, "steps": 3}), (2, {"epochs": 3}), (1, {"epochs": 2})])
def test_a_plateau_goes_on_as_if_the_run_had_never_ended(tmp_path, data, interval, end):
    """Two steps an epoch. The validation with which it ended between two others does not count."""
    settings = dict(schedule="plateau", val_interval=interval)
    whole = build(tmp_path / "whole", data, **settings)
    whole.run()
    build(tmp_path / "ended", data, **end, **settings).run()
    again = build(tmp_path / "ended", data, **settings)
    again.run()
    assert again.lr_scheduler.state_dict() == whole.lr_scheduler.state_dict()
    assert whole.lr_scheduler.last_epoch == 4 // interval
    for name, value in whole.method.state_dict().items():
        assert torch.equal(value, again.method.state_dict()[name]), name


def test_statistics_are_the_mean_of_the_batches_under_the_weights_of_now(tmp_path, data):
    trainer = build(tmp_path / "run", data, epochs=1)
    network = trainer.method.network
    handler = ReestimateNorm(2)
    trainer.state.epoch = 1
    first = next(one for one in network.modules() if isinstance(one, _BatchNorm))
    with torch.no_grad():
        first.running_mean.fill_(99)
    handler(trainer)
    images = list(handler._images(trainer))
    assert len(images) == 2
    maps = [network.encoder.levels[0][0].conv(image) for image in images]
    expected = torch.stack([one.mean(dim=(0, 2, 3, 4)) for one in maps]).mean(dim=0)
    torch.testing.assert_close(first.running_mean, expected, atol=1e-5, rtol=1e-4)
    assert first.momentum == 0.1 and not first.training


def test_wrong_settings_are_refused(tmp_path, data):
    with pytest.raises(ValueError, match="freeze: must give epochs"):
        FreezeParts({"neck": 3})
    with pytest.raises(ValueError, match="freeze: must give epochs"):
        FreezeParts({"encoder": "ever"})
    with pytest.raises(ValueError, match="freeze: must be a mapping"):
        FreezeParts("encoder")
    with pytest.raises(ValueError, match="norm_batches: must be at least 1"):
        ReestimateNorm(0)
    method = Supervised(UNet3D(width=1), torch.nn.MSELoss())
    for parts in (["encoder", "decoder", "head"], ["tail"]):
        with pytest.raises(ValueError, match="freeze: must name some of encoder, decoder, head"):
            method.freeze(parts)
    evaluator = SupervisedEvaluator("cpu", DataLoader([], batch_size=1), method.network)
    with pytest.raises(ValueError, match="patience: must have records to validate on"):
        SupervisedHandlers(tmp_path, evaluator, patience=3)


def test_the_epochs_of_freezing_are_said(tmp_path, data, caplog):
    caplog.set_level(logging.INFO)
    build(tmp_path / "run", data, epochs=2, freeze={"encoder": "all", "decoder": 1}).run()
    assert "epoch 1: frozen: decoder, encoder" in caplog.text and "epoch 2: frozen: encoder;" in caplog.text


def test_a_pretext_method_has_no_part_to_freeze(tmp_path):
    with pytest.raises(ValueError, match=r"freeze: must be of a training with labels.*found ModelsGenesis"):
        toy_trainer(tmp_path, extra=[FreezeParts({"encoder": 1})])
