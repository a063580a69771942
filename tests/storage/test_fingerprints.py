"""Equal values have equal fingerprints, others do not; against JSON, and by property."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medgenesis.storage.fingerprints import (
    changes,
    file_fingerprint,
    file_stamps,
    fingerprint,
    record_fingerprint,
)

PROPERTY = settings(max_examples=150, deadline=None, database=None)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def reordered(value, rng):
    """The same value with every mapping in another order."""
    if isinstance(value, dict):
        names = list(value)
        rng.shuffle(names)
        return {name: reordered(value[name], rng) for name in names}
    return [reordered(one, rng) for one in value] if isinstance(value, list) else value


@PROPERTY
@given(VALUES, st.randoms(use_true_random=False))
def test_the_order_of_mappings_does_not_count(value, rng):
    assert fingerprint(reordered(value, rng)) == fingerprint(value)


@PROPERTY
@given(VALUES, VALUES)
def test_equal_exactly_where_sorted_json_is(one, other):
    texts = [json.dumps(value, sort_keys=True) for value in (one, other)]
    assert (fingerprint(one) == fingerprint(other)) is (texts[0] == texts[1])


@dataclass
class Point:
    x: float
    y: float


@dataclass
class Size:
    x: float
    y: float


DIFFERENT = [
    *(None, True, 1, 1.0, "1", b"1", -0.0, 0.0, float("nan"), "None", [], {}, "", 1j),
    *([1, 2], [2, 1], [[1], 2], [1, [2]], ["ab", "c"], ["a", "bc"], ["abc"], {"a": ["b"]}, {"a": {"b": None}}),
    *({1: "a"}, {"1": "a"}, {True: "a"}, {"a": 1, "b": 2}, {"a": 2, "b": 1}, {1}, {1, 2}),
    *(
        np.zeros(()),
        np.zeros(0),
        np.zeros((0, 2)),
        torch.zeros(()),
        torch.zeros(0),
        np.array([1, 256]),
        np.array([256, 1]),
    ),
    *(np.zeros(2), np.zeros((2, 1)), np.zeros((1, 2)), np.zeros(2, np.float32), np.zeros(2, np.int64), np.ones(2)),
    *(torch.zeros(2), torch.zeros(2, 1), torch.zeros(2, dtype=torch.bfloat16), torch.zeros(1, dtype=torch.int64)),
    *(Point(1, 2), Point(2, 1), Size(1, 2), torch.nn.Linear(1, 1), torch.nn.Linear(1, 2)),
]


def test_what_differs_has_another_fingerprint():
    assert len({fingerprint(value) for value in DIFFERENT}) == len(DIFFERENT)


@pytest.mark.parametrize(
    "one, other",
    [
        ([1, "a"], (1, "a")),
        (range(3), [0, 1, 2]),
        ({"a": (1, 2)}, {"a": [1, 2]}),
        (np.float64(0.1), 0.1),
        (np.int32(3), 3),
        ("a/b", Path("a/b")),
        ({3, 1, 2}, frozenset({2, 3, 1})),
        (float("nan"), float("nan")),
        (np.arange(6).reshape(2, 3).T, np.arange(6).reshape(2, 3).T.copy()),
        (torch.arange(6).reshape(2, 3).T, torch.arange(6).reshape(2, 3).T.contiguous()),
        (torch.ones(2, requires_grad=True), torch.ones(2)),
    ],
)
def test_what_is_equal_has_the_same_fingerprint(one, other):
    assert fingerprint(one) == fingerprint(other)


def test_the_weights_of_a_network_count_not_the_object():
    one, other = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    assert fingerprint(one) == fingerprint(other)
    other.running_mean[1] += 1e-3
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize("value", [object(), lambda: 0, {"a": [open]}, np.array([object()]), torch.nn])
def test_what_cannot_be_told_from_others_is_refused(value):
    with pytest.raises(TypeError, match="value: must be|value: an array"):
        fingerprint(value)


def test_the_same_in_every_process():
    value = {"b": {"x", "y", "z"}, "a": [1.5, None]}
    code = "from medgenesis.storage import fingerprint; print(fingerprint({'a': [1.5, None], 'b': {'z', 'y', 'x'}}))"
    for seed in "12":
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == fingerprint(value)


def test_a_file_counts_by_its_content(tmp_path):
    content = np.random.default_rng(0).bytes(2_500_000)  # more than is read at a time
    (tmp_path / "a").write_bytes(content)
    (tmp_path / "b").write_bytes(content)
    (tmp_path / "c").write_bytes(content[:-1] + b"!")
    assert file_fingerprint(tmp_path / "a") == file_fingerprint(str(tmp_path / "b")) != file_fingerprint(tmp_path / "c")


def test_stamps_of_files_and_folders(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).write_bytes(name.encode() * 3)
        os.utime(tmp_path / name, ns=(0, 17))
    assert file_stamps(tmp_path) == [("a", 3, 17), ("b", 3, 17)]
    assert file_stamps(str(tmp_path / "b")) == [("b", 3, 17)]
    assert file_stamps(tmp_path / "absent") == []


def test_a_record_names_nobody_and_ignores_its_order(tmp_path):
    record = {"image": "scan.nii", "patient": "Doe^Jane", "classes": [0, 1]}
    found = record_fingerprint(record)
    assert len(found) == 32 and set(found) <= set("0123456789abcdef")
    assert record_fingerprint(dict(reversed(record.items()))) == found
    assert record_fingerprint({**record, "classes": [1, 1]}) != found


def test_what_lies_in_the_current_folder_is_no_part_of_a_record(tmp_path, monkeypatch):
    """The key of a patient is often the name of the folder that the scan lies in."""
    record = {"image": str(tmp_path / "scan.nii"), "patient": "p00", "section": "training"}
    monkeypatch.chdir(tmp_path)
    before = record_fingerprint(record)
    for name in ("p00", "training"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
        assert record_fingerprint(record) == before


def test_names_of_files_are_relative_or_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.nii", "b.nii"):
        (tmp_path / name).write_bytes(b"1")
    for record in ({"image": "a.nii"}, {"label": ["a.nii", "b.nii"]}, {"t2": str(tmp_path / "a.nii")}):
        os.utime(tmp_path / "a.nii", ns=(0, 0))
        before = record_fingerprint(record)
        os.utime(tmp_path / "a.nii", ns=(0, 1))
        assert record_fingerprint(record) != before, record


@PROPERTY
@given(st.dictionaries(st.text(max_size=2), SCALARS), st.dictionaries(st.text(max_size=2), SCALARS))
def test_changes_are_the_names_that_differ(earlier, now):
    missing = object()
    wanted = {name for name in {*earlier, *now} if earlier.get(name, missing) != now.get(name, missing)}
    assert set(changes(earlier, now)) == wanted
    assert not changes(now, dict(reversed(now.items())))


def test_changes_within_mappings_have_the_name_of_the_inner_setting():
    earlier, now = {"trainer": {"lr": 1, "amp": True}, "a": {}}, {"trainer": {"lr": 2, "amp": True}, "a": 3}
    assert changes(earlier, now) == {"trainer#lr": "1, now it is 2", "a": "{}, now it is 3"}


def test_long_values_are_told_apart_without_being_spelt_out():
    names = [f"patient_{i}.nii.gz" for i in range(50)]
    (said,) = changes({"records": names}, {"records": names[1:]}).values()
    assert "patient" not in said and len(said) < 60
    first, second = said.split(", now it is ")
    assert first.startswith("list ") and second.startswith("list ") and first != second
