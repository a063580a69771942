"""The contract of every transform: one list of promises, run over all of them, in both forms."""

import inspect
import pickle

import numpy as np
import pytest
import torch
from monai.data import CacheDataset, MetaTensor
from monai.transforms import Compose, OneOf, Randomizable

import medgenesis.transforms as library
from medgenesis.errors import IntensityRangeError, VolumeError

ARRAY = {name: getattr(library, name) for name in library.__all__ if not name.endswith("d")}
DICTIONARY = {name: getattr(library, name + "d") for name in ARRAY}
SHAPES = [(side,) * 3 for side in (1, 2, 3, 5, 7, 9, 10, 13, 14, 17)]
SHAPES += [(64, 64, 3), (3, 40, 33), (1, 1, 50), (21, 6, 11), (1, 1), (2, 5), (17, 16), (64, 33)]

every_array = pytest.mark.parametrize("make", ARRAY.values(), ids=ARRAY)
every_pair = pytest.mark.parametrize(
    "make, make_d", list(zip(ARRAY.values(), DICTIONARY.values(), strict=True)), ids=ARRAY
)


def outputs(result):
    return result if isinstance(result, tuple) else (result,)


def plain(result):
    return torch.stack([torch.as_tensor(out).as_subclass(torch.Tensor) for out in outputs(result)])


