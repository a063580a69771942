"""In MONAI's data sets and loaders: what is cached, what is drawn anew, and what a batch is taken apart into."""

import numpy as np
import pytest
import torch
from helpers.variants import AFFINE, CROPS, ONES, SUBJECTS, build, cube, every_subject, every_variant
from monai.data import (
    CacheDataset,
    CacheNTransDataset,
    DataLoader,
    Dataset,
    MetaTensor,
    PersistentDataset,
    SmartCacheDataset,
    ThreadDataLoader,
    decollate_batch,
    pickle_hashing,
)
from monai.transforms import Compose, Flip, Lambdad, ScaleIntensityd, Transform

from medgenesis.transforms import BatchedGenesis, RandGenesisd

pytestmark = pytest.mark.usefixtures("one_thread")


class Count(Transform):
    """A deterministic step that counts how often it is taken."""

    def __init__(self):
        self.calls = 0

    def __call__(self, data):
        self.calls += 1
        return {**data, "image": torch.from_numpy(data["image"])}


def records(count=3):
    """As NumPy arrays, since MONAI's hashes of tensors differ between equal ones."""
    return [{"image": cube(1, 20, 12, 14, seed=seed).numpy()} for seed in range(count)]


def chain(count, subject="Genesis"):
    return Compose([count, build(subject, "dictionary")]).set_random_state(0)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


# ---- caches


@every_subject
@pytest.mark.parametrize("copy_cache", [True, False])
def test_cache_dataset_keeps_what_comes_before_and_draws_anew(subject, copy_cache):
    count = Count()
    data = CacheDataset(records(), chain(count, subject), progress=False, copy_cache=copy_cache)
    before = [item["image"].clone() for item in data._cache]
    runs = [[data[i]["image"] for i in range(3)] for _ in range(4)]
    assert count.calls == 3
    for index in range(3):
        assert len({run[index].numpy().tobytes() for run in runs}) > 1
        assert torch.equal(data._cache[index]["image"], before[index])
        np.testing.assert_array_equal(before[index], records()[index]["image"])


def test_smart_cache_dataset_replaces_its_items():
    count = Count()
    data = SmartCacheDataset(records(4), chain(count), replace_rate=0.5, cache_num=2, shuffle=False, progress=False)
    data.start()
    seen = []
    for _ in range(3):
        loader = DataLoader(data, batch_size=2)
        seen += [item for batch in loader for item in decollate_batch(batch)]
        data.update_cache()
    data.shutdown()
    assert len(seen) == 6 and all(set(item) == {"image", "target"} for item in seen)
    volumes = [record["image"].sum() for record in records(4)]
    found = {int(np.argmin([abs(v - item["target"].sum()) for v in volumes])) for item in seen}
    assert found == {0, 1, 2, 3}


@every_subject
def test_persistent_dataset_finds_its_files_again(subject, tmp_path):
    """In another data set of equal transforms; in another process: see test_citizenship_workers.py."""
    drawn = []
    for calls in (3, 0):
        count = Count()
        data = PersistentDataset(records(), chain(count, subject), tmp_path, hash_transform=pickle_hashing)
        data.transform.set_random_state(0)  # MONAI seeds anew when it hashes the transforms
        drawn.append([data[i] for i in range(3)])
        assert count.calls == calls and len(list(tmp_path.glob("*.pt"))) == 3
    assert all(same(*pair) for pair in zip(*drawn, strict=True)) and not same(data[0], drawn[0][0])


def test_persistent_dataset_misses_when_the_deterministic_part_changes(tmp_path):
    for greatest, files in ((1.0, 1), (0.5, 2), (1.0, 2)):
        steps = Compose([ScaleIntensityd("image", 0.0, greatest), RandGenesisd(rates={"flip": 0.0})])
        item = PersistentDataset(records(1), steps, tmp_path, hash_transform=pickle_hashing)[0]
        assert len(list(tmp_path.glob("*.pt"))) == files
        assert torch.isclose(item["target"].max(), torch.tensor(greatest))


@every_subject
@every_variant
def test_equal_transforms_have_equal_hashes(subject, variant):
    hashes = {pickle_hashing(build(subject, variant)) for _ in range(3)}
    assert len(hashes) == 1
    if subject in ONES:
        assert pickle_hashing(build(subject, variant, prob=0.5)) not in hashes
    assert len({pickle_hashing(build(other, variant)) for other in SUBJECTS}) == len(SUBJECTS)


