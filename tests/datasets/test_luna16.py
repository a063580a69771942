"""LUNA16 by its published folds, as scans and as prepared cubes."""

import logging

import numpy as np
import pytest

from medgenesis.data import load_datalist, preprocessing, write_datalist
from medgenesis.datasets import luna16_datalist
from medgenesis.errors import DatalistError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


FOLDS = {"training": range(5), "validation": range(5, 7), "test": range(7, 10)}


def test_the_luna16_layout(tmp_path):
    touch(
        tmp_path,
        *(f"subset{fold}/1.3.6.{fold}.{i}.{end}" for fold in range(10) for i in (1, 2) for end in ("mhd", "raw")),
    )
    datalist = luna16_datalist(tmp_path)
    for section, folds in FOLDS.items():
        names = [record["image"].removeprefix(f"{tmp_path}/") for record in datalist[section]]
        assert names == [f"subset{fold}/1.3.6.{fold}.{i}.mhd" for fold in folds for i in (1, 2)]


def test_the_published_cubes_load_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    stacks = {fold: rng.random((2, 64, 64, 32)) for fold in (0, 5, 9)}
    for fold, stack in stacks.items():
        np.save(tmp_path / f"bat_32_{'s_' if fold else ''}64x64x32_{fold}.npy", stack)
    np.save(tmp_path / "bat_32_64x64x32_9.npy", np.zeros((1, 64, 64, 32)))  # of two, the trainer's own file counts
    write_datalist(luna16_datalist(tmp_path), tmp_path / "datalist.json")
    steps = preprocessing(intensity="unit")
    for section, fold in (("training", 0), ("validation", 5), ("test", 9)):
        records = load_datalist(tmp_path / "datalist.json", section)
        cubes = [steps(record)["image"] for record in records]
        assert [record["cube"] for record in records] == [0, 1]
        for cube, expected in zip(cubes, stacks[fold], strict=True):
            np.testing.assert_array_equal(cube[0].numpy(), expected.astype(np.float32))


def test_what_is_absent(tmp_path, caplog):
    with pytest.raises(DatalistError, match="must hold subset0..9.*found neither"):
        luna16_datalist(tmp_path)
    with pytest.raises(DatalistError, match="must be a folder"):
        luna16_datalist(tmp_path / "absent")
    touch(tmp_path, "subset3/a.mhd", "subset8/b.mhd")
    with caplog.at_level(logging.WARNING):
        datalist = luna16_datalist(tmp_path)
    assert "folds 0, 1, 2, 4, 5, 6, 7, 9" in caplog.text
    assert [len(datalist[section]) for section in FOLDS] == [1, 0, 1]
