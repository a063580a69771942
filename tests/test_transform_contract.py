"""The contract of every transform, in all of its variants (array, dictionary, batched) and on both backends."""

import inspect
import json
import pickle

import numpy as np
import pytest
import torch
from helpers.variants import (
    COMPOSITES,
    IDEAS,
    ONES,
    SUBJECTS,
    VARIANTS,
    build,
    call,
    cube,
    every_subject,
    every_variant,
    result_shape,
    stacked,
    variant_class,
)

import medgenesis.transforms as library
from medgenesis.errors import VolumeError
from medgenesis.transforms import base
from medgenesis.transforms.functional import backend as dispatch

SHAPES = [(1, 2, 3), (5, 6, 4), (9, 7, 8), (10, 11, 12), (15, 13, 14), (17, 1, 16), (8, 10, 17), (13, 9, 2)]
SHAPES += [(1, 1, 1), (64, 64, 3), (3, 40, 33), (1, 1, 50), (1, 1), (2, 5), (17, 16), (64, 33)]
EXACT = ("LocalShuffle", "InPaint", "OutPaint", "CAiDDistortion", "AnatomyCell", "MaskBlocks")
TOLERANCE = dict.fromkeys(SUBJECTS, 2e-6) | dict.fromkeys(EXACT, 0.0)
WITHOUT_BATCHES = {
    "Deferred",
    "RandRegionPromptd",
    "RandSlab",
    "RandSlabd",
    "RandTwoCubesd",
    "RandTwoViewsd",
    "adam_views",
    "caid_views",
}
BENT = {
    "InPlaneElastic": 2e-5,
    "SemanticGenesis": 1e-4,
}  # places in white noise, in single precision; a steep map after


@pytest.fixture(params=["compiled", "torch"])
def backend(request, monkeypatch):
    """Which kernels serve tensors in the processor's memory."""
    if request.param == "torch":
        monkeypatch.setattr(dispatch, "_compiled", lambda: None)
    elif dispatch._compiled() is None:
        pytest.skip("numba is not there")
    return request.param


def agree(subject, found, expected, tolerance=TOLERANCE):
    torch.testing.assert_close(found, expected, rtol=0, atol=tolerance[subject])


# ---- the variants are one transform


def test_each_idea_is_there_in_each_face_with_the_same_settings():
    assert set(library.__all__) - WITHOUT_BATCHES == {
        variant.format(idea) for variant in VARIANTS.values() for idea in IDEAS
    }
    for subject in SUBJECTS:
        array, dictionary, batched = (
            inspect.signature(variant_class(subject, variant)).parameters for variant in VARIANTS
        )
        own = {"keys", "mask_key", "target_key", "allow_missing_keys"}
        assert list(array) == list(batched) == [name for name in dictionary if name not in own]
        for name, setting in array.items():
            assert setting.default == dictionary[name].default == batched[name].default
        with pytest.raises(TypeError):
            build(subject, "batched", unknown=1)


@every_subject
def test_what_was_drawn_for_a_batch_does_the_same_to_each_cube_in_every_face(subject, backend):
    for number, shape in enumerate(SHAPES):
        if not all(expected := result_shape(subject, *shape)):
            continue
        batch = cube(2, 1 + number % 3, *shape, seed=number)
        before, batched = batch.clone(), build(subject, "batched").set_random_state(number)
        together = stacked(batched(batch))
        assert together.shape[1:] == (*batch.shape[:2], *expected) and together.dtype == torch.float32
        assert torch.isfinite(together).all() and together.min() >= 0 and together.max() <= 1
        assert torch.equal(batch, before)
        for b in range(2):
            array = build(subject)
            array.params = batched.params.select(np.array([b]))
            agree(subject, stacked(array(batch[b], randomize=False)), together[:, b])
        dictionary = build(subject, "dictionary")
        dictionary.transform.sample = lambda *_, drawn=array.params: drawn
        agree(subject, call(dictionary, batch[1]), together[:, 1])


@every_subject
def test_one_cube_and_the_same_seed_give_the_same_in_every_face_call_after_call(subject, backend):
    volume = cube(2, 14, 12, 20)
    array, dictionary, batched = (build(subject, variant).set_random_state(3) for variant in VARIANTS)
    for _ in range(3):
        expected = call(array, volume)
        assert torch.equal(call(dictionary, volume), expected) and torch.equal(call(batched, volume), expected)


