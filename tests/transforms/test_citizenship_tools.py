"""At home in MONAI: configured, copied, inverted, resampled lazily and compiled as MONAI's own transforms are."""

import copy
import pickle
import sys

import numpy as np
import pytest
import torch
from helpers.variants import AFFINE, COMPOSITES, SUBJECTS, build, call, cube, every_subject, every_variant, stacked
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Compose, EnsureChannelFirstd, Flipd, Orientationd, Rotate90d, Spacingd, SpatialPadd

import medgenesis.transforms as library
from medgenesis.transforms import RandGenesisd

NO_FLIP = {"flip": 0.0}


def meta_cube(*shape):
    return MetaTensor(cube(*shape), affine=AFFINE)


# ---- configured, copied


SETTINGS = {
    "NonlinearIntensity": {"p_decreasing": 0.1, "value_range": [-1, 3], "prob": 0.9},
    "LocalShuffle": {"windows": 50, "max_side_fraction": 0.3, "prob": 0.9},
    "InPaint": {"blocks": 2, "side_fraction": [0.1, 0.2], "margin": 1, "value_range": [-1, 3]},
    "OutPaint": {"blocks": 2, "removed_fraction": [0.1, 0.2], "margin": 1, "rescale": True},
    "InPlaneElastic": {"prob": 0.9},
    "BrightnessContrast": {"brightness": [0.5, 2], "contrast": [1, 1], "value_range": [-1, 3], "prob": 0.9},
    "Blur": {"sigma": [1, 1.5], "prob": 0.9},
    "CAiDDistortion": {"rates": {"inner": 0.1}, "blocks": 2, "swaps": 3, "p_stop": 0.5, "value_range": [-1, 3]},
    "AnatomyCell": {"level": 3, "grid": "square"},
    "MaskBlocks": {"block_size": [3, 5, 4], "ratio": 0.4, "fill": 0.5},
    "ResizedCrop": {"size": [5, 6, 7], "scale": [0.3, 0.4], "ratio": [0.5, 2]},
    "Genesis": {"rates": {"flip": 0.0, "shuffle": 1.0}, "rescale": True},
    "SemanticGenesis": {"rates": {"shuffle": 0.0}, "value_range": [-1, 3]},
}


@every_subject
@every_variant
def test_made_by_a_config_parser(subject, variant):
    made = build(subject, variant, **SETTINGS[subject]).set_random_state(1)
    keys = {"keys": "image"} if variant == "dictionary" else {}
    config = {
        "_target_": f"medgenesis.transforms.{type(made).__name__}",
        **keys,
        **{**SUBJECTS[subject], **SETTINGS[subject]},
    }
    parser = ConfigParser({"chain": {"_target_": "Compose", "transforms": [config], "map_items": False}})
    configured = parser.get_parsed_content("chain").transforms[0].set_random_state(1)
    assert type(configured) is type(made)
    volume = cube(1, 15, 21, 18)
    for _ in range(3):
        assert torch.equal(call(configured, volume), call(made, volume))


@every_subject
@every_variant
def test_pickled_and_copied_with_its_generator_in_the_middle_of_its_work(subject, variant):
    volume, transform = cube(1, 20, 20, 20), build(subject, variant).set_random_state(1)
    call(transform, volume)
    copies = pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)
    expected = call(transform, volume)
    assert all(torch.equal(call(other, volume), expected) for other in copies)


def test_every_public_name_can_be_imported_from_its_module_and_has_a_docstring():
    for name in library.__all__:
        made = getattr(library, name)
        assert getattr(sys.modules[made.__module__], name) is made and made.__doc__.strip().endswith(".")


# ---- inverted


@pytest.mark.parametrize("preset", ["models", "semantic"])
def test_a_chain_around_it_can_be_inverted(preset):
    """It leaves no trace: what stands before and after is undone, on the grid of the cube as it was read."""
    before = [
        EnsureChannelFirstd("image", channel_dim="no_channel"),
        Orientationd("image", "LPS"),
        SpatialPadd("image", 24),
    ]
    after = [Rotate90d(["image", "target"], 1), Flipd(["image", "target"], 2)]
    rates = {"rates": NO_FLIP} if preset == "models" else {}
    chain = Compose([*before, RandGenesisd(preset=preset, **rates), *after]).set_random_state(0)
    volume = meta_cube(20, 22, 18)
    out = chain({"image": volume})
    assert out["image"].shape == (1, 24, 24, 24) == out["target"].shape
    back = chain.inverse(out)
    assert back["image"].shape[1:] == volume.shape
    np.testing.assert_allclose(back["image"].affine, volume.affine, atol=1e-5)
    target = Compose(before).inverse({"image": back["target"]})["image"]  # the steps before knew no target
    assert torch.equal(target.as_tensor()[0], volume.as_tensor())


def test_with_a_flip_the_chain_around_it_can_be_inverted_too():
    chain = Compose([SpatialPadd("image", 24), RandGenesisd(rates={"flip": 1.0}), Flipd(["image", "target"], 2)])
    volume = meta_cube(1, 20, 22, 18)
    for seed in range(5):
        out = chain.set_random_state(seed)({"image": volume})
        back = chain.inverse(out)
        assert back["image"].shape == volume.shape
        flips = chain.transforms[1].transform.params.flips[0]
        padded = SpatialPadd("image", 24)({"image": volume})["image"].as_tensor()
        assert torch.equal(back["target"].as_tensor(), padded.flip([int(a) + 1 for a in np.flatnonzero(flips)]))


@pytest.mark.parametrize("preset", ["models", "semantic"])
def test_lazy_resampling_before_and_after(preset):
    """Pending steps are applied before our kernel sees voxels, so lazy and eager chains agree."""
    keys, results = ["image", "target"], []
    for lazy in (False, True):
        chain = Compose(
            [
                Spacingd("image", (2.5, 2.5, 3.0)),
                RandGenesisd(preset=preset),
                Rotate90d(keys, 1),
                Spacingd(keys, (2.0, 3.0, 3.0)),
            ],
            lazy=lazy,
        )
        out = chain.set_random_state(1)({"image": meta_cube(1, 20, 22, 18)})
        results.append(out)
        assert out["image"].shape == out["target"].shape and not out["image"].pending_operations
    for key in keys:
        eager, lazily = (out[key] for out in results)
        np.testing.assert_allclose(eager.affine, lazily.affine, atol=1e-4)
        assert eager.shape == lazily.shape and (eager - lazily).abs().max() < 1e-4


# ---- compiled


@pytest.mark.parametrize("subject", COMPOSITES)
def test_torch_compile_around_the_batched_form(subject):
    """It breaks the graph by itself and gives what it gives without; the network beside it is compiled."""
    network, batch = torch.nn.Conv3d(1, 2, 3), cube(2, 1, 12, 12, 12)
    transform = build(subject, "batched")

    def step(batch):
        corrupted, target = transform(batch * 1.0)
        return network(corrupted) - target.mean()

    compiled, alone = torch.compile(step, backend="eager"), torch.compile(transform, backend="eager")
    for _ in range(2):
        transform.set_random_state(0)
        expected = [step(batch), step(batch)]
        transform.set_random_state(0)
        for one in expected:
            assert torch.equal(compiled(batch), one)
    expected = stacked(transform.set_random_state(5)(batch))
    transform.set_random_state(5)
    assert torch.equal(stacked(alone(batch)), expected)
