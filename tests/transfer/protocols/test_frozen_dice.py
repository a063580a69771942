"""Frozen features of a bundle: what is fitted, to which crops, and that nothing of the network is learnt."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from monai.data import DataLoader
from monai.engines import SupervisedEvaluator
from monai.handlers import MeanDice, from_engine
from monai.inferers import SlidingWindowInferer
from monai.transforms import AsDiscreted, Compose, RandShiftIntensityd
from torch.nn.modules.batchnorm import _BatchNorm

from medgenesis.bundles import path
from medgenesis.data import preprocessing
from medgenesis.data.screened_dataset import ScreenedDataset
from medgenesis.networks import UNet3D
from medgenesis.transfer.protocols import frozen_dice

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def data(tmp_path):
    """Noise that is brighter where the label is: one voxel in ten."""
    rng = np.random.default_rng(0)
    for number in range(3):
        label = np.zeros((16, 16, 8), np.uint8)
        label[3:9, number : number + 6, 1:6] = 1
        np.save(tmp_path / f"i{number}.npy", (label * 0.6 + rng.random(label.shape) * 0.4).astype(np.float32))
        np.save(tmp_path / f"l{number}.npy", label)
    records = [{"image": str(tmp_path / f"i{n}.npy"), "label": str(tmp_path / f"l{n}.npy")} for n in range(3)]
    steps = preprocessing(intensity="unit", label_keys=["label"]).transforms
    return ScreenedDataset(records, Compose([*steps, RandShiftIntensityd("image", 0.05, prob=1.0)]), seed=4)


def workflow_of(data, network):
    """What `dice_of_frozen` takes of a bundle's workflow."""
    evaluator = SupervisedEvaluator(
        "cpu",
        DataLoader(data, batch_size=1),
        network,
        inferer=SlidingWindowInferer((16, 16, 8)),
        postprocessing=AsDiscreted(["pred", "label"], argmax=[True, False], to_onehot=2),
        key_val_metric={
            "val_mean_dice": MeanDice(include_background=False, output_transform=from_engine(["pred", "label"]))
        },
    )
    known = {"network": network, "device": torch.device("cpu"), "train#dataset": data, "num_classes": 2}
    parser = SimpleNamespace(get_parsed_content=known.__getitem__, get=lambda: {})
    return SimpleNamespace(parser=parser, evaluator=evaluator)


def test_a_classifier_answers_and_the_network_stays_as_it_was(data, tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = UNet3D(1, 2, width=1, activation=None)
    before = {name: value.clone() for name, value in network.named_parameters()}
    monkeypatch.setattr(frozen_dice, "own_grid_workflow", lambda *_, **__: workflow_of(data, network))
    monkeypatch.setattr(frozen_dice, "check_all_used", lambda *_: None)
    monkeypatch.setattr(frozen_dice, "CROPS", 12)
    dice = frozen_dice.dice_of_frozen([], [], [], tmp_path, init="scratch", seed=0)
    assert dice.shape == (3, 1) and dice.min() > 0.9
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())
    first = next(one for one in network.modules() if isinstance(one, _BatchNorm))
    images = torch.stack([image for image, _ in frozen_dice._crops(data, 0)])
    maps = network.encoder.levels[0][0].conv(images).detach()
    torch.testing.assert_close(first.running_mean, maps.mean(dim=(0, 2, 3, 4)), atol=1e-4, rtol=1e-3)
    assert (tmp_path / "cases.csv").is_file()


def test_crops_are_those_of_the_first_epochs_of_a_seed(data):
    one, same, other = ([image for image, _ in frozen_dice._crops(data, seed)] for seed in (0, 0, 1))
    assert len(one) == frozen_dice.CROPS and all(map(torch.equal, one, same))
    assert len({float(image.mean()) for image in one}) > len(data)  # new chance in each epoch
    assert not all(map(torch.equal, one, other))
    batches = [len(batch) for batch in frozen_dice._batches(itertools.islice(one, 11))]
    assert batches == [8, 3]


@pytest.mark.parametrize(
    "override, known",
    [({}, True), ({"network_def": {"_target_": "monai.networks.nets.SegResNet", "out_channels": 2}}, False)],
)
def test_whether_maps_are_known(data, override, known):
    configs, records = [path("models_genesis_ct") / "configs" / "finetune.yaml"], data.data
    overrides = {"num_classes": 2, "in_channels": 1, "width": 1, **override}
    assert frozen_dice.can_be_frozen(configs, records, overrides) == known
