"""Mining of a list in parts: the joined files are those of a run on the whole list."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.mining_run import RESULTS, TINY, mine, parsed

from medgenesis import cli
from medgenesis.data import preprocessing
from medgenesis.errors import VolumeError
from medgenesis.io import LoadVolumed
from medgenesis.mining import MiningRun, MiningShard, VolumeFeatures


@pytest.fixture(scope="module")
def checkpoint(datalist, mined, tmp_path_factory):
    """A folder mined on the whole list by a checkpoint, which saves the time to learn; and its settings."""
    settings = {"features": str(mined / "autoencoder" / "pretrained.pt")}
    folder = tmp_path_factory.mktemp("checkpoint") / "mined"
    mine(datalist, folder, **settings)
    return folder, settings


@pytest.fixture
def reads(monkeypatch):
    """Names of the files that are read."""
    found, call = [], LoadVolumed.__call__

    def counted(self, record):
        found.append(Path(record["image"]).name)
        return call(self, record)

    monkeypatch.setattr(LoadVolumed, "__call__", counted)
    return found


@pytest.mark.parametrize("of", [3, 8])
def test_the_joined_results_are_those_of_the_whole_list(datalist, checkpoint, reads, tmp_path, of):
    whole, settings = checkpoint
    folder = whole.parent / f"parts_of_{of}_{tmp_path.name}"  # as deep in the tree, for the paths in patterns.json
    for number in reversed(range(1, of + 1)):
        mine(datalist, folder, **settings, shard=f"{number}/{of}")
    assert len(reads) == len(set(reads)) == 6, "every volume is read by one part"
    mine(datalist, folder, **settings, shard="merge")
    assert len(reads) == 6, "nothing is read again, but from the cache"
    for name in (RESULTS | {"index.json"}) - {"similarity.json"}:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    mine(datalist, folder, **settings)  # and by the plain command all is done
    assert len(reads) == 6


def test_an_auto_encoder_learns_after_the_parts(datalist, mined, tmp_path):
    folder = mined.parent / tmp_path.name
    for number in (1, 2):
        mine(datalist, folder, shard=f"{number}/2")
        assert not (folder / "shards" / f"{number}_of_2" / "features.npz").exists()
    mine(datalist, folder, shard="merge")
    for name in ("index.json", "features.npz", "patterns.json"):
        assert (folder / name).read_bytes() == (mined / name).read_bytes(), name


def test_missing_stopped_and_other_parts_are_refused(datalist, checkpoint, tmp_path):
    _, settings = checkpoint
    mine(datalist, tmp_path, **settings, shard="1/2")
    with pytest.raises(ValueError, match="found no 2/2"):
        mine(datalist, tmp_path, **settings, shard="merge")
    mine(datalist, tmp_path, **settings, shard="2/2", body_threshold=0.2)
    with pytest.raises(ValueError, match="2_of_2.*body_threshold = 0.2, now it is 0.1"):
        mine(datalist, tmp_path, **settings, shard="merge")
    listed = json.loads(datalist.read_text())
    listed["training"] = listed["training"][:-1]
    shorter = datalist.with_name("shorter.json")
    shorter.write_text(json.dumps(listed))
    with pytest.raises(ValueError, match="1_of_2.*volumes .fingerprint."):
        mine(shorter, tmp_path, **settings, shard="1/2")
    shutil.rmtree(tmp_path / "shards" / "2_of_2")
    (tmp_path / "shards" / "2_of_2").mkdir()
    with pytest.raises(ValueError, match="must have ended the step index.*Run --shard 2/2"):
        mine(datalist, tmp_path, **settings, shard="merge")
    with pytest.raises(ValueError, match="shard: must be a part"):
        MiningShard([], tmp_path, shard="merge")
    with pytest.raises(ValueError, match='shard: must be "merge".*overlay shard'):
        MiningRun(_volumes(datalist), tmp_path, **settings, discovery=_few(), shard="1/2")


def test_skipped_volumes_are_those_of_the_whole_list(datalist, checkpoint, tmp_path):
    _, settings = checkpoint
    copied = shutil.copytree(datalist.parent, tmp_path / "scans") / "datalist.json"
    settings = {**settings, "on_error": "skip", "train_patients": 2, "classes": 2}
    bad = json.loads(copied.read_text())["training"][1]["image"]
    (copied.parent / bad).write_bytes(b"no volume")
    mine(copied, tmp_path / "whole", **settings)
    for number in range(1, 7):
        mine(copied, tmp_path / "parts", **settings, shard=f"{number}/6")
    mine(copied, tmp_path / "parts", **settings, shard="merge")
    for name in ("index.json", "features.npz", "patterns.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def _spoil(folder, images):
    """Make the features of some volumes, which an index of this folder has already, not finite."""
    for index in folder.rglob("index.json"):
        for row in json.loads(index.read_text())["volumes"]:
            if Path(row["image"]).name in images:
                np.save(folder / "whole" / f"{row['stamp']}.npy", np.full((1, 16, 16, 16), np.nan, np.float32))


def test_volumes_skipped_at_the_features_are_those_of_the_whole_list(datalist, checkpoint, tmp_path):
    """A part that has none left is an empty one."""
    _, settings = checkpoint
    settings = {**settings, "on_error": "skip", "train_patients": 2, "classes": 2}
    bad = {Path(json.loads(datalist.read_text())["training"][1]["image"]).name}
    parsed(datalist, tmp_path / "whole", **settings).parser.get_parsed_content("mining").index()
    _spoil(tmp_path / "whole", bad)
    mine(datalist, tmp_path / "whole", **settings)
    for number in range(1, 7):
        mine(datalist, tmp_path / "parts", **{**settings, "features": "bottleneck"}, shard=f"{number}/6")  # the index
    _spoil(tmp_path / "parts", bad)
    for number in range(1, 7):
        mine(datalist, tmp_path / "parts", **settings, shard=f"{number}/6")
    left = [len(VolumeFeatures.load(path).volumes) for path in (tmp_path / "parts" / "shards").rglob("features.npz")]
    assert sorted(left) == [0, 1, 1, 1, 1, 1]
    mine(datalist, tmp_path / "parts", **settings, shard="merge")
    for name in ("index.json", "features.npz", "patterns.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_no_features_at_all(datalist, checkpoint, tmp_path):
    _, settings = checkpoint
    settings = {**settings, "on_error": "skip"}
    mine(datalist, tmp_path, **{**settings, "features": "bottleneck"}, shard="1/1")
    _spoil(tmp_path, {path.name for path in (datalist.parent / "images").iterdir()})
    mine(datalist, tmp_path, **settings, shard="1/1")
    assert VolumeFeatures.load(tmp_path / "shards" / "1_of_1" / "features.npz").vectors.size == 0
    with pytest.raises(VolumeError, match="whose features can be used; found none of 6"):
        mine(datalist, tmp_path, **settings, shard="merge")


def test_no_volume_at_all(datalist, checkpoint, tmp_path):
    _, settings = checkpoint
    copied = shutil.copytree(datalist.parent, tmp_path / "scans") / "datalist.json"
    for path in (copied.parent / "images").iterdir():
        path.write_bytes(b"no volume")
    mine(copied, tmp_path / "parts", **settings, on_error="skip", shard="1/1")
    with pytest.raises(VolumeError, match="found none of 6"):
        mine(copied, tmp_path / "parts", **settings, on_error="skip", shard="merge")


def test_the_command_adds_the_overlay(monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr("monai.bundle.run", lambda **settings: calls.append(settings))
    for shard, overlays in (("2/4", ["mine.yaml", "shard.yaml"]), ("merge", ["mine.yaml"])):
        assert cli.main(["mine", "--datalist", "list.json", "--out", str(tmp_path), "--shard", shard]) == 0
        assert calls[-1]["shard"] == shard
        assert [Path(file).name for file in calls[-1]["config_file"]] == overlays


def _few():
    return {name: TINY[name] for name in ("classes", "train_patients", "validation_patients", "cube_size")}


def _volumes(datalist):
    from monai.data import Dataset

    from medgenesis.mining import records_to_mine

    return Dataset(records_to_mine(datalist), preprocessing())
