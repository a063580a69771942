"""At home in MONAI: composed, chosen and seeded as MONAI's own transforms are, of whatever type the volume is."""

import numpy as np
import pytest
import torch
from helpers.variants import (
    AFFINE,
    COMPOSITES,
    CROPS,
    SUBJECTS,
    build,
    call,
    cube,
    every_subject,
    every_variant,
    outputs,
    stacked,
)
from monai.data import MetaTensor, set_track_meta
from monai.transforms import Compose, Flipd, Identity, OneOf, RandomizableTrait, RandomOrder, SomeOf
from monai.utils import set_determinism

from medgenesis.transforms import RandGenesisd, RandInPaintd, RandLocalShuffled, RandNonlinearIntensityd

UNFLIPPED = {"Genesis": {"rates": {"flip": 0.0}}}


@pytest.fixture
def determinism():
    """set_determinism, undone after the test."""
    yield set_determinism
    set_determinism(None)


def meta_cube(*shape, seed=0):
    return MetaTensor(cube(*shape, seed=seed), affine=AFFINE, meta={"patient": "p7", "spacing_known": True})


def framed(variant, volume):
    """A volume (C, *spatial) as a face wants it."""
    return {"array": lambda: volume, "dictionary": lambda: {"image": volume}, "batched": lambda: volume[None]}[
        variant
    ]()


def values(result):
    if isinstance(result, dict):
        result = tuple(result[name] for name in ("image", "target") if name in result)
    return stacked(result)


# ---- composed


@every_subject
@every_variant
@pytest.mark.parametrize("lazy", [False, True])
def test_compose_seeds_it_and_calls_it_lazily_or_not(subject, variant, lazy):
    data = framed(variant, cube(1, 12, 20, 16))
    chain = Compose([Identity(), build(subject, variant), Identity()], map_items=False, lazy=lazy)
    first, second, other = (values(chain.set_random_state(seed)(data)) for seed in (2, 2, 3))
    assert torch.equal(first, second) and not torch.equal(first, other)
    chain.set_random_state(2)
    alone = build(subject, variant).set_random_state(state=chain.transforms[1].R)
    assert torch.equal(values(alone(data)), first)
    assert isinstance(chain.transforms[1], RandomizableTrait)  # where MONAI's caches stop caching


@pytest.mark.parametrize("subject", COMPOSITES)
def test_what_follows_the_array_composite_gets_the_pair_or_each_of_it(subject):
    """map_items=False hands on (corrupted, target); True maps the next transform over them, as over any items."""
    seen, volume = [], cube(1, 12, 12, 12)

    def see(item):
        seen.append(item)
        return item

    expected = call(build(subject).set_random_state(state=np.random.RandomState(9)), volume)
    for map_items in (False, True):
        seen.clear()
        composite = build(subject)
        chain = Compose([composite, see], map_items=map_items)
        composite.set_random_state(state=np.random.RandomState(9))
        result = chain(volume)
        assert torch.equal(stacked(tuple(result)), expected)
        assert len(seen) == (2 if map_items else 1) and isinstance(result, list if map_items else tuple)
    assert [torch.equal(torch.as_tensor(one), e) for one, e in zip(seen, expected, strict=True)] == [True, True]


def test_lists_of_volumes_are_mapped_over_by_the_dictionary_form_after_a_multi_sample_transform():
    items = [{"image": cube(1, 12, 12, 12, seed=i)} for i in range(3)]
    out = Compose([RandGenesisd()], map_items=True).set_random_state(0)(items)
    assert len(out) == 3 and all(set(item) == {"image", "target"} for item in out)


def parts():
    return [RandLocalShuffled("image", 200), RandInPaintd("image", p_continue=1.0), RandNonlinearIntensityd("image")]


@pytest.mark.parametrize(
    "make", [OneOf, RandomOrder, lambda t: SomeOf(t, num_transforms=2)], ids=["One", "Order", "Some"]
)
def test_chosen_and_ordered_by_monai(make):
    data, used, runs = {"image": cube(1, 20, 20, 20)}, [], []
    for seed in range(8):
        for _ in range(2):
            chain = make(parts()).set_random_state(seed)
            runs.append(chain(data)["image"])
            used.append([t.transform.params is not None for t in chain.transforms])
        assert torch.equal(runs[-1], runs[-2]) and not torch.equal(runs[-1], data["image"])
    expected = {OneOf: 1, RandomOrder: 3}.get(make, 2)
    assert {sum(one) for one in used} == {expected} and np.any(used, axis=0).all()
    nested = Compose([OneOf([RandGenesisd(), RandGenesisd(preset="semantic")])])
    assert torch.equal(nested.set_random_state(1)(data)["image"], nested.set_random_state(1)(data)["image"])


