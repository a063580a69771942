"""The configs of masked_autoencoder_ct, run as a user runs them, on tiny phantoms."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import torch

BLOCKS = {"block_size": 8, "crop_criterion": "foreground"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory, copied):
    """The bundle, pre-trained for two epochs."""
    bundle = copied("masked_autoencoder_ct", tmp_path_factory.mktemp("masked"))
    bundle.run("pretrain", **BLOCKS)
    return bundle


def test_hidden_voxels_are_what_is_measured(trained):
    run = trained.root / "runs" / "pretrain"
    assert {"last.pt", "best.pt", "metrics.csv", "images", "restoration.csv"} <= {path.name for path in run.iterdir()}
    with (run / "metrics.csv").open(newline="") as file:
        losses = [float(row["val_restoration"]) for row in csv.DictReader(file)]
    with (run / "restoration.csv").open(newline="") as file:
        errors = {row["answer"]: float(row["mean squared error"]) for row in csv.DictReader(file)}
    assert 0 < min(losses) < 1 and 0 < min(errors.values()) and errors["network"] != errors["corrupted cube"]


def test_normalised_targets_train_and_are_not_measured(trained, tmp_path):
    linear = {"method#normalise": 8, "network_def#activation": "none"}
    folders = {"output_dir": str(tmp_path), "weights": str(tmp_path / "weights.pt")}
    trained.run("pretrain", **BLOCKS, **linear, **folders, pretrain_epochs=1)
    assert (tmp_path / "weights.pt").exists() and not (tmp_path / "restoration.csv").exists()


def test_other_tasks_take_the_weights_without_the_mask_tokens(trained):
    pretrained = torch.load(trained.root / "models" / "pretrained.pt", weights_only=True)
    assert {name.split(".")[0] for name in pretrained} == {"encoder", "decoder", "head", "mask_tokens"}
    for task in ("finetune", "embed"):
        network = trained.workflow(task, kind=None).parser.get_parsed_content("network")
        for name, value in network.state_dict().items():
            assert (task == "finetune" and name.startswith("head.")) or torch.equal(value, pretrained[name]), name


def test_volumes_are_restored_where_blocks_are_hidden(trained, phantoms, tmp_path):
    trained.run("restore", kind=None, output_dir=str(tmp_path), block_size=8)
    assert len(list(tmp_path.glob("phantom_*"))) == 4 * len(json.loads(phantoms.read_text())["validation"])
    for path in tmp_path.glob("*_original.nii.gz"):
        kinds = (str(path).replace("original", kind) for kind in ("original", "corrupted", "restored"))
        original, masked, restored = (nib.load(kind).get_fdata() for kind in kinds)
        same = [np.ptp(block) == 0 for block in blocks(masked)]
        assert 0.75 <= np.mean(same) < 1  # where air is seen, blocks are constant too
        shown = [(a, b) for a, b in zip(blocks(original), blocks(masked), strict=True) if np.array_equal(a, b)]
        changed = [not np.array_equal(a, b) for a, b in zip(blocks(restored), blocks(masked), strict=True)]
        assert len(shown) >= len(same) // 4 and np.mean(changed) == 0.75


def blocks(volume):
    """Its blocks of 8 voxels a side."""
    sides = [side // 8 for side in volume.shape]
    split = volume.reshape(sides[0], 8, sides[1], 8, sides[2], 8)
    return split.transpose(0, 2, 4, 1, 3, 5).reshape(-1, 8, 8, 8)
