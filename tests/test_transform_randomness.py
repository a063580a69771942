"""The randomness of every transform, in all of its variants: seeds, generators, batches, probabilities."""

import numpy as np
import pytest
import torch
from helpers.variants import ONES, build, call, cube, every_subject, every_variant, stacked
from scipy import stats

from medgenesis.errors import VolumeError


@every_subject
@every_variant
def test_same_seed_same_output_another_seed_another(subject, variant):
    volume, transform = cube(2, 20, 20, 20), build(subject, variant)
    first, second = (call(transform.set_random_state(seed=7), volume) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(call(transform.set_random_state(state=np.random.RandomState(7)), volume), first)
    runs = [call(transform.set_random_state(seed=8), volume), *(call(transform, volume) for _ in range(3)), first]
    assert len({run.numpy().tobytes() for run in runs}) == len(runs)


@every_subject
@every_variant
def test_global_generators_are_neither_read_nor_moved(subject, variant):
    volume, transform = cube(1, 12, 12, 12), build(subject, variant)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = np.random.get_state()[1].copy(), torch.get_rng_state().clone()  # noqa: NPY002
    call(transform.set_random_state(0), volume)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


@every_subject
def test_cubes_of_a_batch_are_drawn_independently(subject):
    batch = cube(1, 1, 20, 20, 20).expand(6, -1, -1, -1, -1)
    corrupted = stacked(build(subject, "batched").set_random_state(0)(batch))[0]
    assert len({one.numpy().tobytes() for one in corrupted}) == 6


@pytest.mark.parametrize("subject", ONES)
@every_variant
def test_the_probability_is_that_of_each_cube_and_what_is_left_out_is_untouched(subject, variant):
    batch = cube(1, 20, 20, 20).expand(150, -1, -1, -1, -1)
    some = {"LocalShuffle": {"windows": 300}, "InPaint": {"p_continue": 1.0}}.get(subject, {})
    seldom = build(subject, variant, prob=0.3, **some).set_random_state(0)
    outs = seldom(batch) if variant == "batched" else [call(seldom, volume)[0] for volume in batch]
    done = np.array([not torch.equal(out, volume) for out, volume in zip(outs, batch, strict=True)])
    assert stats.binomtest(int(done.sum()), 150, 0.3).pvalue > 1e-4
    if variant == "batched":
        assert (seldom.active == done).all() and torch.equal(seldom(batch, randomize=False), outs)
    for prob in (0, 1):
        transform = build(subject, variant, prob=prob, **some)
        assert all(torch.equal(call(transform, batch[0])[0], batch[0]) == (prob == 0) for _ in range(6))


@pytest.mark.parametrize("subject", ONES)
def test_a_batch_of_one_follows_the_array_face_up_to_the_first_call_that_is_left_out(subject):
    volume = cube(1, 20, 20, 20)
    for seed in range(4):
        single, batched = (build(subject, variant, prob=0.6).set_random_state(seed) for variant in ("array", "batched"))
        for _ in range(9):
            assert torch.equal(call(single, volume), call(batched, volume))
            if single.params is None:
                break


@every_subject
def test_a_draw_fits_other_shapes_where_the_page_says_so_alone(subject):
    transform = build(subject).set_random_state(0)
    call(transform, cube(1, 20, 20, 20))
    if subject in ("Blur", "NonlinearIntensity", "BrightnessContrast"):
        assert transform(cube(1, 12, 9, 10), randomize=False).shape == (1, 12, 9, 10)
    else:
        with pytest.raises(VolumeError, match="params: must be drawn for the volume's shape"):
            transform(cube(1, 12, 9, 10), randomize=False)
