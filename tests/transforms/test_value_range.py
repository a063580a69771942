"""`value_range` and `rescale` of every transform to which intensities matter, in every face."""

import inspect

import numpy as np
import pytest
import torch
from helpers.variants import COMPOSITES, SUBJECTS, build, call, cube, every_variant, stacked, variant_class
from monai.transforms import ScaleIntensity

from medgenesis.errors import IntensityRangeError

RANGED = [s for s in SUBJECTS if "value_range" in inspect.signature(variant_class(s, "array")).parameters]
WITHOUT = {"LocalShuffle", "InPlaneElastic", "AnatomyCell", "ResizedCrop", "Blur", "MaskBlocks"}
every_ranged = pytest.mark.parametrize("subject", RANGED)
ONES = [subject for subject in RANGED if subject not in COMPOSITES]


def test_all_but_those_that_move_or_average_voxels_have_a_range():
    assert set(SUBJECTS) - set(RANGED) == WITHOUT


@every_ranged
@every_variant
@pytest.mark.parametrize("value_range", [(-1000, 1000), (-3.5, -0.25), (0, 1e-3)], ids=str)
def test_another_range_gives_the_result_of_0_to_1_mapped_linearly(subject, variant, value_range):
    low, high = value_range
    volume = cube(2, 15, 20, 12, dtype=torch.float64)
    moved = volume * (high - low) + low
    for seed in range(2):
        expected = call(build(subject, variant).set_random_state(seed), volume) * (high - low) + low
        found = call(build(subject, variant, value_range=value_range).set_random_state(seed), moved)
        assert (found - expected).abs().max() <= 2e-6 * (high - low)
        single = call(build(subject, variant, value_range=value_range).set_random_state(seed), moved.float())
        assert single.min() >= np.float32(low) and single.max() <= np.float32(high)


@every_ranged
@every_variant
def test_what_lies_outside_is_refused_with_range_and_remedy_but_for_rounding(subject, variant):
    scored = torch.randn(1, 16, 16, 16, generator=torch.Generator().manual_seed(0))
    words = rf"value_range=\(0, 1\).*found {scored.min():g} to {scored.max():g}.*ScaleIntensityRange.*rescale=True"
    with pytest.raises(IntensityRangeError, match=words):
        call(build(subject, variant), scored)
    nearly = torch.linspace(-0.0009, 1.0009, 1000).reshape(1, 10, 10, 10)  # the rounding of a resampling
    assert torch.isfinite(call(build(subject, variant), nearly)).all()
    for wrong in (-0.0011, 1.0011):
        with pytest.raises(IntensityRangeError):
            call(build(subject, variant), torch.full((1, 4, 4, 4), wrong))
    wide = build(subject, variant, value_range=(-1000, 1000))
    assert torch.isfinite(call(wide, torch.full((1, 4, 4, 4), 1001.9))).all()
    with pytest.raises(IntensityRangeError, match=r"\(-1000, 1000\)"):
        call(wide, torch.full((1, 4, 4, 4), 1002.1))


@every_ranged
@every_variant
@pytest.mark.parametrize("value_range", [(0, 1), (-1000, 500)], ids=str)
def test_rescale_equals_rescaling_by_hand(subject, variant, value_range):
    volume = torch.randn(2, 15, 20, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 70 - 300
    before = volume.clone()
    by_hand = torch.from_numpy(np.interp(volume, (volume.min(), volume.max()), value_range))
    for seed in range(2):
        asked = build(subject, variant, value_range=value_range, rescale=True).set_random_state(seed)
        expected = call(build(subject, variant, value_range=value_range).set_random_state(seed), by_hand)
        torch.testing.assert_close(call(asked, volume), expected, rtol=0, atol=2e-6 * (value_range[1] - value_range[0]))
    assert torch.equal(volume, before)


@every_ranged
def test_each_cube_of_a_batch_and_each_key_is_rescaled_by_its_own_values(subject):
    volume = cube(1, 16, 16, 16)
    volume.view(-1)[:2] = torch.tensor([0.0, 1.0])
    scales = ((1, 0), (4, -8), (0.5, 100), (2048, -1024))
    batch = torch.stack([volume * factor + shift for factor, shift in scales])
    batched = build(subject, "batched", rescale=True).set_random_state(0)
    array = build(subject)
    for made in (stacked(batched(batch)), stacked(batched(batch, randomize=False))):
        for b in range(len(scales)):
            array.params = batched.params.select(np.array([b]))
            torch.testing.assert_close(made[:, b], stacked(array(volume, randomize=False)), rtol=0, atol=2e-6)
    keys = {"keys": ["a", "b"]} | ({"target_key": ["ta", "tb"]} if subject in COMPOSITES else {})
    dictionary = variant_class(subject, "dictionary")(**keys, **SUBJECTS[subject], rescale=True).set_random_state(0)
    out = dictionary({"a": batch[0], "b": batch[3]})
    assert torch.equal(out["a"], out["b"]) and out["a"].max() <= 1


@pytest.mark.parametrize("subject", ONES)
@every_variant
def test_a_volume_that_is_left_alone_is_rescaled_all_the_same(subject, variant):
    volume = cube(1, 16, 16, 16) * 300 - 20
    expected = torch.as_tensor(ScaleIntensity(-1, 2)(volume))
    found = call(build(subject, variant, value_range=(-1, 2), rescale=True, prob=0.0), volume)[0]
    torch.testing.assert_close(found, expected.as_subclass(torch.Tensor), rtol=0, atol=2e-6)


@every_ranged
@every_variant
def test_a_constant_volume_is_rescaled_to_the_lower_end(subject, variant):
    for value in (-5.0, 0.0, 1e6):
        volume = torch.full((1, 12, 12, 12), value)
        made = call(build(subject, variant, value_range=(2, 3), rescale=True).set_random_state(0), volume)
        lower_end = call(build(subject, variant, value_range=(2, 3)).set_random_state(0), torch.full_like(volume, 2.0))
        assert torch.equal(made, lower_end)


@pytest.mark.parametrize("subject", ONES)
@every_variant
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_rescaled_also_where_its_spread_is_more_than_float16_holds(subject, variant, dtype):
    volume = ((cube(1, 12, 12, 12, dtype=torch.float64) * 2 - 1) * 60_000).to(dtype)
    found = call(build(subject, variant, rescale=True, prob=0.0), volume)[0]
    least, greatest = volume.double().aminmax()
    expected = (volume.double() - least) / (greatest - least)
    assert found.dtype == dtype and (found.double() - expected).abs().max() <= torch.finfo(dtype).eps / 2 + 1e-6
    assert torch.isfinite(call(build(subject, variant, rescale=True), volume)).all()


@every_ranged
@every_variant
@pytest.mark.parametrize("wrong", [(1, 0), (0, 0), (0, float("inf")), (float("nan"), 1)], ids=str)
def test_impossible_ranges_are_named(subject, variant, wrong):
    with pytest.raises(ValueError, match="value_range: must be two finite numbers, low < high; found"):
        build(subject, variant, value_range=wrong)
