"""Volumes that several machines check together: two gloo processes, each with a host name of its own."""

import json

import numpy as np
import pytest
import torch
from helpers.two_ranks import both_ran

from medgenesis.data import PatchDataset, RandAcceptedCropd, preprocessing

pytestmark = pytest.mark.slow
GOOD = [f"{i}.npy" for i in range(5)]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder that both machines see, what each saved, and what each said."""
    folder = tmp_path_factory.mktemp("machines")
    rng = np.random.default_rng(0)
    for name in GOOD:
        np.save(folder / name, rng.random((10, 12, 9), dtype=np.float32))
    (folder / "bad.npy").write_bytes(b"no volume")
    records = [{"image": str(folder / name)} for name in (*GOOD[:2], "bad.npy", *GOOD[2:])]
    (folder / "records.json").write_text(json.dumps(records))
    return folder, *both_ran("helpers.two_machines", folder)


@pytest.mark.parametrize("cache", ["disk", "compressed", "none"])
def test_with_one_folder_each_volume_is_read_once_in_all(run, cache):
    folder, _, said = run
    read = (folder / f"read_{cache}").read_text().split()
    cut = 2 * len(GOOD) * 2 if cache == "none" else 0  # two machines cut two cubes a volume, from the files
    assert len([name for name in read if name != "bad.npy"]) == len(GOOD) + cut
    assert set(read) == {*GOOD, "bad.npy"}
    assert all("3 of 6 volumes are read by machine" in text for text in said)


def test_with_a_disk_of_its_own_each_machine_reads_all_of_them_once(run):
    folder, _, _ = run
    for rank in range(2):
        read = (folder / f"machine{rank}" / "read_disk").read_text().split()
        assert sorted(name for name in read if name != "bad.npy") == GOOD


@pytest.mark.parametrize("cache", ["disk", "compressed", "none", "memory", "apart"])
def test_both_machines_have_the_cubes_of_one(run, cache):
    folder, results, _ = run
    records = json.loads((folder / "records.json").read_text())
    crop = RandAcceptedCropd("image", 8, criterion="any")
    good = [record for record in records if "bad" not in record["image"]]
    alone = PatchDataset(good, preprocessing(intensity="unit"), crop, patches_per_image=2, cache="none")
    for cubes, data in (result[cache] for result in results):
        assert data == good
        assert all(torch.equal(cube, alone[1, i]["image"]) for i, cube in enumerate(cubes)) and len(cubes) == 10


def test_a_bad_volume_stops_both(run):
    for result in run[1]:
        assert result["error"].startswith("VolumeError") and "bad.npy" in result["error"]


def test_at_a_bad_volume_the_other_machine_ends_its_share(run):
    """The first of six is bad: machine 0 reads it alone, machine 1 the first of its three; both read it again."""
    folder, results, _ = run
    for rank, share in enumerate(["bad.npy", GOOD[0]]):
        assert results[rank]["stopped"].startswith("VolumeError")
        assert (folder / f"machine{rank}" / "read_stopped").read_text().split() == [share, "bad.npy"]