def test_a_draw_can_be_cached_on_purpose(tmp_path):
    steps = Compose([RandGenesisd(), Lambdad("image", lambda volume: volume)]).set_random_state(0)
    data = CacheNTransDataset(records(1), steps, cache_n_trans=1, cache_dir=tmp_path)
    assert same(data[0], data[0])


# ---- loaders


@pytest.mark.parametrize("preset", ["models", "semantic"])
def test_a_thread_loader_gives_what_a_loader_gives(preset):
    batches = []
    for make in (DataLoader, ThreadDataLoader):
        torch.manual_seed(3)  # MONAI seeds the transforms of a loader without workers from here
        data = CacheDataset(records(4), Compose([RandGenesisd(preset=preset)]), progress=False)
        batches.append([batch for _ in range(2) for batch in make(data, batch_size=2, num_workers=0)])
    assert len(batches[0]) == 4 and all(same(*pair) for pair in zip(*batches, strict=True))
    assert not same(batches[0][0], batches[0][2])


def test_threads_as_workers():
    data = Dataset(records(4), Compose([RandGenesisd()]))
    for batch in ThreadDataLoader(data, batch_size=2, num_workers=1, use_thread_workers=True):
        assert batch["image"].shape == batch["target"].shape == (2, 1, 20, 12, 14)


def meta_records(count, shape):
    affines = [AFFINE + np.diag([i, 0, 0, 0]) for i in range(count)]
    return [
        {"image": MetaTensor(cube(1, *shape, seed=i), affine=a, meta={"patient": f"p{i}"})}
        for i, a in enumerate(affines)
    ]


@pytest.mark.parametrize("shape", [(12, 14, 16), (12, 14)])
def test_a_batch_is_decollated_each_cube_with_its_own_flipped_affine(shape):
    items = meta_records(16, shape)
    batch = next(iter(DataLoader(Dataset(items), batch_size=16)))
    batched = BatchedGenesis(rates={"flip": 0.9, "shuffle": 0.0, "nonlinear": 0.0, "paint": 0.0}).set_random_state(1)
    before = batch["image"].affine.clone()
    corrupted, target = batched(batch["image"])
    assert torch.equal(batch["image"].affine, before)
    assert 1 < len({tuple(flips) for flips in batched.params.flips.tolist()})
    for one, item, flips in zip(
        decollate_batch({"image": corrupted, "target": target}), items, batched.params.flips, strict=True
    ):
        expected = item["image"]
        for axis in np.flatnonzero(flips):
            expected = Flip(int(axis))(expected)
        for out in one.values():
            assert isinstance(out, MetaTensor) and torch.equal(out.as_tensor(), expected.as_tensor())
            np.testing.assert_allclose(out.affine, expected.affine, atol=1e-6)
            assert out.meta["patient"] == item["image"].meta["patient"]


@every_subject
def test_every_batched_form_is_decollated_with_meta_data(subject):
    items = meta_records(3, (12, 14, 16))
    batch = next(iter(DataLoader(Dataset(items), batch_size=3)))["image"]
    out = build(subject, "batched", **({"rates": {"flip": 0.0}} if subject == "Genesis" else {}))(batch)
    for result in out if isinstance(out, tuple) else (out,):
        for one, item in zip(decollate_batch(result), items, strict=True):
            assert one.meta["patient"] == item["image"].meta["patient"]
            assert subject in CROPS or np.allclose(one.affine, item["image"].affine)  # else see test_cropping.py


def test_a_loader_batch_of_the_dictionary_form_is_decollated():
    items = meta_records(3, (12, 14, 16))
    data = Dataset(items, Compose([RandGenesisd()]).set_random_state(0))
    for one, item in zip(decollate_batch(next(iter(DataLoader(data, batch_size=3)))), items, strict=True):
        assert set(one) == {"image", "target"} and torch.equal(one["image"].affine, one["target"].affine)
        np.testing.assert_allclose(np.abs(one["image"].affine[:3, :3]), np.abs(item["image"].affine[:3, :3]))


def test_all_dictionary_forms_in_one_cached_chain():
    names = [*ONES, *CROPS[::-1]]
    steps = Compose([RandGenesisd("image")] + [build(name, "dictionary") for name in names])
    data = CacheDataset(records(1), steps, progress=False)
    assert len(names) == 11 and not torch.equal(data[0]["image"], data[0]["image"])
    np.testing.assert_array_equal(data._cache[0]["image"], records(1)[0]["image"])
