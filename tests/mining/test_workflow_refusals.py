"""What a run of the config mine.yaml refuses, and when."""

import json
import os
import shutil
import sys

import pytest
import torch
from helpers.mining_run import Unread, contents, dark, mine, rescale
from monai.data import Dataset

from medgenesis.engines import PretextTrainer
from medgenesis.errors import CheckpointError, DatalistError, MissingPackageError, VolumeError
from medgenesis.mining import (
    MiningRun,
    PatternTable,
    records_to_mine,
)


@pytest.mark.parametrize(
    "settings, file",
    [
        ({"width": 4}, "autoencoder/pretrained.pt"),
        ({"features": "unet"}, "autoencoder/pretrained.pt"),
        ({"intensity": {"preset": "custom", "a_min": -1000, "a_max": 999}}, "autoencoder/pretrained.pt"),
        ({"volume_size": [16, 16, 8]}, "autoencoder/pretrained.pt"),
        ({"classes": 2}, "patterns.json"),
        ({"min_distance": 4}, "patterns.json"),
        ({"crop_criterion": "foreground"}, "patterns.json"),
        ({"multi_resolution": True}, "patterns.json"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_other_settings_overwrite_nothing(datalist, mined, settings, file):
    before = contents(mined)
    with pytest.raises(ValueError, match=f"{file}: .*it was made with .*choose another folder, or remove"):
        mine(datalist, mined, **settings)
    assert contents(mined) == before


def test_other_weights_are_other_settings(datalist, mined, described, tmp_path):
    mine(datalist, tmp_path, **described)
    weights = torch.load(described["features"], weights_only=True)
    weights["encoder.levels.0.0.conv.weight"] *= 2
    torch.save(weights, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"features.npz: .*it was made with weights \(fingerprint\)"):
        mine(datalist, tmp_path, features=str(tmp_path / "other.pt"))


def test_volumes_that_have_changed_are_other_volumes(datalist, again, tmp_path):
    copied = shutil.copytree(datalist.parent, tmp_path / "moved") / "datalist.json"
    with pytest.raises(ValueError, match=r"was made with volumes \(fingerprint\)"):
        mine(copied, again)
    image = next((copied.parent / "images").iterdir())
    mine(copied, tmp_path / "new", features=str(again / "autoencoder" / "pretrained.pt"))
    os.utime(image, ns=(0, 0))
    with pytest.raises(ValueError, match=r"index.json: .*it was made with volumes \(fingerprint\)"):
        mine(copied, tmp_path / "new", features=str(again / "autoencoder" / "pretrained.pt"))
    image.unlink()
    with pytest.raises(DatalistError, match=image.name):
        mine(copied, tmp_path / "new")
    with pytest.raises(
        DatalistError, match=f"patterns.json: its volumes must be there; found 1 of 6 absent, the first .*{image.name}"
    ):
        PatternTable.load(tmp_path / "new" / "patterns.json")


def test_a_training_without_weights_is_no_success(datalist, tmp_path, monkeypatch):
    monkeypatch.setattr(PretextTrainer, "run", lambda self: None)
    with pytest.raises(CheckpointError, match="pretrained.pt: must be written by the training"):
        mine(datalist, tmp_path)
    assert not json.loads((tmp_path / "steps.json").read_text())["train_autoencoder"]["finished"]


@pytest.mark.parametrize(
    "settings, error, said",
    [
        (
            {"discovery": {"train_patients": 5}},
            DatalistError,
            "train_patients: must .*found 5 .* 4 patients of section 'training'",
        ),
        ({"discovery": {"classes": 5}}, DatalistError, "classes: must be at most .*found 5"),
        ({"discovery": {"validation_patients": 3}}, DatalistError, "2 patients of section 'validation'"),
        ({"discovery": {"criterion": "heart"}}, ValueError, "heart"),
        ({"discovery": {"coordinates": "mm"}}, ValueError, "coordinates: must be one of auto, voxel, body; found 'mm'"),
        ({"discovery": {"index": "tree"}}, ValueError, "index: must be one of"),
        ({"discovery": {"cube_size": [8, 8]}}, ValueError, "cube_size: must be three sides"),
        ({"discovery": {"classes": 1}}, ValueError, "classes: must be at least 2"),
        ({"discovery": {"clases": 3}}, TypeError, "clases"),
        ({"volume_size": [16, 10, 16]}, ValueError, "volume_size: .* divide by 8.*found .*--size 16 8 16"),
        ({"features": "unet", "volume_size": [16, 16, 2]}, ValueError, "volume_size: .*--size 16 16 8"),
        ({"features": "bottelneck"}, ValueError, "bottleneck, unet or the file of a checkpoint; found 'bottelneck'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_work_is_said_before_anything_is_read(datalist, tmp_path, settings, error, said):
    records = records_to_mine(datalist)
    discovery = {"classes": 3, "train_patients": 3, "validation_patients": 2, **settings.pop("discovery", {})}
    with pytest.raises(error, match=said):
        MiningRun(Dataset(records, Unread()), tmp_path / "run", discovery=discovery, **settings)
    assert not (tmp_path / "run").exists()


def test_a_missing_index_is_said_before_anything_is_read(datalist, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    few = {"classes": 3, "train_patients": 3, "validation_patients": 2, "index": "faiss"}
    with pytest.raises(MissingPackageError, match="pip install"):
        MiningRun(Dataset(records_to_mine(datalist), Unread()), tmp_path, discovery=few)


def test_copies_of_any_size_go_with_a_checkpoint(datalist, mined, described, tmp_path):
    mine(datalist, tmp_path / "run", **described, volume_size=[10, 12, 14])
    assert (tmp_path / "run" / "patterns.json").is_file()


def test_cubes_that_no_network_of_ours_takes_are_said(datalist, tmp_path, caplog):
    few = {"classes": 3, "train_patients": 3, "validation_patients": 2}
    MiningRun(Dataset(records_to_mine(datalist), Unread()), tmp_path, discovery={**few, "cube_size": [16, 16, 8]})
    assert not caplog.text
    MiningRun(Dataset(records_to_mine(datalist), Unread()), tmp_path, discovery={**few, "cube_size": [16, 16, 6]})
    assert "[16, 16, 6] voxels: UNet3D and YNet3D learn from cubes whose sides divide by 8" in caplog.text


@pytest.mark.parametrize(
    "change, settings, said",
    [
        (
            lambda path: None,
            {"cube_size": [8, 8, 24]},
            r"as large as the cube \(8, 8, 24\); found shape \(24, 24, 20\)",
        ),
        (lambda path: rescale(path), {}, "more of one patient than of another; found"),
        (dark, {"coordinates": "body"}, "need its body box.*Lower `body_threshold`"),
    ],
    ids=["cube", "spacing", "body"],
)
def test_what_volumes_cannot_give_is_said_before_anything_is_learnt(
    datalist, tmp_path, monkeypatch, change, settings, said
):
    monkeypatch.setattr(PretextTrainer, "run", lambda self: pytest.fail("learnt before the volumes were checked"))
    copied = shutil.copytree(datalist.parent, tmp_path / "scans") / "datalist.json"
    change(sorted((copied.parent / "images").iterdir())[3])
    with pytest.raises(VolumeError, match=said):
        mine(copied, tmp_path / "run", **settings)
    assert set(json.loads((tmp_path / "run" / "steps.json").read_text())) == {"index"}


def test_features_that_tell_nobody_apart_are_no_features(datalist, described, tmp_path):
    weights = torch.load(described["features"], weights_only=True)
    torch.save({name: torch.zeros_like(value) for name, value in weights.items()}, tmp_path / "zero.pt")
    for _ in range(2):
        with pytest.raises(CheckpointError, match="zero.pt: .*the same features for 6 volumes.*learnt nothing"):
            mine(datalist, tmp_path / "run", features=str(tmp_path / "zero.pt"))
    assert not (tmp_path / "run" / "patterns.json").exists()


def test_a_folder_of_version_0_1_is_refused_with_what_can_be_kept(datalist, again):
    record = json.loads((again / "steps.json").read_text())
    old = dict(zip(("autoencoder", "features", "patterns", "images"), list(record.values())[1:], strict=True))
    (again / "steps.json").write_text(json.dumps(old, indent=1))
    before = contents(again)
    with pytest.raises(ValueError, match=r"0\.1.*features=.*autoencoder/pretrained.pt"):
        mine(datalist, again)
    assert contents(again) == before