def cube(*shape, seed=0, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@every_array
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_any_shape_in_the_same_out_finite_in_range_and_input_untouched(make, shape, channels):
    volume = cube(channels, *shape)
    before, transform = volume.clone(), make().set_random_state(0)
    for _ in range(3):
        for out in outputs(transform(volume)):
            assert out.shape == volume.shape and out.dtype == torch.float32 and out.device == volume.device
            assert torch.isfinite(out).all() and out.min() >= 0 and out.max() <= 1
    assert torch.equal(volume, before)


@every_array
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_is_kept(make, dtype):
    for out in outputs(make()(cube(1, 12, 12, 12, dtype=dtype))):
        assert out.dtype == dtype and out.min() >= 0 and out.max() <= 1


@every_array
def test_same_seed_same_output_another_seed_another(make):
    volume, transform = cube(2, 20, 20, 20), make()
    first, second = (plain(transform.set_random_state(seed=7)(volume)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, plain(transform.set_random_state(seed=8)(volume)))
    assert not torch.equal(plain(transform(volume)), plain(transform(volume)))


@every_array
def test_global_generators_are_neither_read_nor_moved(make):
    volume, transform = cube(1, 12, 12, 12), make()
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = np.random.get_state()[1].copy(), torch.get_rng_state().clone()  # noqa: NPY002
    transform.set_random_state(0)(volume)
    np.testing.assert_array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


@every_array
def test_what_was_drawn_can_be_replayed_logged_and_pickled(make):
    volume, transform = cube(1, 14, 12, 20), make().set_random_state(0)
    drawn = plain(transform(volume))
    assert torch.equal(plain(transform(volume, randomize=False)), drawn)
    other = make()
    other.params = pickle.loads(pickle.dumps(transform.params))
    assert torch.equal(plain(other(volume, randomize=False)), drawn)
    assert torch.equal(plain(transform.apply(volume[None], transform.params))[:, 0], drawn)
    assert isinstance(str(transform.params.record()), str) and transform.params.expand() is not None


@every_array
def test_a_generator_of_either_kind_draws_and_a_frozen_draw_cannot_be_changed(make):
    for rng in (np.random.RandomState(0), np.random.default_rng(0)):
        params = make().sample(rng, (2, 1, 9, 9, 9))
        assert make().apply(cube(2, 1, 9, 9, 9), params) is not None
        with pytest.raises(AttributeError):
            params.seeds = None


@every_array
def test_replay_before_any_draw_and_on_another_shape_is_refused(make):
    with pytest.raises(RuntimeError, match="before anything was drawn"):
        make()(cube(1, 8, 8, 8), randomize=False)
    transform = make()
    if make is not library.RandNonlinearIntensity:  # a curve fits any shape
        transform(cube(1, 8, 8, 8))
        with pytest.raises(VolumeError, match="draw again"):
            transform(cube(1, 8, 8, 9), randomize=False)


@every_array
def test_meta_tensors_numpy_and_tensors_as_monai_transforms_do(make):
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    volume = MetaTensor(cube(1, 12, 10, 8), affine=affine, meta={"patient": "p7"})
    seeded = make().set_random_state(0)
    for out in outputs(seeded(volume)):
        assert isinstance(out, MetaTensor) and out.meta["patient"] == "p7"
        np.testing.assert_allclose(np.abs(np.diag(out.affine)), [2, 3, 4, 1])  # a flip may reverse axes
    for other in (volume.numpy(), volume.as_tensor(), volume.numpy()[:, ::-1][:, ::-1]):
        before = np.array(other)
        outs = outputs(make().set_random_state(0)(other))
        assert all(isinstance(out, torch.Tensor) for out in outs)
        assert torch.equal(plain(outs), plain(make().set_random_state(0)(volume)))
        np.testing.assert_array_equal(other, before)


@every_array
def test_strided_input(make):
    volume = cube(8, 10, 12, 2).permute(3, 0, 1, 2)
    seeded = plain(make().set_random_state(0)(volume))
    assert torch.equal(seeded, plain(make().set_random_state(0)(volume.contiguous())))


@every_pair
def test_dictionary_equals_array_and_keys_share_one_draw(make, make_d):
    volume = cube(1, 12, 16, 10)
    transform, genesis = make_d("image").set_random_state(5), make is library.RandGenesis
    data = {"image": volume, "other": 1}
    out = transform(data)
    expected = make().set_random_state(5)(volume)
    found = (out["image"], out["target"]) if genesis else out["image"]
    assert torch.equal(plain(found), plain(expected)) and out["other"] == 1
    assert data == {"image": volume, "other": 1}
    both = make_d(["a", "b"], **({"target_key": ["ta", "tb"]} if genesis else {}))({"a": volume, "b": volume})
    assert torch.equal(both["a"], both["b"])


@every_pair
def test_missing_keys(make, make_d):
    with pytest.raises(KeyError):
        make_d("image")({"other": 1})
    assert make_d("image", allow_missing_keys=True)({"other": 1}) == {"other": 1}


@every_pair
def test_pickled_and_composed(make, make_d):
    volume = cube(1, 12, 12, 12)
    for transform in (make(), make_d("image")):
        data = volume if isinstance(transform, tuple(ARRAY.values())) else {"image": volume}
        copy = pickle.loads(pickle.dumps(transform))
        first, second = (t.set_random_state(1)(data) for t in (transform, copy))
        values = (lambda out: plain(out["image"])) if isinstance(first, dict) else plain
        assert torch.equal(values(first), values(second)) and isinstance(transform, Randomizable)
        for wrap in (Compose, OneOf):
            runs = [wrap([transform], map_items=False).set_random_state(seed=2)(data) for _ in range(2)]
            assert torch.equal(values(runs[0]), values(runs[1]))


def test_cached_volumes_stay_as_they_are():
    volume = cube(1, 12, 12, 12)
    chain = Compose([library.RandInPaintd("image"), library.RandLocalShuffled("image"), library.RandGenesisd("image")])
    data = CacheDataset([{"image": volume.clone()}], chain, progress=False)
    assert not torch.equal(data[0]["image"], data[0]["image"])
    assert torch.equal(data._cache[0]["image"], volume)


@pytest.mark.parametrize("name", [n for n in ARRAY if n != "RandGenesis"])
def test_probability(name):
    volume = cube(1, 20, 20, 20)
    for transform, put in ((ARRAY[name], lambda v: v), (DICTIONARY[name], lambda v: {"image": v})):
        keys = () if transform is ARRAY[name] else ("image",)
        seldom = transform(*keys, prob=0.3).set_random_state(0)
        done = 0
        for _ in range(200):
            out = seldom(put(volume))
            done += not torch.equal(out["image"] if keys else out, volume)
        never = 0.05 if "InPaint" in name else 0.0  # an in-painting without blocks
        rate = 0.3 * (1 - never)
        assert abs(done - 200 * rate) < 4.5 * np.sqrt(200 * rate * (1 - rate))
    for wrong in (-0.1, 1.5):
        with pytest.raises(ValueError, match="prob must be"):
            ARRAY[name](prob=wrong)


@every_array
@pytest.mark.parametrize(
    "volume, words",
    [
        (torch.rand(8, 8), "add the channel"),
        (torch.rand(1, 1, 8, 8, 8), "add the channel"),
        (torch.rand(1, 0, 8, 8), "at least one voxel"),
        (torch.zeros(1, 8, 8, 8, dtype=torch.int16), "floating point"),
        (torch.full((1, 4, 4), float("nan")), "NaN"),
        (torch.full((1, 4, 4), float("inf")), "NaN"),
    ],
)
def test_bad_volumes_are_named(make, volume, words):
    with pytest.raises(VolumeError, match=words):
        make()(volume)


@pytest.mark.parametrize("name", [n for n in ARRAY if "value_range" in inspect.signature(ARRAY[n]).parameters])
def test_intensities_outside_the_range_are_refused_and_other_ranges_work(name):
    scored = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    with pytest.raises(IntensityRangeError, match=rf"\(0, 1\).*{scored.min():.3g}.*ScaleIntensityRange"):
        ARRAY[name]()(scored)
    with pytest.raises(IntensityRangeError):
        DICTIONARY[name]("image")({"image": scored})
    hounsfield = cube(1, 16, 16, 16) * 2000 - 1000
    for _ in range(5):
        for out in outputs(ARRAY[name](value_range=(-1000, 1000))(hounsfield)):
            assert out.min() >= -1000 and out.max() <= 1000
    nearly = cube(1, 8, 8, 8) * 1.0005  # the rounding of a resampling
    ARRAY[name]()(nearly)
    for wrong in ((1, 0), (0, 0), (0, float("inf"))):
        with pytest.raises(ValueError, match="value_range"):
            ARRAY[name](value_range=wrong)


@pytest.mark.parametrize(
    "wrong, words",
    [
        (lambda: library.RandLocalShuffle(windows=0), "windows"),
        (lambda: library.RandLocalShuffle(max_side_fraction=0), "max_side_fraction"),
        (lambda: library.RandInPaint(blocks=2.5), "blocks"),
        (lambda: library.RandInPaint(side_fraction=(0.5, 0.2)), "side_fraction"),
        (lambda: library.RandInPaint(margin=-1), "margin"),
        (lambda: library.RandOutPaint(removed_fraction=(0.5, 1.0)), "removed_fraction"),
        (lambda: library.RandOutPaint(p_continue=2), "p_continue"),
        (lambda: library.RandNonlinearIntensity(p_decreasing=-1), "p_decreasing"),
    ],
)
def test_impossible_settings_are_named(wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong()
