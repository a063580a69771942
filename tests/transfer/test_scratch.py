"""Large tables lie in files: the same numbers, and nothing is left."""

import numpy as np
import pytest

from medgenesis.transfer import scratch
from medgenesis.transfer.protocols.knn import Knn, knn
from medgenesis.transfer.protocols.linear import Linear, linear
from medgenesis.transfer.scratch import changed_rows, mean_and_deviation


@pytest.fixture
def vectors(tmp_path):
    generator = np.random.default_rng(0)
    np.save(tmp_path / "features.npy", generator.normal(3, 2, (60, 5)).astype(np.float32))
    return np.load(tmp_path / "features.npy", mmap_mode="r")


def test_a_large_table_lies_beside_its_own_and_is_gone_with_it(vectors, tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "_CHUNK", 7)
    rows = np.array([5, 1, 30, 2, 59, 8, 7, 40, 3])
    mean, deviation = mean_and_deviation(vectors, rows)
    assert mean == pytest.approx(vectors[rows].mean(0), rel=1e-6)
    assert deviation == pytest.approx(vectors[rows].astype(float).std(0))
    here = changed_rows(vectors, rows, lambda some: (some - mean) / deviation)
    monkeypatch.setattr(scratch, "_IN_MEMORY", 0)
    there = changed_rows(vectors, rows, lambda some: (some - mean) / deviation)
    assert isinstance(there, np.memmap) and not isinstance(here, np.memmap) and np.array_equal(here, there)
    assert [path.name for path in tmp_path.iterdir()] == ["features.npy"]


def test_protocols_answer_alike(vectors, monkeypatch):
    labels, sections = np.arange(60) % 3, np.array(["training"] * 3 + ["validation", "test"])[np.arange(60) % 5]
    answers = []
    for most in (2**28, 0):
        monkeypatch.setattr(scratch, "_IN_MEMORY", most)
        answers.append(
            [
                linear(vectors, labels, sections, np.arange(60), Linear((0.1, 1.0))).probabilities,
                *(
                    knn(vectors, labels, sections, np.arange(60), Knn(5, distance=d))[2]
                    for d in ("cosine", "standardised")
                ),
            ]
        )
    assert all(np.array_equal(*pair) for pair in zip(*answers, strict=True))