@pytest.mark.parametrize("subject", ONES)
def test_with_a_probability_too(subject):
    volume, untouched = cube(1, 20, 20, 20), 0
    for seed in range(12):
        expected, *others = (
            call(build(subject, variant, prob=0.5).set_random_state(seed), volume) for variant in VARIANTS
        )
        assert all(torch.equal(other, expected) for other in others)
        untouched += torch.equal(expected[0], volume)
    assert 0 < untouched < 12


@every_subject
def test_a_batch_by_a_seed_of_each_is_what_single_calls_give(subject, backend):
    prob = {"prob": 0.6} if subject in ONES else {}
    batch, seeds = {"image": cube(7, 2, 14, 12, 20)}, [5, 2**32 - 1, 0, 17, 2**31, 5, 8]
    dictionary = build(subject, "dictionary", **prob)
    together = dictionary.on_batch(batch, seeds)
    for number, seed in enumerate(seeds):
        alone = build(subject, "dictionary", **prob).set_random_state(seed)({"image": batch["image"][number]})
        assert alone.keys() == together.keys()
        for name, value in alone.items():
            found, expected = together[name][number], torch.as_tensor(value).as_subclass(torch.Tensor)
            if backend == "compiled":
                assert torch.equal(found, expected), name
            else:
                torch.testing.assert_close(found, expected, rtol=0, atol=(TOLERANCE | BENT)[subject])


@every_subject
def test_a_batch_done_in_parts_is_that_done_at_once(subject, backend, monkeypatch):
    batch, found, prob = cube(11, 2, 14, 12, 20), [], {"prob": 0.7} if subject in ONES else {}
    for parts in (1, 4):  # of whole batches; without the least size, so small ones would be done at once
        monkeypatch.setattr(base, "_PARTS", parts)
        monkeypatch.setattr(base, "_LEAST_AT_ONCE", 1)
        before = batch.clone()
        found.append(stacked(build(subject, "batched", **prob).set_random_state(4)(batch)))
        assert torch.equal(batch, before)
    agree(subject, found[1], found[0], {subject: 0.0} if backend == "compiled" else TOLERANCE | BENT)


@every_subject
def test_both_backends_give_the_same(subject, monkeypatch):
    cases = [(1, 44, 64, 30), (3, 17, 19, 23), (2, 40, 33), (1, 5, 64, 3), (20, 9, 7, 11)]
    for dtype, tolerance in ((torch.float32, TOLERANCE | BENT), (torch.float64, TOLERANCE)):
        cases = [case for case in cases if all(result_shape(subject, *case[1:]))]
        compiled = [call(build(subject).set_random_state(i), cube(*s, dtype=dtype)) for i, s in enumerate(cases)]
        with monkeypatch.context() as patch:
            patch.setattr(dispatch, "_compiled", lambda: None)
            for number, shape in enumerate(cases):
                found = call(build(subject).set_random_state(number), cube(*shape, dtype=dtype))
                agree(subject, found, compiled[number], tolerance)


@pytest.mark.gpu
@every_subject
def test_a_gpu_gives_the_same(subject):
    batch = cube(6, 2, 33, 20, 17)
    batched = build(subject, "batched").set_random_state(0)
    expected = stacked(batched(batch))
    found = batched(batch.cuda(), randomize=False)
    assert all(out.device.type == "cuda" for out in (found if isinstance(found, tuple) else (found,)))
    agree(subject, stacked(found).cpu(), expected, TOLERANCE | BENT)


# ---- types and layouts


@every_subject
@every_variant
def test_dtype_is_kept_and_the_result_is_that_of_double_precision_rounded(subject, variant, backend):
    wide = call(build(subject, variant).set_random_state(5), cube(1, 12, 14, 13, dtype=torch.float64))
    assert wide.dtype == torch.float64
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        out = call(build(subject, variant).set_random_state(5), cube(1, 12, 14, 13, dtype=dtype))
        assert out.dtype == dtype and out.min() >= 0 and out.max() <= 1
        assert (out.double() - wide).abs().max() <= torch.finfo(dtype).eps / 2 + 2e-6


