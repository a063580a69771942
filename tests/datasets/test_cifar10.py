"""CIFAR-10 on miniature files of both published versions; of a pickle nothing runs."""

import os
import pickle

import numpy as np
import pytest

from medgenesis.datasets.cifar10 import cifar10_datalist
from medgenesis.errors import DatalistError
from medgenesis.io.colour import load_colour
from medgenesis.transfer.study_set import open_study_set

NAMES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]


def images(number, count=20):
    data = np.random.default_rng(number).integers(0, 256, (count, 3072), dtype=np.uint8)
    return data, [(index + number) % 10 for index in range(count)]


def pickled(folder, protocol=2):
    folder.mkdir()
    for number, name in enumerate(NAMES):
        data, labels = images(number)
        content = {b"batch_label": b"x", b"data": data, b"labels": labels, b"filenames": [b"a.png"] * len(data)}
        (folder / name).write_bytes(pickle.dumps(content, protocol))
    return folder


def binary(folder):
    folder.mkdir()
    for number, name in enumerate(NAMES):
        data, labels = images(number)
        rows = np.concatenate([np.array(labels, np.uint8)[:, None], data], 1)
        (folder / f"{name}.bin").write_bytes(rows.tobytes())
    return folder


@pytest.mark.parametrize("made, named", [(pickled, "cifar-10-batches-py"), (binary, "cifar-10-batches-bin")])
def test_both_versions_give_the_same_images_and_sections(tmp_path, made, named):
    made(tmp_path / named)
    found = cifar10_datalist(tmp_path)
    assert [len(found[section]) for section in ("training", "validation", "test")] == [80, 20, 20]
    assert sorted(one["class"] for one in found["validation"]) == sorted(list(range(10)) * 2)
    data, labels = images(5)
    assert [one["class"] for one in found["test"]] == labels
    expected = data[7].reshape(3, 32, 32) / 255  # red, green, blue; row by row
    assert np.allclose(load_colour(found["test"][7]["image"]), expected.transpose(0, 2, 1), atol=1e-6)
    reference = cifar10_datalist(tmp_path / named, split="reference", unpack_to=tmp_path / "other")
    assert len(reference["training"]) == 100 and "validation" not in reference
    assert (tmp_path / "other" / "training" / "00099.png").is_file()


def test_it_is_unpacked_into_the_study_and_once(tmp_path):
    pickled(tmp_path / "cifar-10-batches-py", protocol=4)
    for _ in range(2):
        study_set = open_study_set(f"cifar10={tmp_path}", tmp_path / "study", reference=True)
        image = tmp_path / "study" / "unpacked" / "cifar10" / "test" / "00000.png"
        os.utime(image, (1, 1))
    assert image.stat().st_mtime == 1 and len(study_set.records) == 120 and study_set.class_names[3] == "cat"
    assert not (tmp_path / "cifar-10-batches-py" / "unpacked").exists()


class Harm:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_pickle_runs_nothing_and_what_is_no_batch_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = pickled(tmp_path / "cifar-10-batches-py")
    good = (folder / "data_batch_2").read_bytes()
    bad = {
        "cannot be read as a batch of CIFAR-10 .*must be arrays and plain data; found .*mkdir": pickle.dumps(
            {b"data": Harm(), b"labels": [0]}
        ),
        "cannot be read as a batch of CIFAR-10": good[:5000],
        "must have 3072 numbers of 8 bits an image": pickle.dumps({b"data": np.zeros((2, 9)), b"labels": [0, 1]}),
        "labels must be 0 to 9; found 11": pickle.dumps({b"data": np.zeros((1, 3072), np.uint8), b"labels": [11]}),
    }
    for message, content in bad.items():
        (folder / "data_batch_2").write_bytes(content)
        with pytest.raises(DatalistError, match=f"data_batch_2: {message}"):
            cifar10_datalist(tmp_path)
    assert not (tmp_path / "harm").exists()
    (folder / "data_batch_2").unlink()
    with pytest.raises(DatalistError, match="must hold data_batch_1 to data_batch_5 .* found no data_batch_2"):
        cifar10_datalist(tmp_path)
    with pytest.raises(DatalistError, match="must hold cifar-10-batches-py or cifar-10-batches-bin; found neither"):
        cifar10_datalist(folder / "absent")
    with pytest.raises(ValueError, match="^split: must be patient or reference"):
        cifar10_datalist(tmp_path, split="other")
    binary(tmp_path / "b")
    (tmp_path / "b" / "test_batch.bin").write_bytes(b"12345")
    with pytest.raises(DatalistError, match="test_batch.bin: must have 3073 bytes an image; found 5 bytes"):
        cifar10_datalist(tmp_path / "b")
