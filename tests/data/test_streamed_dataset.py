"""The data set of inference: one volume at a time, each read once, bad ones named or left out."""

import gc
import weakref

import pytest
import torch
from helpers.reads import counting, read_files
from monai.data import DataLoader, Dataset
from monai.engines import SupervisedEvaluator

from medgenesis.data import StreamedDataset, preprocessing
from medgenesis.errors import VolumeError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def with_bad(records, tmp_path):
    bad = tmp_path / "bad.nii.gz"
    bad.write_bytes(b"no volume")
    return [records[0], {"image": str(bad)}, records[1], records[2]]


def names(items):
    return [str(item["image"].meta["filename_or_obj"]).rsplit("/", 1)[-1] for item in items]


def test_items_are_those_of_a_plain_data_set(records):
    wanted = Dataset(records, preprocessing(intensity="unit"))
    for found, item in zip(StreamedDataset(records, preprocessing(intensity="unit")), wanted, strict=True):
        assert torch.equal(found["image"], item["image"]) and found["patient"] == item["patient"]


def test_bad_volumes_are_left_out_as_they_come(with_bad, tmp_path, caplog):
    dataset = StreamedDataset(with_bad, counting(tmp_path / "log", intensity="unit"), "skip")
    stream = iter(dataset)
    assert names([next(stream)]) == ["0.nii.gz"] and read_files(tmp_path / "log") == ["0.nii.gz"]
    assert names(stream) == ["1.nii.gz", "2.nii.gz"] and "bad.nii.gz" in caplog.text
    assert read_files(tmp_path / "log") == ["0.nii.gz", "bad.nii.gz", "1.nii.gz", "2.nii.gz"]
    assert dataset.data == with_bad


def test_a_bad_volume_stops_after_those_before_it(with_bad):
    stream = iter(StreamedDataset(with_bad, preprocessing(intensity="unit")))
    next(stream)
    with pytest.raises(VolumeError, match="bad.nii.gz"):
        next(stream)


def test_nothing_usable_is_an_error(with_bad, caplog):
    with pytest.raises(VolumeError, match="found none of 1.*bad.nii.gz"):
        list(StreamedDataset(with_bad[1:2], preprocessing(), "skip"))
    with pytest.raises(VolumeError, match="the section of the datalist is empty"):
        list(StreamedDataset([], preprocessing()))
    with pytest.raises(ValueError, match="on_error"):
        StreamedDataset([], preprocessing(), "warn")


def test_no_volume_is_kept(records):
    seen = []
    for item in StreamedDataset(records, preprocessing(intensity="unit")):
        gc.collect()
        assert [one() for one in seen] == [None] * len(seen)
        seen.append(weakref.ref(item["image"]))
        del item


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_an_evaluator_sees_each_usable_volume_once(with_bad, tmp_path, workers):
    dataset = StreamedDataset(with_bad, counting(tmp_path / "log", intensity="unit"), "skip")
    seen = []

    def note(engine, batch):
        seen.extend(batch["image"].meta["filename_or_obj"])
        return {}

    loader = DataLoader(dataset, batch_size=1, num_workers=workers)
    evaluator = SupervisedEvaluator("cpu", loader, torch.nn.Identity(), iteration_update=note)
    evaluator.run()
    assert sorted(name.rsplit("/", 1)[-1] for name in seen) == ["0.nii.gz", "1.nii.gz", "2.nii.gz"]
    assert sorted(read_files(tmp_path / "log")) == ["0.nii.gz", "1.nii.gz", "2.nii.gz", "bad.nii.gz"]
