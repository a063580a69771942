"""Frozen features of a bundle: what is fitted, to which crops, and that nothing of the network is learnt."""

import copy
import itertools

import numpy as np
import pytest
import torch
from helpers.boxes import write_boxes
from monai.bundle import ConfigParser
from torch.nn.modules.batchnorm import _BatchNorm

from medgenesis.bundles import path
from medgenesis.handlers.probe_first import CROPS
from medgenesis.networks import UNet3D
from medgenesis.networks.voxel_probe import fit_voxel_probe
from medgenesis.transfer.protocols import frozen_dice

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIGS = [path("models_genesis_ct") / "configs" / "finetune.yaml"]
TINY = {"num_classes": 2, "in_channels": 1, "width": 2, "cube_size": [16, 16, 8], "intensity": "unit"}
TINY |= {"spacing_mm": None, "num_workers": 0, "device": "cpu"}
SEED = 3


@pytest.fixture
def records(tmp_path):
    return write_boxes(tmp_path, 5)


def crops_of_finetuning(training, cache_dir):
    """Image and label of what the loader of `finetune.yaml` gives in its first epochs, one after the other."""
    parser = ConfigParser(ConfigParser.load_config_files([str(one) for one in CONFIGS]))
    settings = {**TINY, "seed": SEED, "cache_dir": str(cache_dir), "init": "scratch"}
    root = str(path("models_genesis_ct"))
    parser.update({**settings, "bundle_root": root, "train#dataset#data": tuple(training), "validate#dataset#data": ()})
    loader, found = parser.get_parsed_content("train#dataloader"), []
    for epoch in itertools.count():
        loader.sampler.set_position(epoch)
        for batch in loader:
            images, labels = batch["image"].as_tensor(), batch["label"].as_tensor()
            found += zip(images, labels, strict=True)
        if len(found) >= CROPS:
            return found[:CROPS]


def normalised(network, images):
    """A copy whose batch norms hold the mean, over batches of eight, of the statistics of each batch."""
    each = []
    for first in range(0, len(images), 8):
        one = copy.deepcopy(network).train()
        for norm in (module for module in one.modules() if isinstance(module, _BatchNorm)):
            norm.momentum = 1.0  # keeps the last batch alone
        with torch.no_grad():
            one(torch.stack(images[first : first + 8]))
        each.append(one.state_dict())
    last = copy.deepcopy(network)
    last.load_state_dict({name: torch.stack([state[name].float() for state in each]).mean(0) for name in each[0]})
    return last.eval()


def dice_by_hand(probe, record):
    image, label = (torch.from_numpy(np.load(record[name])) for name in ("image", "label"))
    with torch.no_grad():
        found = probe(image[None, None])[0].argmax(0) == 1
    return 2 * int((found & (label == 1)).sum()) / int(found.sum() + (label == 1).sum())


@pytest.mark.parametrize("start", ["weights", "scratch"])
def test_dice_is_that_of_a_slow_computation(records, tmp_path, start):
    torch.manual_seed(SEED if start == "scratch" else 7)
    network = UNet3D(1, 2, width=2, activation=None)
    torch.save(network.state_dict(), tmp_path / "weights.pt")
    init = "scratch" if start == "scratch" else str(tmp_path / "weights.pt")
    training, test = records[:3], records[3:]
    dice = frozen_dice.dice_of_frozen(CONFIGS, training, test, tmp_path / "run", init=init, seed=SEED, overrides=TINY)
    crops = crops_of_finetuning(training, tmp_path / "crops")
    same = normalised(network, [image for image, _ in crops])
    probe = fit_voxel_probe(same, crops, 2, per_class=10_000 // (48 * 2), seed=SEED, alike=False)
    expected = [[dice_by_hand(probe, record)] for record in test]
    assert dice == pytest.approx(np.array(expected), abs=5e-3)
    assert 0.3 < dice.min() and dice.max() < 0.999, "neither nothing nor all is found"
    assert (tmp_path / "run" / "cases.csv").is_file()
