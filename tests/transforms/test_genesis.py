"""RandGenesis against the two methods as they are described: rates, order, and the flip of both and of both affines."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Flip
from scipy import stats
from scipy.ndimage import map_coordinates

from medgenesis.transforms import BatchedGenesis, RandGenesis

ALWAYS = {"flip": 0.0, "shuffle": 1.0, "nonlinear": 1.0, "paint": 1.0}
NEVER = dict.fromkeys(ALWAYS, 0.0)
PARTS = ("elastic", "shuffle", "nonlinear", "inpaint", "outpaint")


# ---- which parts, how often


def applied_by_the_book(preset, rng):
    """Which of PARTS one example undergoes."""
    if preset == "semantic":
        return (True, *(np.arange(4) == rng.integers(4)))
    shuffle, nonlinear, paint = rng.random() < 0.5, rng.random() < 0.9, rng.random() < 0.9
    inpaint = rng.random() < 0.2
    return False, shuffle, nonlinear, paint and inpaint, paint and not inpaint


@pytest.mark.parametrize("preset", ["models", "semantic"])
def test_combinations_of_parts_are_as_frequent_as_in_the_book(preset):
    count, rng, codes = 20_000, np.random.default_rng(0), 2 ** np.arange(5)
    book = np.array([applied_by_the_book(preset, rng) for _ in range(count)])
    ours = RandGenesis(preset).sample(np.random.RandomState(0), (count, 1, 8, 8, 8)).applied
    assert ours.shape == (count, 5) and ours.dtype == bool
    table = np.array([np.bincount(one @ codes, minlength=32) for one in (book, ours)])
    table = table[:, table.any(axis=0)]
    assert stats.chi2_contingency(table).pvalue > 1e-4
    assert len(table.T) == (12 if preset == "models" else 4)


def test_semantic_is_elastic_then_exactly_one_equally_likely_with_5_windows_one_block_and_no_flip():
    params = RandGenesis("semantic").sample(np.random.RandomState(1), (8000, 1, 20, 20, 20))
    assert not params.flips.any() and params.applied[:, 0].all()
    assert (params.applied[:, 1:].sum(axis=1) == 1).all()
    assert stats.chisquare(params.applied[:, 1:].sum(axis=0)).pvalue > 1e-4
    assert params.shuffle.windows == 5
    for painting in (params.inpaint, params.outpaint):
        assert painting.blocks.shape == (8000, 1, 2, 3) and (np.diff(painting.blocks, axis=2) > 0).all()


def test_models_has_10_000_windows_up_to_five_blocks_and_no_elastic_deformation():
    params = RandGenesis().sample(np.random.RandomState(1), (100, 1, 20, 20, 20))
    assert params.shuffle.windows == 10_000 and params.elastic is None
    assert params.inpaint.blocks.shape == params.outpaint.blocks.shape == (100, 5, 2, 3)


def test_rates_can_be_changed():
    rates = {"elastic": 0.5, "shuffle": 0.0, "nonlinear": 0.1, "inpaint": 0.6, "outpaint": 0.1}
    applied = RandGenesis("semantic", rates=rates).sample(np.random.RandomState(0), (8000, 1, 8, 8)).applied
    for part, rate in zip(PARTS, rates.values(), strict=True):
        assert stats.binomtest(int(applied[:, PARTS.index(part)].sum()), 8000, rate).pvalue > 1e-4
    none = (~applied[:, 1:].any(axis=1)).sum()  # what is missing to 1 is none of the four
    assert stats.binomtest(int(none), 8000, 0.2).pvalue > 1e-4
    assert RandGenesis(rates={"flip": 0.1}).rates.shuffle == 0.5  # the others stay the preset's


@pytest.mark.parametrize("shape", [(8, 8, 8), (8, 8)])
def test_flips_agree_with_the_method_by_the_book(shape):
    """While U < 0.4, at most three times, reverse a random axis; repeats cancel."""
    rng, n = np.random.default_rng(0), len(shape)
    book = np.zeros((20_000, n), bool)
    for flips in book:
        left = 3
        while left > 0 and rng.random() < 0.4:
            axis = rng.integers(n)
            flips[axis] = not flips[axis]
            left -= 1
    ours = RandGenesis().sample(np.random.RandomState(0), (20_000, 1, *shape)).flips
    table = [np.bincount(f @ 2 ** np.arange(n), minlength=2**n) for f in (book, ours)]
    assert stats.chi2_contingency(np.array(table)).pvalue > 1e-4


# ---- in which order


def shuffled_by_hand(volume, windows):
    """Each window reads the volume as it came in; the later window wins."""
    out = volume.copy()
    for number, (start, side) in enumerate(zip(windows.starts, windows.sides, strict=True)):
        first = windows.offsets[number]
        order = windows.permutations[first : first + side.prod()]
        box = (slice(None), *(slice(i, i + s) for i, s in zip(start, side, strict=True)))
        inside = volume[box].reshape(len(volume), -1)
        out[box] = inside[:, order].reshape(volume[box].shape)
    return out


def corrupted_by_hand(volume, params):
    """The parts in the published order, redone from what the parameters stand for."""
    shown = params.expand()
    elastic, shuffle, nonlinear, inpaint, outpaint = params.applied[0]
    if elastic:
        places = np.indices(volume.shape[1:]).astype(float)
        places[:2] += shown["elastic"][0]
        volume = np.stack([map_coordinates(channel, places, order=1, mode="reflect") for channel in volume])
    if shuffle:
        volume = shuffled_by_hand(volume, shown["shuffle"][0])
    if nonlinear:
        x, y = params.nonlinear.expand(segments=10**5)[0]
        volume = np.interp(volume, x, y)
    if inpaint:
        mask, noise = params.inpaint.expand()
        volume = np.where(mask[0], noise[0], volume)
    if outpaint:
        mask, noise = params.outpaint.expand(channels=len(volume))
        volume = np.where(mask[0], volume, noise[0])
    return volume


@pytest.mark.parametrize("inpaint", [0.0, 1.0])
def test_models_shuffles_then_maps_then_paints(inpaint):
    genesis = RandGenesis(rates=ALWAYS | {"inpaint": inpaint}).set_random_state(0)
    volume = torch.rand(2, 24, 20, 16, dtype=torch.float64)
    corrupted, target = genesis(volume)
    assert torch.equal(target.as_tensor(), volume)
    assert np.abs(corrupted.numpy() - corrupted_by_hand(volume.numpy(), genesis.params)).max() <= 1e-4
    assert set(genesis.params.expand()) == {"shuffle", "nonlinear", "inpaint" if inpaint else "outpaint"}


@pytest.mark.parametrize("one", PARTS[1:])
def test_semantic_bends_then_does_the_one_and_the_target_is_the_volume_before(one):
    rates = dict.fromkeys(PARTS[1:], 0.0) | {one: 1.0}
    genesis = RandGenesis("semantic", rates=rates).set_random_state(0)
    ramp = torch.linspace(0, 1, 24, dtype=torch.float64)[:, None, None].expand(24, 20, 32)
    volume = torch.stack([ramp, torch.rand(24, 20, 32, dtype=torch.float64)])
    corrupted, target = genesis(volume)
    assert torch.equal(target.as_tensor(), volume)
    assert np.abs(corrupted.numpy() - corrupted_by_hand(volume.numpy(), genesis.params)).max() <= 1e-4
    assert set(genesis.params.expand()) == {"elastic", one}


def test_models_flips_before_it_corrupts():
    """A curve knows no places, so the flipped volume is mapped; noise does, and it is not flipped."""
    rates = NEVER | {"flip": 1.0, "paint": 1.0, "inpaint": 1.0}
    genesis = RandGenesis(rates=rates).set_random_state(1)
    volume = torch.rand(1, 24, 20, 16)
    corrupted, target = genesis(volume)
    axes = tuple(int(axis) + 1 for axis in np.flatnonzero(genesis.params.flips[0]))
    assert axes and torch.equal(target.as_tensor(), volume.flip(axes))
    mask, noise = genesis.params.inpaint.expand()
    expected = torch.where(torch.from_numpy(mask), torch.from_numpy(noise[0]), volume.flip(axes))
    assert torch.equal(corrupted.as_tensor(), expected)


# ---- as a whole, against the reference implementation


def changed_by_the_book(preset, rng, shape):
    """Share of voxels that one example changes, by loops; a curve changes all, so it is left out of both."""
    _, shuffle, _, inpaint, outpaint = applied_by_the_book(preset, rng)
    volume = rng.random(shape)
    out, most = volume.copy(), 5 if preset == "models" else 1
    if shuffle:
        count = 10_000 if preset == "models" else 5
        sides = rng.integers(1, np.array(shape) // 10 + 1, (count, 3))
        starts = rng.integers(0, np.array(shape) - sides + 1)
        for start, side in zip(starts.tolist(), sides.tolist(), strict=True):
            box = tuple(slice(i, i + s) for i, s in zip(start, side, strict=True))
            out[box] = rng.permutation(volume[box].ravel()).reshape(side)
    if inpaint or outpaint:
        mask, left = np.zeros(shape, bool), most
        while left > 0 and ((left == most and (outpaint or preset == "semantic")) or rng.random() < 0.95):
            if inpaint:
                side = [rng.integers(s // 6, s // 3 + 1) for s in shape]
            else:
                side = [s - rng.integers(3 * s // 7, 4 * s // 7 + 1) for s in shape]
            start = [rng.integers(3, s - a - 3 + 1) for s, a in zip(shape, side, strict=True)]
            mask[tuple(slice(a, a + s) for a, s in zip(start, side, strict=True))] = True
            left -= 1
        out = np.where(mask == inpaint, rng.random(shape), out)
    return (out != volume).mean()


@pytest.mark.parametrize("preset, twins", [("models", 40), ("semantic", 250)])
def test_the_share_of_changed_voxels_is_distributed_as_that_of_a_slow_twin(preset, twins):
    shape, rng = (22, 20, 30), np.random.default_rng(0)
    book = [changed_by_the_book(preset, rng, shape) for _ in range(twins)]
    # The curve is left away; "semantic" then does nothing where it would map.
    quiet = {"flip": 0.0, "nonlinear": 0.0} if preset == "models" else {"elastic": 0.0, "nonlinear": 0.0}
    volume = torch.rand(200, 1, *shape, dtype=torch.float64)
    corrupted, target = BatchedGenesis(preset, rates=quiet).set_random_state(0)(volume)
    ours = (corrupted != target).double().mean(dim=(1, 2, 3, 4))
    assert torch.equal(target, volume)
    assert stats.ks_2samp(book, ours.numpy()).pvalue > 1e-3


# ---- what comes out


def test_without_any_part_the_pair_is_equal_but_not_the_same_memory():
    volume = torch.rand(2, 1, 8, 8, 8)
    for corrupted, target in (RandGenesis(rates=NEVER)(volume[0]), BatchedGenesis(rates=NEVER)(volume)):
        assert torch.equal(corrupted, target)
        assert corrupted.data_ptr() not in (target.data_ptr(), volume[0].data_ptr())


@pytest.mark.parametrize("shape", [(1, 1, 1), (9, 8, 7), (20, 20, 20)])
def test_what_is_done_to_some_cubes_reaches_no_target(shape):
    """The first part is done to all cubes, the others to some, which the composite may do in place."""
    for preset, rates in (("models", {"flip": 0.0, "shuffle": 1.0, "nonlinear": 0.5}), ("semantic", {})):
        batch = torch.rand(12, 1, *shape)
        before = batch.clone()
        corrupted, target = BatchedGenesis(preset, rates=rates).set_random_state(0)(batch)
        assert torch.equal(batch, before) and torch.equal(target, before) and not torch.equal(corrupted, before)


@pytest.mark.parametrize("shape", [(9, 8, 7), (9, 8)])
@pytest.mark.parametrize("seed", range(6))
def test_a_flip_moves_both_and_both_affines_as_monai_does(seed, shape):
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    affine[:3, 3], affine[0, 1], affine[2, 0] = (5, 6, 7), 0.3, -0.2
    volume = MetaTensor(torch.rand(1, *shape), affine=affine, meta={"filename_or_obj": "a.nii"})
    genesis = RandGenesis(rates=NEVER | {"flip": 0.9}).set_random_state(seed)
    corrupted, target = genesis(volume)
    expected = volume
    for axis in np.flatnonzero(genesis.params.flips[0]):
        expected = Flip(int(axis))(expected)
    for out in (corrupted, target):
        assert torch.equal(out.as_tensor(), expected.as_tensor())
        np.testing.assert_allclose(out.affine, expected.affine)
        assert out.meta["filename_or_obj"] == "a.nii"
    np.testing.assert_allclose(volume.affine, affine)
