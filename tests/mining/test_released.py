"""The released files as a training set: every row once, as it is, with its class."""

import numpy as np
import pytest
import torch

from medgenesis.errors import DatalistError
from medgenesis.mining import ReleasedCubes, released_dataset


@pytest.fixture
def files(tmp_path):
    """Three classes of two patients at two resolutions, the third resolution without content; no row of the last."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3.0), 2)[:-1, None]
    for kind, numbers in (("train", (1, 2, 3)), ("val", (1,))):
        for number in numbers:
            cubes = rng.random((5, 16, 16, 8)) * (number < 3)
            np.save(tmp_path / f"{kind}_data{number}_vwGen_ex_ref_fold1.0.npy", cubes)
            np.save(tmp_path / f"{kind}_label{number}_vwGen_ex_ref_fold1.0.npy", labels)
    return tmp_path


def test_each_row_is_a_sample_with_its_class(files):
    table = ReleasedCubes(files, classes=2)
    assert table.num_classes == 2 and table.settings["cube_size"] == [16, 16, 8]
    training = released_dataset(table, "training")
    assert (len(training), len(released_dataset(table, "validation"))) == (8, 4)
    stored = np.load(files / "train_data1_vwGen_ex_ref_fold1.0.npy")
    for i in range(4):
        sample = training[i]
        np.testing.assert_allclose(sample["image"][0].numpy(), stored[i].astype(np.float32), atol=1e-6)
        assert sample["class"] == i // 2
    (batch,) = released_dataset(table, "validation").loader(4, fixed=True)
    assert batch["class"].dtype == torch.int64 and batch["image"].shape == (4, 1, 16, 16, 8)


def test_more_classes_than_there_are_is_an_error(files):
    with pytest.raises(DatalistError, match="must hold the 4 classes"):
        ReleasedCubes(files, classes=4)