@every_subject
@every_variant
def test_set_determinism_reaches_what_is_composed_after_it(subject, variant, determinism):
    data, runs = framed(variant, cube(1, 20, 20, 20)), []
    for seed in (4, 4, 5):
        determinism(seed)
        runs.append(values(Compose([build(subject, variant)], map_items=False)(data)))
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


# ---- meta data, types


@every_subject
@every_variant
def test_a_meta_tensor_keeps_its_affine_its_meta_data_and_its_trace(subject, variant):
    volume = Flipd("image", 0)({"image": meta_cube(1, 12, 10, 8)})["image"]
    before = volume.clone()
    for out in outputs(build(subject, variant, **UNFLIPPED.get(subject, {})), volume):
        assert isinstance(out, MetaTensor) and out.meta["patient"] == "p7" and out.meta["spacing_known"] is True
        assert subject in CROPS or np.allclose(out.affine, volume.affine)  # else see test_cropping.py
        assert [step["class"] for step in out.applied_operations] == ["Flip"]
        out.meta["patient"], out.affine = "another", torch.eye(4)
    assert volume.meta["patient"] == "p7" and torch.equal(volume.affine, before.affine)
    assert torch.equal(volume.as_tensor(), before.as_tensor())


@every_subject
@pytest.mark.parametrize("variant", ["array", "dictionary"])
def test_numpy_and_tensors_become_what_monai_makes_of_them(subject, variant):
    volume = cube(1, 12, 10, 8)
    expected = call(build(subject, variant).set_random_state(0), volume)
    for given in (volume, volume.numpy()):
        outs = outputs(build(subject, variant).set_random_state(0), given)
        assert all(type(out) is MetaTensor for out in outs) and torch.equal(stacked(outs), expected)
    set_track_meta(False)
    try:
        outs = outputs(build(subject, variant).set_random_state(0), meta_cube(1, 12, 10, 8))
        assert all(type(out) is torch.Tensor for out in outs) and torch.equal(stacked(outs), expected)
    finally:
        set_track_meta(True)


@every_subject
@pytest.mark.parametrize("variant", ["array", "dictionary"])
def test_the_affine_that_numpy_lacks_is_a_new_one_for_each_volume(subject, variant):
    whole = {"size": 6, "scale": (1, 1), "ratio": (1, 1)}
    unmoved = UNFLIPPED | {"AnatomyCell": {"level": 0}, "ResizedCrop": whole}
    for _ in range(2):
        for out in outputs(build(subject, variant, **unmoved.get(subject, {})), cube(1, 6, 6, 6).numpy())[:1]:
            assert torch.equal(out.affine, torch.eye(4, dtype=torch.float64)) and not set(out.meta) & {"patient"}
            out.affine[0, 0], out.meta["patient"] = 7, "p7"


@every_subject
def test_a_batch_of_plain_tensors_stays_one(subject):
    for given in (cube(2, 1, 12, 10, 8), cube(2, 1, 12, 10, 8).numpy()):
        out = build(subject, "batched")(given)
        assert all(type(one) is torch.Tensor for one in (out if isinstance(out, tuple) else (out,)))


@every_subject
@every_variant
def test_no_gradient_is_passed_on(subject, variant):
    volume = cube(1, 12, 12, 12).requires_grad_()
    assert not any(out.requires_grad for out in outputs(build(subject, variant), volume))


@every_subject
def test_missing_keys(subject):
    with pytest.raises(KeyError):
        build(subject, "dictionary")({"other": 1})
    lenient = build(subject, "dictionary", allow_missing_keys=True)
    assert lenient({"other": 1}) == {"other": 1}
    names = {"keys": ["a", "image"]} | ({"target_key": ["ta", "target"]} if subject in COMPOSITES else {})
    some = type(lenient)(**names, **SUBJECTS[subject], allow_missing_keys=True).set_random_state(3)
    out = some({"image": cube(1, 12, 12, 12)})
    assert set(out) - {"mask"} == ({"image", "target"} if subject in COMPOSITES else {"image"})
    assert torch.equal(values(out), call(build(subject).set_random_state(3), cube(1, 12, 12, 12)))
