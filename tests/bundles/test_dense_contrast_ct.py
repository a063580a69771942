"""The configs of dense_contrast_ct, run as a user runs them, on tiny phantoms."""

import csv
import itertools

import numpy as np
import pytest
import torch

from medgenesis.weights import settings_of


@pytest.fixture(scope="module")
def trained(tmp_path_factory, copied):
    """The bundle, pre-trained for two epochs."""
    bundle = copied("dense_contrast_ct", tmp_path_factory.mktemp("contrast"))
    bundle.run("pretrain", features=8)
    return bundle


def test_voxels_are_matched_and_cubes_shown(trained):
    run = trained.root / "runs" / "pretrain"
    assert {"last.pt", "best.pt", "metrics.csv", "report.html"} <= {path.name for path in run.iterdir()}
    assert list((run / "images").glob("*.png"))
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(0 <= float(row["val_matched"]) <= 1 and float(row["val_loss"]) > 0 for row in rows)
    assert settings_of(trained.root / "models" / "pretrained.pt")["features"] == 8


def test_both_cubes_are_of_the_size_that_is_set_and_overlap_as_their_offset_says(trained):
    parser = trained.workflow("pretrain", features=8, corrupt={
        "_target_": "medgenesis.transforms.RandTwoCubesd", "keys": "image", "size": "@cube_size", "corrupt": []
    }).parser  # fmt: skip
    size, dataset = parser.get_parsed_content("cube_size"), parser.get_parsed_content("train#dataset")
    for epoch, index in itertools.product(range(4), range(len(dataset))):
        sample = dataset[epoch, index]
        assert sample["image"].shape[1:] == sample["other"].shape[1:] == torch.Size(size)
        offset = sample["offset"].tolist()
        here = tuple(slice(max(0, step), side + min(0, step)) for step, side in zip(offset, size, strict=True))
        there = tuple(slice(max(0, -step), side + min(0, -step)) for step, side in zip(offset, size, strict=True))
        assert np.prod([part.stop - part.start for part in here]) >= np.prod(size) / 8
        assert torch.equal(sample["image"][0][here], sample["other"][0][there])


def test_finetuning_takes_encoder_and_decoder(trained):
    pretrained = torch.load(trained.root / "models" / "pretrained.pt", weights_only=True)
    network = trained.workflow("finetune").parser.get_parsed_content("network")
    for name, value in network.state_dict().items():
        assert name.startswith("head.") or torch.equal(value, pretrained[name]), name
