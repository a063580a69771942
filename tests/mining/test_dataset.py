"""Pattern samples: cubes corrupted as a function of (seed, epoch, index); volumes cached once, got by number."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from medgenesis.data import MappedDataset, SampleKey, preprocessing
from medgenesis.errors import DatalistError, IntensityRangeError, VolumeError
from medgenesis.mining import PatternDataset, PatternTable, VolumeLoader, records_to_mine
from medgenesis.transforms import RandGenesisd

pytestmark = pytest.mark.usefixtures("one_thread")
SIZE = (8, 8, 4)


@pytest.fixture
def arrays():
    return np.random.default_rng(0).random((5, 16, 14, 9), dtype=np.float32)


@pytest.fixture
def table(scans, table_of, arrays):
    return table_of(scans(arrays, validation=2), SIZE, classes=3, rescaled=True)


def patterns(table, transform=True, **settings):
    corrupt = RandGenesisd("image", preset="semantic") if transform else None
    settings = {"cache": "none", "seed": 11, **settings}
    return PatternDataset(table, preprocessing(intensity="unit"), corrupt, **settings)


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name] == b[name] if isinstance(a[name], int) else torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("section", ["training", "validation"])
def test_sample_i_is_item_i(table, arrays, section):
    dataset, plain = patterns(table, section=section), patterns(table, transform=False, section=section)
    number = {volume.image: i for i, volume in enumerate(table.volumes)}
    items = table.items(section)
    assert len(dataset) == len(items)
    for i, item in enumerate(items):
        sample = dataset[2, i]
        assert set(sample) == {"image", "target", "class"} and sample["class"] == item["class"]
        for name in ("image", "target"):
            assert type(sample[name]) is torch.Tensor and sample[name].shape == (1, *SIZE)
        same(plain[5, i], {"image": sample["target"], "class": item["class"]})
        if item["resolution"] == 1:
            x, y, z = item["origin"]
            expected = arrays[number[item["image"]], x : x + 8, y : y + 8, z : z + 4]
            np.testing.assert_array_equal(sample["target"][0].numpy(), expected)
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_a_sample_is_a_function_of_seed_epoch_and_index(table):
    dataset, again = patterns(table), patterns(table)
    keys = [SampleKey(epoch, index) for epoch in range(2) for index in range(len(dataset))]
    first = {key: dataset[key] for key in keys}
    for key in reversed(keys):
        same(again[key], first[key])
    assert len({sample["image"].numpy().tobytes() for sample in first.values()}) == len(keys)
    assert not torch.equal(patterns(table, seed=12)[0]["image"], first[0, 0]["image"])
    same(dataset[3], first[0, 3])


@pytest.mark.parametrize("cache", ["memory", "disk", "compressed"])
def test_caches_and_workers_change_nothing_and_classes_collate(table, tmp_path, cache):
    dataset, plain = patterns(table, cache=cache, cache_dir=tmp_path / "cache"), patterns(table)
    sampler = dataset.sampler()
    assert sampler.seed == 11 and sampler.probabilities is None and len(sampler) == 27
    sampler.set_position(1)
    order = list(sampler)
    loader = DataLoader(dataset, 9, sampler=sampler, num_workers=2, multiprocessing_context="fork")
    sampler.set_position(1)
    for number, batch in enumerate(loader):
        alone = [plain[key] for key in order[9 * number : 9 * number + 9]]
        assert batch["class"].dtype == torch.int64 and batch["class"].tolist() == [one["class"] for one in alone]
        for name in ("image", "target"):
            assert torch.equal(batch[name], torch.stack([one[name] for one in alone]))
    assert sorted({key.index for key in order}) == list(range(27))


def test_volumes_are_cached_once_and_only_those_that_cubes_come_from(table, tmp_path):
    dataset = patterns(table, cache="disk", cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.pt"))) == 3
    patterns(table, section="validation", cache="disk", cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache").glob("*.pt"))) == 5
    before = dataset.load(0).clone()
    dataset[0]["target"].zero_()
    assert torch.equal(dataset.load(0).as_tensor(), before.as_tensor())


def test_a_saved_table_gives_the_same_samples(table, tmp_path):
    table.save(tmp_path / "patterns.json")
    loaded, original = patterns(PatternTable.load(tmp_path / "patterns.json")), patterns(table)
    for i in range(0, 27, 5):
        same(loaded[1, i], original[1, i])


def test_other_keys(table):
    sample = patterns(table, keys=("target", "distance", "absent"))[4]
    assert sample["distance"] == table.training[4]["distance"] and set(sample) == {"target", "distance"}


# ---- what cannot be used is known when the data set is made


def test_a_section_without_items(table):
    table.validation.clear()
    with pytest.raises(DatalistError, match="'validation'"):
        patterns(table, section="validation")
    with pytest.raises(ValueError, match="section"):
        patterns(table, section="test")


def test_a_volume_of_another_shape_names_the_file_and_the_remedy(table, arrays):
    np.save(table.volumes[2].image, arrays[2][:, :, :-1])
    with pytest.raises(VolumeError, match=r"2.npy.*\(16, 14, 9\).*\(16, 14, 8\).*mine again"):
        patterns(table)
    patterns(table, section="validation")


def test_another_preprocessing_than_the_table_s(table):
    with pytest.raises(VolumeError, match=r"0.npy.*\(8, 14, 9\)"):
        PatternDataset(table, preprocessing(intensity="unit", spacing_mm=(2.2, 1, 1)), cache="none")


def test_a_volume_that_cannot_be_read_or_does_not_fit_the_preset(table, arrays):
    Path(table.volumes[1].image).unlink()
    with pytest.raises(VolumeError, match="1.npy"):
        patterns(table)
    np.save(table.volumes[1].image, arrays[1] * 9 - 4)
    with pytest.raises(IntensityRangeError, match="1.npy"):
        patterns(table)


def test_settings_of_the_cache_are_checked(table):
    with pytest.raises(ValueError, match="cache_dir"):
        patterns(table, cache="disk")
    with pytest.raises(ValueError, match="'ram'"):
        patterns(table, cache="ram")


# ---- volumes by number


def volumes_of(count):
    return np.random.default_rng(0).random((count, 9, 8, 7), dtype=np.float32)


@pytest.mark.parametrize("cache", ["none", "disk", "compressed", "memory"])
def test_volume_i_of_the_list(scans, tmp_path, cache):
    arrays = volumes_of(3)
    load = VolumeLoader(scans(arrays), preprocessing(intensity="unit"), cache=cache, cache_dir=tmp_path / "cache")
    for i in (2, 0, 1, 2):
        np.testing.assert_array_equal(load(i)[0].numpy(), arrays[i])


def test_one_disk_cache_serves_all_steps(scans, tmp_path):
    volumes = scans(volumes_of(3))
    path = tmp_path / "l.json"
    path.write_text(json.dumps({"training": [{"image": v.image, "patient": v.patient} for v in volumes]}))
    features = MappedDataset(records_to_mine(path), preprocessing(intensity="unit"), tmp_path / "cache")
    load = VolumeLoader(volumes, preprocessing(intensity="unit"), cache="disk", cache_dir=tmp_path / "cache")
    for i in range(3):
        assert features[i]["image"].shape == load(i).shape
    assert len(list((tmp_path / "cache").glob("*.pt"))) == 3


def test_a_volume_that_has_changed_or_gone_is_named(scans):
    volumes = scans(volumes_of(2))
    load = VolumeLoader(volumes, preprocessing(intensity="unit"))
    np.save(volumes[1].image, np.random.default_rng(0).random((9, 8, 6)))
    load(0)
    with pytest.raises(VolumeError, match=r"1.npy.*\(9, 8, 7\).*\(9, 8, 6\).*mine again"):
        load(1)
    Path(volumes[0].image).unlink()
    with pytest.raises(VolumeError, match="0.npy.*must be a file or folder; found none"):
        load(0)


def test_a_disk_cache_needs_a_folder(scans):
    with pytest.raises(ValueError, match="cache_dir"):
        VolumeLoader(scans(volumes_of(1)), preprocessing(intensity="unit"), cache="disk")
