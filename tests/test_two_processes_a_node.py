"""Work that one process of a machine does for all: two gloo processes make data sets of the same volumes."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.two_ranks import both_ran

from medgenesis.data import PatchDataset, RandAcceptedCropd, preprocessing

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of both processes, and what each saved."""
    folder = tmp_path_factory.mktemp("node")
    rng = np.random.default_rng(0)
    for i, shape in enumerate([(10, 12, 9), (9, 9, 14), (11, 8, 8)]):
        np.save(folder / f"{i}.npy", rng.random(shape, dtype=np.float32))
    (folder / "bad.npy").write_bytes(b"no volume")
    records = [{"image": str(folder / name)} for name in ("0.npy", "bad.npy", "1.npy", "2.npy")]
    (folder / "records.json").write_text(json.dumps(records))
    (folder / "tmp").mkdir()
    return folder, *both_ran("helpers.one_node", folder, TMPDIR=str(folder / "tmp"))


@pytest.mark.parametrize("cache", ["disk", "memory", "held"])
def test_each_volume_is_read_once_in_total(run, cache):
    folder, _, _ = run
    read = (folder / f"read_{cache}").read_text().split()
    wanted = ["0.npy", "1.npy", "2.npy", "bad.npy"]
    if cache == "disk":
        wanted.append("bad.npy")  # once more in the pass that stops there: what is bad is not remembered
    assert sorted(read) == wanted


@pytest.mark.parametrize("cache", ["disk", "memory", "none"])
def test_both_processes_have_the_cubes_of_one(run, cache):
    folder, results, _ = run
    records = json.loads((folder / "records.json").read_text())
    crop = RandAcceptedCropd("image", 8, criterion="any")
    alone = PatchDataset(
        [records[i] for i in (0, 2, 3)], preprocessing(intensity="unit"), crop, patches_per_image=2, cache="none"
    )
    for cubes, data in (result[cache] for result in results):
        assert data == alone.data
        assert all(torch.equal(cube, alone[1, i]["image"]) for i, cube in enumerate(cubes)) and len(cubes) == 6
    with (folder / f"{cache}.csv").open() as file:
        assert [Path(row["file"]).name for row in csv.DictReader(file)][:2] == ["0.npy", "bad.npy"]


def test_both_hold_the_same_volumes_and_one_speaks(run):
    _, results, said = run
    for first, second in zip(*(result["held"][0] for result in results), strict=True):
        assert torch.equal(first, second)
    assert ["bad.npy" in text for text in said] == [True, False]


def test_an_error_reaches_both(run):
    _, results, _ = run
    for result in results:
        assert result["error"].startswith("VolumeError") and "bad.npy" in result["error"]
        assert result["other error"].startswith("ZeroDivisionError")


def test_the_wait_outlasts_the_timeout_of_the_training(run):
    folder, results, _ = run
    assert [result["slow"] for result in results] == [{"by": 0}] * 2
    assert [path.name for path in folder.glob("worked_*")] == ["worked_0"]


def test_the_shared_folder_is_gone(run):
    folder, _, _ = run
    assert list((folder / "tmp").glob("medgenesis-*")) == []
