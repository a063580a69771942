"""What a linear classifier reads from a frozen encoder: nearly all, or nothing, by construction."""

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn
from torch.utils.data import DataLoader

from medgenesis.data import RandAcceptedCropd, preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.handlers import FrozenProbe
from medgenesis.handlers.frozen_probe import _majority, probe_encoder

CPU = torch.device("cpu")


class Network(nn.Module):
    """Its last feature map: the mean of each 4 x 4 x 4 cell, and noise-free copies of it, through batch
    normalisation.
    """

    def __init__(self):
        super().__init__()
        self.encoder = Encoder()
        self.head = nn.Identity()


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool, self.norm, self.drop = nn.AvgPool3d(4), nn.BatchNorm3d(1), nn.Dropout(0.5)

    def forward(self, x):
        return [x, self.drop(self.norm(self.pool(x)))]


def loader(seed, readable, cubes=8, classes=3):
    """Each cell has one class; its voxels' mean tells the class, or a random number does."""
    rng = np.random.default_rng(seed)
    label = rng.integers(classes, size=(cubes, 1, 3, 2, 4))
    shown = label if readable else rng.integers(classes, size=label.shape)
    means = np.eye(classes)[shown] @ np.linspace(0, 1, classes)
    image = means.repeat(4, 2).repeat(4, 3).repeat(4, 4)
    image = image + rng.normal(0, 0.2, image.shape)
    label = label.repeat(4, 2).repeat(4, 3).repeat(4, 4)
    pairs = [{"image": torch.tensor(i, dtype=torch.float32), "label": torch.tensor(x)} for i, x in zip(image, label)]  # noqa: B905
    return DataLoader(pairs, 3)


def test_readable_classes_score_nearly_one_and_random_ones_chance():
    network = Network()
    assert probe_encoder(network, loader(0, True, classes=2), loader(1, True, classes=2), CPU) > 0.98
    scores = [probe_encoder(network, loader(s, False), loader(s + 100, False), CPU) for s in range(10)]
    # 192 test cells: one score's deviation is about sqrt(1/3 * 2/3 / 192) = 0.034, of the mean of ten 0.011
    assert abs(np.mean(scores) - 1 / 3) < 0.045


def test_rare_classes_count_as_much_as_common_ones():
    """One cell in twelve is class 1, two deviations away: answering 0 nearly everywhere would score little over 0.5."""

    def skewed(seed):
        pairs = []
        for i in range(12):
            rng = np.random.default_rng([seed, i])
            label = np.zeros((1, 12, 8, 16), dtype=np.int64)
            label[0, :4, :4, :8] = 1
            image = label + rng.normal(0, 0.5, (1, 3, 2, 4)).repeat(4, 1).repeat(4, 2).repeat(4, 3)
            pairs.append({"image": torch.tensor(image, dtype=torch.float32), "label": torch.tensor(label)})
        return DataLoader(pairs, 5)

    assert probe_encoder(Network(), skewed(0), skewed(1), CPU) > 0.75  # the best is 0.84


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_as_it_was(training):
    network = Network().train(training)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    assert probe_encoder(network, loader(0, True), loader(1, True), CPU) == probe_encoder(
        network, loader(0, True), loader(1, True), CPU
    )  # dropout is off
    assert [module.training for module in network.modules()] == modes
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_an_error_leaves_the_mode_as_it_was():
    network = Network().train()
    with pytest.raises(KeyError):
        probe_encoder(network, DataLoader([{"image": torch.zeros(1, 12, 8, 16)}]), loader(1, True), CPU)
    assert all(module.training for module in network.modules())


def test_one_class_alone_is_refused():
    with pytest.raises(ValueError, match="one class only"):
        probe_encoder(Network(), loader(0, True, classes=1), loader(1, True), CPU)


def test_the_label_of_a_cell_is_its_commonest():
    label = torch.from_numpy(np.random.default_rng(0).choice([0, 2, 7], p=[0.3, 0.4, 0.3], size=(3, 1, 12, 9, 15)))
    found = _majority(label, torch.Size((4, 3, 3)))
    assert found.shape == (3, 4, 3, 3)
    for b, x, y, z in np.ndindex(*found.shape):
        cell = label[b, 0, 3 * x : 3 * x + 3, 3 * y : 3 * y + 3, 5 * z : 5 * z + 5].flatten().tolist()
        counts = {value: cell.count(value) for value in (0, 2, 7)}
        assert counts[int(found[b, x, y, z])] == max(counts.values())
    flat = _majority(label[..., 0], torch.Size((4, 3)))
    thick = _majority(label[..., :1].repeat(1, 1, 1, 1, 2), torch.Size((4, 3, 1)))
    assert torch.equal(flat, thick[..., 0])


def test_as_a_handler_it_probes_every_few_epochs_and_keeps_the_figure_between():
    trainer = Engine(lambda engine, batch: None)
    trainer.method = nn.Module()
    trainer.method.network = Network()
    trainer.state.device = CPU
    probed, figures = [], []

    class Loader(list):
        def __iter__(self):
            probed.append(trainer.state.epoch)
            return super().__iter__()

    FrozenProbe(Loader(loader(0, True, classes=2)), loader(1, True, classes=2), every=2).attach(trainer)
    trainer.add_event_handler(Events.EPOCH_COMPLETED, lambda engine: figures.append(engine.state.metrics["probe"]))
    trainer.run([0], max_epochs=5)
    assert probed == [1, 2, 4]
    assert len(set(figures)) == 1 and figures[0] > 0.98  # the network does not change here


def test_the_probe_of_a_training_reads_volumes_as_that_does(tmp_path):
    datalist = write_phantoms(tmp_path, 2, seed=0, shape=(24, 24, 24), split=(0.5, 0.5, 0.0))
    settings, merge = {"intensity": "mri_percentile", "spacing_mm": 1.5}, {"1": "1-2"}
    found = FrozenProbe.prepared_like(
        preprocessing(**settings, in_channels=1), datalist, merge, size=(8, 16, 8), patches_per_image=3, every=2
    )
    crop = RandAcceptedCropd("image", (8, 16, 8), "foreground", label_keys="label", pad=True)
    labelled = preprocessing(label_keys="label", label_merge=merge, **settings)
    wanted = FrozenProbe.from_datalist(datalist, labelled, crop, 3)
    assert found.every == 2
    for name in ("train_data_loader", "test_data_loader"):
        for one, other in zip(getattr(found, name), getattr(wanted, name), strict=True):
            assert one["image"].shape == (3, 1, 8, 16, 8)
            assert torch.equal(one["image"], other["image"]) and torch.equal(one["label"], other["label"])
    assert FrozenProbe.prepared_like(preprocessing(), None, size=(8, 8, 8)) is None
