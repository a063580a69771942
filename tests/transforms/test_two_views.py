"""Two views: independent, of one slab and one cell; the target is the clean query crop and follows its flip."""

import pickle

import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, Flip, RandFlip, RandRotate, RandRotate90, Resize
from scipy import stats
from scipy.ndimage import rotate

from medgenesis.transforms import (
    RandAnatomyCell,
    RandBlur,
    RandBrightnessContrast,
    RandCAiDDistortion,
    RandResizedCrop,
    RandSlabd,
    RandTwoViewsd,
    adam_views,
    caid_views,
)


def slab(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def steps_of(views):
    return (views.transforms[-1] if isinstance(views, Compose) else views).view.transforms


def values(sample, *names):
    return [torch.as_tensor(sample[name]).as_subclass(torch.Tensor) for name in names]


def test_the_views_of_caid_are_the_published_steps_in_their_order():
    crop, jitter, blur, flip, distortion = steps_of(caid_views())
    assert isinstance(crop, RandResizedCrop) and (crop.size, crop.scale) == (224, (0.2, 1.0))
    assert crop.least_side == 32 and steps_of(caid_views(96, mode="id", least_side=16))[0].least_side == 16
    assert isinstance(jitter, RandBrightnessContrast) and jitter.prob == 0.8
    assert isinstance(blur, RandBlur) and (blur.sigma, blur.prob) == ((0.1, 2.0), 0.5)
    assert isinstance(flip, RandFlip) and flip.prob == 0.5 and isinstance(distortion, RandCAiDDistortion)
    assert [type(step) for step in steps_of(caid_views(mode="id"))] == [type(s) for s in (crop, jitter, blur, flip)]


def test_the_views_of_adam_are_the_published_steps_in_their_order():
    crop, jitter, blur, turn = steps_of(adam_views())
    assert isinstance(crop, RandResizedCrop) and (crop.size, crop.scale) == (224, (0.2, 1.0))
    assert isinstance(jitter, RandBrightnessContrast) and jitter.prob == 0.8
    assert isinstance(blur, RandBlur) and (blur.sigma, blur.prob) == ((0.1, 2.0), 0.5)
    assert isinstance(turn, RandRotate) and turn.prob == 1.0


def test_shapes_and_keys():
    out = caid_views(96)({"image": slab(5, 120, 110), "other": 1})
    assert {name: tuple(v.shape) for name, v in out.items() if name != "other"} == {
        "image": (5, 96, 96),
        "key": (5, 96, 96),
        "target": (1, 96, 96),
    }
    assert set(caid_views(96, mode="id")({"image": slab(3, 120, 110)})) == {"image", "key"}
    out = adam_views(64, level=2)({"image": slab(3, 120, 110)})
    assert {name: tuple(v.shape) for name, v in out.items()} == {"image": (3, 64, 64), "key": (3, 64, 64)}
    out = caid_views(96, keys="ct", key_key="k", target_key="t")({"ct": slab(3, 120, 110)})
    assert set(out) == {"ct", "k", "t"}


@pytest.mark.parametrize("align_target", [True, False])
def test_the_target_is_the_clean_query_crop_and_follows_its_flip_when_aligned(align_target):
    """Here the view is clean but for the flip: what the target must be is seen in the view itself."""
    image, flips = slab(3, 130, 120), 0
    view = [RandResizedCrop(96), RandFlip(0.5, spatial_axis=1)]
    views = RandTwoViewsd("image", view, target_key="target", align_target=align_target).set_random_state(0)
    crop = RandResizedCrop(96)
    for seed in range(12):
        out = views.set_random_state(seed)({"image": image})
        query, target = values(out, "image", "target")
        views.set_random_state(seed)
        steps_of(views)[0](image)  # the query's draw once more
        crop.params = steps_of(views)[0].params
        clean = torch.as_tensor(crop(image, randomize=False)).as_subclass(torch.Tensor)[1:2]
        flipped = not torch.equal(query[1:2], clean)
        assert not flipped or torch.equal(query[1:2], clean.flip(-1))
        assert torch.equal(target, clean.flip(-1) if flipped and align_target else clean)
        flips += flipped
    assert 2 < flips < 10


def test_jitter_blur_and_distortion_leave_the_target_alone():
    """With and without them, the same crops and flips are drawn; so is the target."""
    image, changed = slab(3, 130, 120), 0
    for seed in range(8):
        full = caid_views(96).set_random_state(seed)
        query, target = values(full({"image": image}), "image", "target")
        views = caid_views(96).set_random_state(seed)
        steps = views.view.transforms
        for step in (steps[1], steps[2], steps[4]):
            step.prob = 0.0
        clean, same = values(views({"image": image}), "image", "target")
        assert torch.equal(clean[1:2], same) and torch.equal(target, same)
        changed += not torch.equal(query, clean)
    assert changed >= 6


def test_a_target_that_is_aligned_follows_rotations_too():
    image = slab(3, 80, 80)
    steps = [RandResizedCrop(64), RandRotate(0.5, prob=1.0, padding_mode="zeros"), RandRotate90(0.5)]
    for align in (True, False):
        views = RandTwoViewsd("image", steps, target_key="target", align_target=align).set_random_state(1)
        query, target = values(views({"image": image}), "image", "target")
        assert torch.equal(query[1:2], target) == align


def test_a_target_follows_what_is_moved_without_chance():
    image = slab(3, 80, 60)
    steps = [RandResizedCrop(64), RandBlur(prob=1.0), Flip(1), Resize((32, 48), mode="nearest")]
    for align in (True, False):
        views = RandTwoViewsd("image", steps, target_key="target", align_target=align).set_random_state(1)
        query, target = values(views({"image": image}), "image", "target")
        views.set_random_state(1)
        (clean,) = values({"crop": steps[0](image)}, "crop")
        expected = clean[1:2].flip(-1)[:, ::2][..., torch.arange(48) * 64 // 48] if align else clean[1:2]
        assert torch.equal(target, expected) and query.shape == (3, 32, 48)


@pytest.mark.parametrize("target_key, calls", [(None, 2), ("target", 3)])
def test_only_a_target_that_is_wanted_is_made(target_key, calls):
    class Counted(RandFlip):
        count = 0

        def __call__(self, *given, **named):
            self.count += 1
            return super().__call__(*given, **named)

    flip = Counted(1.0)
    RandTwoViewsd("image", [RandResizedCrop(32), RandBlur(prob=1.0), flip], target_key=target_key)(
        {"image": slab(3, 64, 64)}
    )
    assert flip.count == calls


def test_the_views_are_two_draws_of_the_same_slab_and_the_target_is_the_querys():
    image = slab(3, 130, 120)
    for views in (caid_views(96), adam_views(64, level=2)):
        query, key = values(views.set_random_state(0)({"image": image}), "image", "key")
        assert not torch.equal(query, key)
    boxes = []
    views = RandTwoViewsd("image", [crop := RandResizedCrop(32)], target_key="target").set_random_state(0)
    draw, crop_sample = [], crop.sample
    crop.sample = lambda *given: draw.append(crop_sample(*given)) or draw[-1]
    for _ in range(300):
        query, target = values(views({"image": image}), "image", "target")
        boxes.append([np.concatenate([p.starts[0], p.sides[0]]) for p in draw[-2:]])
        assert torch.equal(query[1:2], target)
    first, second = np.array(boxes).swapaxes(0, 1)
    for column in range(4):
        assert abs(np.corrcoef(first[:, column], second[:, column])[0, 1]) < 4.5 / 300**0.5
        assert stats.ks_2samp(first[:, column], second[:, column]).pvalue > 1e-3


def test_both_views_of_adam_are_of_one_cell():
    """Each of four cells has its own grey; no jitter, no blur."""
    image = torch.ones(3, 100, 100) * 0.1
    image[:, :50, 50:], image[:, 50:, :50], image[:, 50:, 50:] = 0.3, 0.6, 0.9
    views, seen = adam_views(32, level=2).set_random_state(0), []
    for step in steps_of(views)[1:3]:
        step.prob = 0.0
    for _ in range(60):
        query, key = values(views({"image": image}), "image", "key")
        assert torch.isclose(query.max(), key.max(), atol=1e-6)
        seen.append(round(float(query.max()), 3))
    assert set(seen) == {0.1, 0.3, 0.6, 0.9}


def test_the_rotation_is_uniform_to_30_degrees_nearest_and_its_corners_are_black():
    turn = steps_of(adam_views())[-1].set_random_state(0)
    image, angles = torch.rand(3, 101, 101, dtype=torch.float32) + 0.1, []
    for _ in range(2000):
        turn.randomize()
        angles.append(np.degrees(turn.x))
    assert stats.kstest((np.array(angles) + 30) / 60, "uniform").pvalue > 1e-4
    for _ in range(3):
        out = torch.as_tensor(turn(image)).as_subclass(torch.Tensor)
        assert out.shape == image.shape and torch.isin(out, torch.cat([image.flatten(), torch.zeros(1)])).all()
        turned = [
            np.stack([rotate(channel.numpy(), sign * np.degrees(turn.x), reshape=False, order=0) for channel in image])
            for sign in (1, -1)
        ]
        share = max((out.numpy() == one).mean() for one in turned)
        assert share > 0.97, "but for pixels half-way between two"
        if abs(turn.x) > 0.1:
            assert (out[:, 0, 0] == 0).all() and (out[:, -1, -1] == 0).all()


@pytest.mark.parametrize(
    "make", [lambda: caid_views(96), lambda: caid_views(96, mode="id"), lambda: adam_views(48, level=2)]
)
def test_same_seed_same_views_pickled_and_in_a_compose(make):
    data = {"image": slab(3, 130, 120)}
    names = [name for name in ("image", "key", "target") if name in make()(data)]
    first, again, other = (values(make().set_random_state(seed)(data), *names) for seed in (4, 4, 5))
    assert all(map(torch.equal, first, again)) and not any(map(torch.equal, first, other))
    views = make().set_random_state(4)
    views(data)
    copy = pickle.loads(pickle.dumps(views))
    assert all(map(torch.equal, values(views(data), *names), values(copy(data), *names)))
    chain = Compose([RandSlabd("image"), make()])
    volume = {"image": slab(1, 130, 120, 9)}
    runs = [values(chain.set_random_state(2)(volume), *names) for _ in range(2)]
    assert all(map(torch.equal, *runs))


def test_global_generators_are_neither_read_nor_moved():
    data = {"image": slab(3, 130, 120)}
    for make in (lambda: caid_views(96), lambda: adam_views(48, level=2)):
        runs = []
        for seed in range(2):
            np.random.seed(seed)  # noqa: NPY002
            before = np.random.get_state()[1].copy()  # noqa: NPY002
            runs.append(values(make().set_random_state(4)(data), "image", "key"))
            np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002
        assert all(map(torch.equal, *runs))


def test_the_input_stays_as_it_is_and_results_share_no_memory():
    image = MetaTensor(slab(3, 130, 120), meta={"patient": "p7"})
    before = image.as_tensor().clone()
    out = caid_views(96)(data := {"image": image})
    assert torch.equal(image.as_tensor(), before) and data["image"] is image
    assert out["image"].meta["patient"] == "p7"
    clean = RandTwoViewsd("image", [RandResizedCrop(32)], target_key="target")({"image": image})
    assert len({clean[name].untyped_storage().data_ptr() for name in ("image", "key", "target")}) == 3


def test_made_by_a_config_parser():
    data = {"image": slab(3, 130, 120)}
    names = "medgenesis.transforms."
    parser = ConfigParser(
        {
            "caid": {"_target_": names + "caid_views", "size": 96, "align_target": False},
            "adam": {"_target_": names + "adam_views", "size": 48, "level": 4, "least_side": 16},
            "own": {
                "_target_": names + "RandTwoViewsd",
                "view": [{"_target_": names + "RandAnatomyCell", "level": 2}, {"_target_": names + "RandBlur"}],
            },
        }
    )
    made = [caid_views(96, align_target=False), adam_views(48, level=4, least_side=16)]
    made.append(RandTwoViewsd("image", [RandAnatomyCell(2), RandBlur()]))
    for name, expected in zip(("caid", "adam", "own"), made, strict=True):
        views = parser.get_parsed_content(name)
        outs = [values(one.set_random_state(3)(data), "image", "key") for one in (views, expected)]
        assert all(map(torch.equal, *outs))


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: caid_views(mode="both"), 'mode: must be "caid" or "id"; found \'both\''),
        (lambda: caid_views(80), 'size: must be at least 81 in mode "caid"; found 80'),
        (lambda: adam_views(level=-1), "level: must be"),
        (lambda: adam_views(grid="cubic"), "grid: must be"),
        (lambda: RandTwoViewsd("image"), "view: must name the transforms .*; found none"),
        (lambda: RandTwoViewsd("key", [RandBlur()]), "keys: must be one name, and key_key and target_key other ones"),
        (lambda: RandTwoViewsd(["a", "b"], [RandBlur()]), "keys: must be one name"),
        (lambda: RandTwoViewsd("image", [RandBlur()], target_key="key"), "keys: must be one name"),
    ],
)
def test_impossible_settings_are_named(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_missing_slab_is_a_key_error():
    with pytest.raises(KeyError):
        caid_views(96)({"other": 1})


def test_a_numpy_slab_has_a_target_that_nothing_moves():
    image = slab(3, 48, 48).numpy()
    out = RandTwoViewsd("image", [RandBlur(prob=1.0)], target_key="target")({"image": image})
    np.testing.assert_array_equal(out["target"], image[1:2])
    assert isinstance(out["target"], MetaTensor) and not np.shares_memory(np.asarray(out["target"]), image)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_dtype_of_views_is_that_of_the_slab(dtype):
    for make in (lambda: adam_views(48, level=2), lambda: caid_views(96)):
        out = make()({"image": slab(3, 130, 120).to(dtype)})
        assert {value.dtype for value in out.values()} == {dtype}
