"""Weights tell which images they were trained on: through stages, in copies of these, and whatever they are called."""

import gzip
import json
import shutil

import numpy as np
import pytest
import torch
from helpers.toy import ToyCubes, toy_trainer
from torch import nn

from medgenesis.data.image_fingerprints import image_fingerprints
from medgenesis.methods import ModelsGenesis
from medgenesis.networks import UNet3D
from medgenesis.weights import initialise, warn_of_seen
from medgenesis.weights.contents import read_weights_file
from medgenesis.weights.kept import SEEN, keep
from medgenesis.weights.seen import kept_seen, seen_of


def scan(path, seed, air=200_000):
    """Bytes that begin and end alike, as scans in air do, and differ in the middle."""
    body = np.random.default_rng(seed).integers(0, 256, 50_000, dtype=np.uint8).tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(air) + body + bytes(air))
    return {"image": str(path)}


def test_a_copy_is_the_same_image_and_another_of_the_same_size_is_not(tmp_path):
    one, other = scan(tmp_path / "a" / "one.nii", 1), scan(tmp_path / "a" / "other.nii", 2)
    shutil.copy(one["image"], tmp_path / "renamed.nii")
    assert image_fingerprints({"image": str(tmp_path / "renamed.nii")}) == image_fingerprints(one)
    assert image_fingerprints(one) != image_fingerprints(other)
    both = image_fingerprints({"image": [one["image"], other["image"]]})
    assert both == image_fingerprints(one) + image_fingerprints(other)  # channels, one each
    (tmp_path / "packed.nii.gz").write_bytes(gzip.compress((tmp_path / "renamed.nii").read_bytes()))
    assert image_fingerprints({"image": str(tmp_path / "packed.nii.gz")}) != image_fingerprints(one)  # as the page says
    assert image_fingerprints({"image": str(tmp_path / "absent.nii")}) == []
    assert image_fingerprints({**one, "cube": 0}) != image_fingerprints({**one, "cube": 1})


def test_a_folder_of_slices_is_told_in_a_copy_and_by_its_series(tmp_path):
    for number in range(5):
        scan(tmp_path / "p1" / f"{number}.dcm", number, air=100)
        scan(tmp_path / "p2" / f"{number}.dcm", number + 9, air=100)
    shutil.copytree(tmp_path / "p1", tmp_path / "copy")
    found = {name: image_fingerprints({"image": str(tmp_path / name)}) for name in ("p1", "p2", "copy")}
    assert found["p1"] == found["copy"] != found["p2"]
    own = [image_fingerprints({"image": str(tmp_path / "p1"), "series": series}) for series in ("1.2", "1.3")]
    assert own[0] != own[1]


class Listed(ToyCubes):
    """Toy cubes that say what they are made of."""

    def __init__(self, records):
        self.data = records


@pytest.mark.usefixtures("one_thread")
def test_weights_tell_what_they_and_their_start_were_trained_on(tmp_path, caplog):
    records = [scan(tmp_path / "scans" / f"{number}.nii", number) for number in range(6)]
    trained = []

    def train(stage, network, own, epochs=1):
        trainer = toy_trainer(tmp_path / stage, epochs=epochs, network=network)
        trainer.data_loader.dataset.__class__ = Listed
        trainer.data_loader.dataset.data = own
        trainer.run()

    for stage, own in (("first", records[:3]), ("second", records[2:4])):
        network = UNet3D(width=4)
        if trained:
            initialise(network, trained[-1])
        train(stage, network, own)
        trained.append(tmp_path / stage / "models" / "pretrained.pt")
    expected = sorted(one for record in records[:4] for one in image_fingerprints(record))
    for file in ("models/pretrained.pt", "last.pt", "best.pt"):
        assert kept_seen(torch.load(tmp_path / "second" / file, weights_only=True)) == expected
    train("second", UNet3D(width=4), records[2:4], epochs=2)  # which goes on from its checkpoint, not from the first
    assert kept_seen(torch.load(tmp_path / "second" / "last.pt", weights_only=True)) == expected
    assert len(kept_seen(read_weights_file(trained[0]))) == 3
    assert seen_of(ModelsGenesis(nn.Sequential(nn.Conv3d(1, 1, 1)))) is None

    for number in (1, 3, 5):  # copies under other names, in the user's own list
        shutil.copy(records[number]["image"], tmp_path / f"mine_{number}.nii")
    lists = {"training": [records[0]], "validation": [], "test": [f"mine_{number}.nii" for number in (1, 3, 5)]}
    (tmp_path / "list.json").write_text(json.dumps(lists))
    caplog.clear()
    found = warn_of_seen(trained[1], tmp_path / "list.json")
    assert found == {"test": [str(tmp_path / "mine_1.nii"), str(tmp_path / "mine_3.nii")]}
    assert "was trained on 2 of the 3 scans of 'test'" in caplog.text and "mine_5" not in caplog.text
    assert "--check" in caplog.text
    assert warn_of_seen(trained[1], tmp_path / "list.json", ["training"]) == {"training": [records[0]["image"]]}


def test_nothing_is_said_where_nothing_is_known(tmp_path, caplog):
    (tmp_path / "list.json").write_text(json.dumps({"training": [], "test": [scan(tmp_path / "a.nii", 0)]}))
    torch.save(nn.Conv3d(1, 1, 1).state_dict(), tmp_path / "before.pt")
    torch.save(keep(nn.Conv3d(1, 1, 1).state_dict(), SEEN, ["0" * 16]), tmp_path / "others.pt")
    for init in ("scratch", None, tmp_path / "absent.pt", tmp_path / "before.pt", tmp_path / "others.pt"):
        assert warn_of_seen(init, tmp_path / "list.json") == {}
    assert warn_of_seen(tmp_path / "others.pt", tmp_path / "absent.json") == {}
    assert not [record for record in caplog.records if record.levelname == "WARNING" and "trained on" in record.message]
