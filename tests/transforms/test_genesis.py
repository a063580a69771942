"""RandGenesis: rates, order, the flip of both and of both affines."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Flip
from scipy import stats

from medgenesis.transforms import RandGenesis, RandGenesisd

ALWAYS = {"flip": 0.0, "shuffle": 1.0, "nonlinear": 1.0, "paint": 1.0}


def test_rates_are_those_of_models_genesis():
    params = RandGenesis().sample(np.random.RandomState(0), (20_000, 1, 8, 8, 8))
    expected = {
        "shuffled": 0.5,
        "mapped": 0.9,
        "inpainted": 0.9 * 0.2,
        "outpainted": 0.9 * 0.8,
    }
    for name, rate in expected.items():
        assert stats.binomtest(int(getattr(params, name).sum()), 20_000, rate).pvalue > 1e-4, name
    assert not (params.inpainted & params.outpainted).any()
    together = (params.shuffled & params.mapped).mean()
    assert abs(together - 0.45) < 4.5 * np.sqrt(0.45 * 0.55 / 20_000)


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


@pytest.mark.parametrize("inpaint", [0.0, 1.0])
def test_parts_are_applied_in_the_published_order(inpaint):
    """Shuffle, then intensity, then paint: redone by hand from what the parameters stand for."""
    genesis = RandGenesis(rates=ALWAYS | {"inpaint": inpaint}).set_random_state(0)
    volume = torch.rand(2, 24, 20, 16, dtype=torch.float64)
    corrupted, target = genesis(volume)
    assert torch.equal(target.as_tensor(), volume)
    shown, channels = genesis.params.expand(), []
    sources = genesis.params.shuffle.sources()[0]
    x, y = genesis.params.nonlinear.expand(segments=10**5)[0]
    mask, noise = genesis.params.inpaint.expand() if inpaint else genesis.params.outpaint.expand(channels=2)
    for c, channel in enumerate(volume.numpy()):
        mapped = np.interp(channel.reshape(-1)[sources].reshape(channel.shape), x, y)
        painted = noise[0][0] if inpaint else noise[0][c]
        channels.append(np.where(mask[0], painted, mapped) if inpaint else np.where(mask[0], mapped, painted))
    assert np.abs(corrupted.numpy() - np.stack(channels)).max() <= 1e-4
    assert set(shown) == {"shuffle", "nonlinear", "inpaint", "outpaint"}


def test_without_any_part_the_pair_is_equal_but_not_the_same_memory():
    off = dict.fromkeys(("flip", "shuffle", "nonlinear", "paint"), 0.0)
    volume = torch.rand(1, 8, 8, 8)
    corrupted, target = RandGenesis(rates=off)(volume)
    assert torch.equal(corrupted, target) and corrupted.data_ptr() != target.data_ptr()


@pytest.mark.parametrize("seed", range(12))
def test_a_flip_moves_both_and_both_affines_as_monai_does(seed):
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    affine[:3, 3] = 5, 6, 7
    volume = MetaTensor(torch.rand(1, 9, 8, 7), affine=affine, meta={"filename_or_obj": "a.nii"})
    quiet = {"flip": 0.9, "shuffle": 0.0, "nonlinear": 0.0, "paint": 0.0}
    genesis = RandGenesis(rates=quiet).set_random_state(seed)
    corrupted, target = genesis(volume)
    expected = volume
    for axis in np.flatnonzero(genesis.params.flips[0]):
        expected = Flip(int(axis))(expected)
    for out in (corrupted, target):
        assert torch.equal(out.as_tensor(), expected.as_tensor())
        np.testing.assert_allclose(out.affine, expected.affine)
        assert out.meta["filename_or_obj"] == "a.nii"
    np.testing.assert_allclose(volume.affine, affine)


def test_the_batched_kernel_does_to_each_cube_what_the_array_form_does():
    genesis = RandGenesis()
    batch = torch.rand(8, 2, 12, 20, 6)
    params = genesis.sample(np.random.RandomState(0), tuple(batch.shape))
    before = batch.clone()
    corrupted, target = genesis.apply(batch, params)
    assert torch.equal(batch, before)
    for b in range(8):
        genesis.params = params.select(np.array([b]))
        one, clean = genesis(batch[b], randomize=False)
        torch.testing.assert_close(corrupted[b], one.as_tensor())
        torch.testing.assert_close(target[b], clean.as_tensor())


def test_dictionary_form_writes_both_and_keeps_the_rest():
    volume = torch.rand(1, 16, 16, 8)
    out = RandGenesisd("image").set_random_state(3)({"image": volume, "patient": "p1"})
    corrupted, target = RandGenesis().set_random_state(3)(volume)
    assert set(out) == {"image", "target", "patient"} and out["patient"] == "p1"
    assert torch.equal(out["image"], corrupted) and torch.equal(out["target"], target)


def test_several_keys_share_one_draw():
    volume = torch.rand(1, 16, 16, 8)
    out = RandGenesisd(["a", "b"], ["ta", "tb"])({"a": volume, "b": volume})
    assert torch.equal(out["a"], out["b"]) and torch.equal(out["ta"], out["tb"])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: RandGenesis("semantics"),
        lambda: RandGenesis(rates={"flip": 1.2}),
        lambda: RandGenesis(value_range=(1, 0)),
        lambda: RandGenesisd(["a", "b"], "target"),
        lambda: RandGenesisd("image", "image"),
    ],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match="must"):
        wrong()
