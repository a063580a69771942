"""In worker processes and threads: what our sampler promises, what MONAI's seeding promises, fork, spawn, threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from helpers.variants import COMPOSITES, ONES, build, call, cube, every_subject
from monai.data import DataLoader, Dataset, PersistentDataset, ThreadDataLoader, pickle_hashing
from monai.transforms import Compose, ScaleIntensityd
from monai.utils import set_determinism

from medgenesis.data import preprocessing
from medgenesis.data.crops import RandAcceptedCropd
from medgenesis.data.patch_dataset import PatchDataset
from medgenesis.transforms import RandGenesisd

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (20, 12, 14)


@pytest.fixture
def determinism():
    """set_determinism, undone after the test."""
    yield set_determinism
    set_determinism(None)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def alike(some, others):
    return len(some) == len(others) and all(same(*pair) for pair in zip(some, others, strict=True))


# ---- our sampler


@pytest.fixture
def cubes(tmp_path):
    """cubes(subject): six prepared cubes, each cut and corrupted, every sample named by (seed, epoch, index)."""
    np.save(tmp_path / "cubes.npy", np.stack([cube(*SHAPE, seed=seed).numpy() for seed in range(6)]))
    rows = [{"image": str(tmp_path / "cubes.npy"), "cube": row} for row in range(6)]

    def make(subject):
        if subject in COMPOSITES:
            transform = build(subject, "dictionary")
        else:  # all of them, one after another
            transform = Compose([build(one, "dictionary", prob=0.7) for one in ONES])
        crop = RandAcceptedCropd("image", (20, 10, 12), criterion="any")
        return PatchDataset(
            rows, preprocessing(intensity="unit"), crop, transform, patches_per_image=2, cache="memory", seed=3
        )

    return make


@pytest.mark.parametrize("subject", [*COMPOSITES, "the others"])
def test_samples_are_the_same_for_0_1_and_4_workers_and_in_a_thread(cubes, subject):
    data = cubes(subject)
    sampler = data.sampler()
    settings = {"batch_size": 2, "sampler": sampler}
    loaders = [DataLoader(data, **settings), ThreadDataLoader(data, num_workers=0, **settings)]
    loaders += [DataLoader(data, num_workers=n, persistent_workers=True, **settings) for n in (1, 4)]
    for epoch in range(2):
        sampler.set_position(epoch)
        keys = list(sampler)
        alone = [data[key] for key in keys]
        expected = [{n: torch.stack([a[n], b[n]]) for n in a} for a, b in zip(alone[::2], alone[1::2], strict=True)]
        assert len({item["image"].numpy().tobytes() for item in alone}) == len(alone) == 6
        for loader in loaders:
            assert alike(list(loader), expected)


# ---- MONAI's own seeding


def epochs_of(workers, seed, determinism, count=2):
    """All batches of some epochs of MONAI's own loader, after set_determinism."""
    determinism(seed)
    data = Dataset([{"image": cube(1, *SHAPE, seed=i)} for i in range(8)], Compose([RandGenesisd()]))
    loader = DataLoader(data, batch_size=2, num_workers=workers)
    return [list(loader) for _ in range(count)]


def test_set_determinism_and_the_same_number_of_workers_give_the_same_samples(determinism):
    """That is what MONAI promises; another number of workers gives other samples."""
    found = {}
    for workers in (0, 1, 2):
        first, again = (epochs_of(workers, 4, determinism) for _ in range(2))
        assert alike(first[0], again[0]) and alike(first[1], again[1])
        assert not alike(first[0], first[1])  # each epoch draws anew
        found[workers] = first
    assert not alike(found[0][1], found[1][1]) and not alike(found[1][0], found[2][0])
    assert not alike(found[0][0], epochs_of(0, 5, determinism, count=1)[0])


# ---- processes


@pytest.mark.slow
def test_a_spawned_worker_draws_what_a_forked_one_draws_and_finds_the_cached_files(tmp_path, determinism):
    """The files hold another volume than the records: what comes from the worker was read, not made again."""
    items = [{"image": cube(1, *SHAPE, seed=i).numpy()} for i in range(2)]
    steps = [ScaleIntensityd("image"), *(build(one, "dictionary") for one in ONES)]
    results = []
    for context in ("fork", "spawn"):
        determinism(4)
        data = PersistentDataset(
            items, Compose([*steps, RandGenesisd(rates={"flip": 0.0})]), tmp_path, hash_transform=pickle_hashing
        )
        if context == "fork":
            assert data[0]["target"].shape == data[1]["target"].shape
            files = list(tmp_path.glob("*.pt"))
            for file in files:
                torch.save({"image": torch.linspace(0, 0.5, 20 * 12 * 14).reshape(1, *SHAPE)}, file)
        torch.manual_seed(1)
        loader = DataLoader(data, batch_size=2, num_workers=1, multiprocessing_context=context, persistent_workers=True)
        results.append(next(iter(loader)))
    assert same(*results) and sorted(tmp_path.glob("*.pt")) == sorted(files) and len(files) == 2


@every_subject
def test_forked_workers_after_the_kernels_ran_in_the_parent(subject):
    volume, transform = cube(1, *SHAPE), build(subject, "dictionary")
    transform.set_random_state(3)({"image": volume})
    seeds = list(range(4))

    class Seeded(torch.utils.data.Dataset):
        def __len__(self):
            return len(seeds)

        def __getitem__(self, index):
            return transform.set_random_state(seeds[index])({"image": volume})

    loader = torch.utils.data.DataLoader(
        Seeded(), batch_size=None, num_workers=2, multiprocessing_context="fork", worker_init_fn=lambda _: None
    )
    assert alike(list(loader), [Seeded()[index] for index in seeds])


# ---- threads


@every_subject
def test_two_threads_with_a_transform_each(subject):
    volumes = [cube(1, *SHAPE, seed=seed) for seed in range(2)]

    def work(which):
        transform = build(subject).set_random_state(which)
        return [call(transform, volumes[which]) for _ in range(10)]

    expected = [work(which) for which in range(2)]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(work, range(2)))
    for one, other in zip(found, expected, strict=True):
        assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))