@every_subject
@pytest.mark.parametrize("variant", ["array", "batched"])
def test_memory_layouts(subject, variant, backend):
    """Strided, expanded, and (NumPy) reversed volumes give what a contiguous copy gives, and stay as they are."""
    base = cube(10, 12, 9, 2)
    views = [base.permute(3, 0, 1, 2), base[..., :1].permute(3, 0, 1, 2).expand(2, -1, -1, -1), base[::2, 1:, ::3].mT]
    arrays = [base.numpy()[::-1, :, ::-1].transpose(3, 0, 1, 2), np.asfortranarray(base.numpy())]
    for volume in (given for given in views + arrays if all(result_shape(subject, *given.shape[1:]))):
        before = np.array(volume)
        found = call(build(subject, variant).set_random_state(2), volume)
        plain = torch.from_numpy(np.ascontiguousarray(before))
        assert torch.equal(found, call(build(subject, variant).set_random_state(2), plain))
        np.testing.assert_array_equal(volume, before)


# ---- what was drawn


@every_subject
@every_variant
def test_what_was_drawn_can_be_taken_out_logged_pickled_and_replayed(subject, variant):
    volume, transform = cube(1, 14, 12, 20), build(subject, variant).set_random_state(0)
    made = call(transform, volume)
    params = transform.transform.params if variant == "dictionary" else transform.params
    record = params.record()
    assert json.loads(json.dumps(record)) == json.loads(json.dumps(pickle.loads(pickle.dumps(params)).record()))
    assert list(record) == list(params.__dataclass_fields__) and params.expand() is not None
    for other in (build(subject), build(subject, "batched")):
        other.params = pickle.loads(pickle.dumps(params))
        batched = isinstance(other, variant_class(subject, "batched"))
        again = stacked(other(volume[None] if batched else volume, randomize=False))
        assert torch.equal(again[:, 0] if batched else again, made)
    assert torch.equal(stacked(build(subject).apply(volume[None], params))[:, 0], made)


@every_subject
def test_drawn_by_a_generator_of_either_kind_frozen_and_applied_into_new_memory(subject, backend):
    smallest = (8, 8, 8) if subject in ("AnatomyCell", "MaskBlocks") else (1, 1, 1)
    for rng, shape in ((np.random.RandomState(0), smallest), (np.random.default_rng(0), (9, 9, 9))):
        params, volume = build(subject).sample(rng, (2, 1, *shape)), cube(2, 1, *shape)
        result = build(subject).apply(volume, params)
        made, *others = (*(result if isinstance(result, tuple) else (result,)), volume)
        assert made.untyped_storage().data_ptr() not in [other.untyped_storage().data_ptr() for other in others]
        with pytest.raises(AttributeError):
            params.seeds = None


@every_subject
@pytest.mark.parametrize("variant", ["array", "batched"])
def test_replay_before_any_draw_and_on_another_shape_is_refused(subject, variant):
    transform, lead = build(subject, variant), (2, 1) if variant == "batched" else (1,)
    with pytest.raises(RuntimeError, match="randomize=False needs an earlier draw"):
        transform(cube(*lead, 8, 8, 8), randomize=False)
    transform(cube(*lead, 8, 8, 8))
    pointwise = ("NonlinearIntensity", "BrightnessContrast", "Blur")  # what fits any shape
    others = [(*lead, 8, 8, 9), (*lead, 8, 8)] if subject not in pointwise else []
    for other in others + ([(3, 1, 8, 8, 8)] if variant == "batched" else []):
        with pytest.raises(VolumeError):
            transform(cube(*other), randomize=False)


@every_subject
def test_keys_of_a_dictionary_share_one_draw(subject):
    volume, targets = cube(1, 12, 16, 10), {"target_key": ["ta", "tb"]} if subject in COMPOSITES else {}
    transform = variant_class(subject, "dictionary")(["a", "b"], **SUBJECTS[subject], **targets).set_random_state(5)
    out = transform(data := {"a": volume, "b": volume.clone(), "other": 1})
    found = ((out["a"], out["ta"]), (out["b"], out["tb"])) if targets else ((out["a"],), (out["b"],))
    expected = call(build(subject).set_random_state(5), volume)
    assert all(torch.equal(stacked(pair), expected) for pair in found) and out["other"] == 1
    assert set(data) == {"a", "b", "other"} and data["a"] is volume
