"""The published files, written beside slow loops, read with their defects."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from medgenesis.data import PatchDataset, RandAcceptedCropd, load_datalist, preprocessing, write_datalist
from medgenesis.errors import DatalistError, VolumeError
from medgenesis.io import LoadVolumed
from medgenesis.mining import VolumeLoader, export_published, import_published, published
from medgenesis.mining.cubes import crop_pattern
from medgenesis.transforms import RandGenesisd

SIZE = (6, 6, 4)
NAME = "{}_{}{}_vwGen_ex_ref_fold{}.0.npy"


@pytest.fixture
def arrays():
    return np.random.default_rng(0).random((5, 14, 12, 9), dtype=np.float32)


@pytest.fixture
def volumes(scans, arrays):
    return scans(arrays, validation=2)


@pytest.fixture
def few_a_fold(monkeypatch):
    """Four classes a fold in place of fifty."""
    monkeypatch.setattr(published, "CLASSES_PER_FOLD", 4)


def load_of(table):
    return VolumeLoader(table.volumes, preprocessing(intensity="unit"))


def read(folder, prefix, resolution, fold):
    return [np.load(folder / NAME.format(prefix, kind, resolution, fold)) for kind in ("data", "label")]


def cube_of(item, arrays, volumes):
    array = arrays[[volume.image for volume in volumes].index(item["image"])]
    return crop_pattern(torch.from_numpy(array)[None], item["origin"], item["size"], SIZE)[0].numpy()


def find(items, number, image, resolution):
    return next(i for i in items if (i["class"], i["image"], i["resolution"]) == (number, image, resolution))


@pytest.mark.parametrize("rescaled", [False, True])
def test_rows_stand_class_by_class_and_go_together(volumes, arrays, table_of, tmp_path, few_a_fold, rescaled):
    """Ten classes of 3 + 2 patients: folds of 4, 4 and 2 classes."""
    table = table_of(volumes, SIZE, classes=10, rescaled=rescaled)
    folder = tmp_path / "out" / "put"
    written = export_published(table, load_of(table), folder)
    expected = {NAME.format("val", kind, 1, fold) for kind in ("data", "label") for fold in (1, 2, 3)}
    for resolution in (1, 2, 3):
        expected |= {NAME.format("train", kind, resolution, fold) for kind in ("data", "label") for fold in (1, 2, 3)}
    assert {path.name for path in written} == {path.name for path in folder.iterdir()} == expected
    for prefix, section in (("train", "training"), ("val", "validation")):
        items = table.items(section)
        images = [volume.image for volume in volumes if volume.section == section]
        for resolution in (1, 2, 3) if section == "training" else (1,):
            for fold, classes in ((1, range(4)), (2, range(4, 8)), (3, range(8, 10))):
                cubes, labels = read(folder, prefix, resolution, fold)
                assert cubes.dtype == labels.dtype == np.float64
                assert cubes.shape == (len(classes) * len(images), *SIZE) and labels.shape == (len(cubes), 1)
                if resolution > 1 and not rescaled:
                    assert not cubes.any() and not labels.any()
                    continue
                where = [(number, image) for number in classes for image in images]
                for row, (number, image) in enumerate(where):
                    item = find(items, number, image, resolution)
                    assert labels[row, 0] == number
                    np.testing.assert_array_equal(cubes[row], cube_of(item, arrays, volumes))


def test_a_rescaled_cube_that_fitted_nowhere_is_replaced_by_that_of_resolution_1(volumes, arrays, table_of, tmp_path):
    table = table_of(volumes, SIZE, classes=2, rescaled=True)
    table.training.remove(find(table.training, 1, volumes[2].image, 3))
    export_published(table, load_of(table), tmp_path / "out")
    cubes, labels = read(tmp_path / "out", "train", 3, 1)
    assert len(cubes) == 6 and labels[5, 0] == 1
    np.testing.assert_array_equal(cubes[5], cube_of(find(table.training, 1, volumes[2].image, 1), arrays, volumes))
    np.testing.assert_array_equal(cubes[4], cube_of(find(table.training, 1, volumes[1].image, 3), arrays, volumes))


def test_each_volume_is_loaded_once_and_one_held_at_a_time(volumes, arrays, table_of, tmp_path, loader):
    table = table_of(volumes, SIZE, classes=3, rescaled=True)
    load = loader(arrays)
    export_published(table, load, tmp_path / "out")
    assert load.asked == [0, 1, 2, 3, 4] and load.most == 1


def test_a_table_without_validation(volumes, table_of, tmp_path):
    table = table_of(volumes[:3], SIZE, classes=2)
    assert not any(path.name.startswith("val") for path in export_published(table, load_of(table), tmp_path / "out"))
    assert import_published(tmp_path / "out", classes=2)["validation"] == []


# ---- what cannot be exported leaves nothing


def refuse(table, load, folder, error, match):
    with pytest.raises(error, match=match):
        export_published(table, load, folder)
    assert not list(folder.iterdir())


def test_a_failing_volume_leaves_nothing(volumes, arrays, table_of, tmp_path):
    table = table_of(volumes, SIZE, classes=2)
    np.save(volumes[3].image, arrays[3][:-1])
    refuse(table, load_of(table), tmp_path / "out", VolumeError, "3.npy")


def test_classes_of_different_numbers_of_patients(volumes, table_of, tmp_path):
    for section in ("training", "validation"):
        table = table_of(volumes, SIZE, classes=3)
        table.items(section).remove(next(item for item in table.items(section) if not item["reference"]))
        refuse(table, load_of(table), tmp_path / "out", DatalistError, f"section '{section}'")


def test_several_channels(volumes, arrays, table_of, tmp_path):
    table = table_of(volumes, SIZE, classes=2)
    load = lambda i: torch.from_numpy(np.stack([arrays[i], arrays[i]]))  # noqa: E731
    refuse(table, load, tmp_path / "out", VolumeError, "0.npy.*one channel; found 2")


def test_too_little_room(volumes, table_of, tmp_path, monkeypatch):
    """10 cubes of 6 x 6 x 4 voxels of 8 bytes."""
    table = table_of(volumes, SIZE, classes=2)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10 * 144 * 8 - 1))
    refuse(table, load_of(table), tmp_path / "out", DatalistError, "10 cubes need")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10 * 144 * 8))
    export_published(table, load_of(table), tmp_path / "out")


# ---- import


def write_published(folder, prefix="train", resolution=1, fold=1, first=0, classes=50, patients=4, lacking=1):
    """As the published program does: `lacking` rows short; cubes count up so that each row is known."""
    folder.mkdir(exist_ok=True)
    rows = classes * patients - lacking
    labels = np.repeat(np.arange(first, first + classes, dtype=np.float64), patients)[:rows, None]
    cubes = np.random.default_rng([fold, resolution]).random((rows, 5, 5, 3))
    np.save(folder / NAME.format(prefix, "data", resolution, fold), cubes)
    np.save(folder / NAME.format(prefix, "label", resolution, fold), labels)
    return cubes


def test_published_files_without_their_last_row(tmp_path):
    folder = tmp_path / "published"
    cubes = write_published(folder)
    validation = write_published(folder, "val", patients=2)
    assert len(cubes) == 199 and len(validation) == 99
    datalist = import_published(folder)
    for section, patients, prefix in (("training", 4, "train"), ("validation", 2, "val")):
        records = datalist[section]
        assert [record["cube"] for record in records] == list(range(44 * patients))
        assert [record["class"] for record in records] == [row // patients for row in range(44 * patients)]
        assert {Path(record["image"]).name for record in records} == {NAME.format(prefix, "data", 1, 1)}
    assert {record["resolution"] for record in datalist["training"]} == {1}
    everything = import_published(folder, classes=50)
    assert len(everything["training"]) == 199 and everything["training"][-1]["class"] == 49
    assert len(everything["validation"]) == 99


def test_classes_run_over_the_folds_in_the_order_of_their_numbers(tmp_path):
    folder = tmp_path / "published"
    for fold in range(1, 12):
        write_published(folder, fold=fold, first=3 * (fold - 1), classes=3, lacking=1)
    records = import_published(folder, classes=32)["training"]
    numbers = [record["class"] for record in records]
    assert numbers == sorted(numbers) and set(numbers) == set(range(32))
    assert len(records) == 11 * 11 - 3  # 12 rows less one in each fold; class 32 has three
    with pytest.raises(DatalistError, match="the 34 classes asked for; found 33"):
        import_published(folder, classes=34)


def test_resolutions_2_and_3_unless_they_hold_zeros(tmp_path):
    folder = tmp_path / "published"
    for resolution in (1, 2, 3):
        cubes = write_published(folder, resolution=resolution, classes=5)
    cubes[:-1] = 0
    np.save(folder / NAME.format("train", "data", 2, 1), cubes)
    np.save(folder / NAME.format("train", "data", 3, 1), np.zeros_like(cubes))
    np.save(folder / NAME.format("train", "label", 3, 1), np.zeros((len(cubes), 1)))
    records = import_published(folder, classes=5)["training"]
    assert [record["resolution"] for record in records] == [1] * 19 + [2] * 19


@pytest.mark.parametrize("rescaled", [False, True])
def test_what_is_exported_is_imported(volumes, arrays, table_of, tmp_path, few_a_fold, rescaled):
    table = table_of(volumes, SIZE, classes=6, rescaled=rescaled)
    export_published(table, load_of(table), tmp_path / "out")
    datalist = import_published(tmp_path / "out", classes=5)
    write_datalist(datalist, tmp_path / "list.json")
    for section in ("training", "validation"):
        items = [item for item in table.items(section) if item["class"] < 5]
        expected = sorted(
            (item["class"], item["resolution"], cube_of(item, arrays, volumes).tobytes()) for item in items
        )
        found = []
        for record in load_datalist(tmp_path / "list.json", section):
            cube = LoadVolumed("image")(record)["image"][0].numpy()
            found.append((record["class"], record["resolution"], cube.tobytes()))
        assert sorted(found) == expected


def test_an_export_is_not_mixed_with_an_earlier_one(volumes, table_of, tmp_path, few_a_fold):
    table = table_of(volumes, SIZE, classes=6)
    export_published(table, load_of(table), tmp_path)
    export_published(table, load_of(table), tmp_path)  # the same files: replaced
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    table.validation.clear()
    with pytest.raises(
        DatalistError, match=r"files of another export.*found 2, the first val_data1_vwGen_ex_ref_fold1\.0\.npy.*remove"
    ):
        export_published(table, load_of(table), tmp_path)
    fewer = table_of(volumes, SIZE, classes=2)
    with pytest.raises(DatalistError, match=r"fold2\.0\.npy"):
        export_published(fewer, load_of(fewer), tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_the_pipeline_of_the_docstring(tmp_path):
    folder = tmp_path / "published"
    cubes = write_published(folder, classes=5)
    write_datalist(import_published(folder, classes=5), tmp_path / "list.json")
    records = load_datalist(tmp_path / "list.json", "training")
    dataset = PatchDataset(
        records,
        preprocessing(intensity="unit"),
        RandAcceptedCropd("image", (5, 5, 3), criterion="any"),
        RandGenesisd("image", preset="semantic"),
        patches_per_image=1,
        cache="none",
        keys=("image", "target", "class"),
    )
    batch = next(iter(DataLoader(dataset, 19, sampler=dataset.sampler(shuffle=False))))
    np.testing.assert_array_equal(batch["target"][:, 0].numpy(), cubes.astype(np.float32))
    assert batch["class"].dtype == torch.int64 and batch["class"].tolist() == [row // 4 for row in range(19)]


def test_files_that_cannot_be_used_are_named(tmp_path):
    folder = tmp_path / "published"
    folder.mkdir()
    with pytest.raises(DatalistError, match="the 44 classes asked for; found 0"):
        import_published(folder)
    cubes = write_published(folder, classes=5)
    data, label = (folder / NAME.format("train", kind, 1, 1) for kind in ("data", "label"))
    labels = np.load(label)
    for array in (labels[:-2], labels.repeat(2, axis=1), labels[None]):
        np.save(label, array)
        with pytest.raises(
            DatalistError,
            match=f"{data.name}: must be cubes.*" + re.escape(f"found (19, 5, 5, 3) and {array.shape}"),
        ):
            import_published(folder, classes=5)
    for array in (labels + 0.5, labels - 1, np.where(labels == 2, np.nan, labels)):
        np.save(label, array)
        with pytest.raises(DatalistError, match=f"{label.name}.*whole numbers"):
            import_published(folder, classes=5)
    np.save(label, labels.ravel())  # a flat one is as good
    assert len(import_published(folder, classes=5)["training"]) == 19
    label.unlink()
    with pytest.raises(DatalistError, match=f"{label.name}.*no such file"):
        import_published(folder, classes=5)
    np.save(label, labels)
    whole = data.read_bytes()
    for broken in (whole[: len(whole) // 2], b"", b"no array"):
        data.write_bytes(broken)
        with pytest.raises(DatalistError, match=data.name):
            import_published(folder, classes=5)
    np.save(data, cubes[..., None])
    with pytest.raises(DatalistError, match=r"\(19, 5, 5, 3, 1\)"):
        import_published(folder, classes=5)
    np.save(data, cubes)
    write_published(folder, "val", classes=3)
    with pytest.raises(DatalistError, match="val_data.*hold the 5 classes asked for; found 3"):
        import_published(folder, classes=5)
