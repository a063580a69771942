"""What no transform can work on, and settings that make no sense: an error names argument, rule, value and remedy."""

import numpy as np
import pytest
import torch
from helpers.variants import ONES, VARIANTS, build, call, cube, every_subject, every_variant

import medgenesis.transforms as library
from medgenesis.errors import VolumeError


def spoiled(value):
    volume = cube(1, 6, 6, 6)
    volume[0, 3, 2, 1] = value
    return volume


BAD_VOLUMES = {
    "image without channel": (cube(8, 8), r"found shape \(8, 8\).*EnsureChannelFirst"),
    "rank 5": (cube(1, 1, 8, 8, 8, 8)[0], r"found shape \(1, 8, 8, 8, 8\)|found shape \(1, 1, 8, 8, 8, 8\)"),
    "no voxel": (cube(1, 0, 8, 8), r"at least one voxel; found shape \(1, 0, 8, 8\)"),
    "no channel": (cube(0, 8, 8, 8), r"at least one voxel; found shape \(0, 8, 8, 8\)"),
    "integers": (
        torch.zeros(1, 8, 8, 8, dtype=torch.int16),
        r"floating point; found torch.int16.*ScaleIntensityRange",
    ),
    "bool": (torch.zeros(1, 8, 8, 8, dtype=torch.bool), "floating point; found torch.bool"),
    "complex": (torch.zeros(1, 8, 8, 8, dtype=torch.complex64), "floating point; found torch.complex64"),
    "NaN": (spoiled(float("nan")), "finite; found NaN or infinity"),
    "inf": (spoiled(float("inf")), "finite; found NaN or infinity"),
    "-inf": (spoiled(-float("inf")), "finite; found NaN or infinity"),
}


@every_subject
@every_variant
@pytest.mark.parametrize("volume, words", BAD_VOLUMES.values(), ids=BAD_VOLUMES)
def test_bad_volumes_are_named(subject, variant, volume, words):
    words = words.replace(r"shape \(", r"shape \(1, ") if variant == "batched" and "shape" in words else words
    with pytest.raises(VolumeError, match=words):
        call(build(subject, variant), volume)


@every_subject
def test_bad_batches_are_named(subject):
    with pytest.raises(VolumeError, match=r"at least one voxel; found shape \(0, 1, 8, 8, 8\)"):
        build(subject, "batched")(torch.zeros(0, 1, 8, 8, 8))
    with pytest.raises(VolumeError, match=r"\(B, C, X, Y, Z\); found shape \(8, 8, 8\)"):
        build(subject, "batched")(torch.zeros(8, 8, 8))
    with pytest.raises(
        VolumeError, match=r"\(C, X, Y, Z\); found shape \(2, 1, 8, 8, 8\).*a batch goes to the Batched"
    ):
        build(subject)(torch.zeros(2, 1, 8, 8, 8))


@every_subject
def test_a_refused_volume_moves_no_generator_and_leaves_the_last_draw(subject):
    volume, transform = cube(1, 12, 12, 12), build(subject).set_random_state(0)
    call(transform, volume)
    params = transform.params
    with pytest.raises(VolumeError):
        transform(spoiled(float("nan")))
    assert transform.params is params
    other = build(subject).set_random_state(0)
    call(other, volume)
    assert torch.equal(call(transform, volume), call(other, volume))


@every_subject
@every_variant
def test_numpy_integers_are_refused_too(subject, variant):
    with pytest.raises(VolumeError, match="floating point"):
        call(build(subject, variant), np.zeros((1, 8, 8, 8), np.uint8))


@pytest.mark.parametrize("subject", ONES)
@every_variant
@pytest.mark.parametrize("prob", [-0.1, 1.5, float("nan")])
def test_a_probability_outside_0_to_1_is_named(subject, variant, prob):
    with pytest.raises(ValueError, match=rf"prob: must be a probability in \[0, 1\]; found {prob}"):
        build(subject, variant, prob=prob)


IMPOSSIBLE = [
    ("LocalShuffle", {"windows": 0}, "windows: must be a whole number of at least 1; found 0"),
    ("LocalShuffle", {"windows": 2.5}, "windows: must be .*; found 2.5"),
    ("LocalShuffle", {"windows": float("nan")}, "windows: must be .*; found nan"),
    ("LocalShuffle", {"windows": float("inf")}, "windows: must be .*; found inf"),
    ("LocalShuffle", {"max_side_fraction": 0}, r"max_side_fraction: must be .*\(0, 1\]; found 0"),
    ("LocalShuffle", {"max_side_fraction": 1.01}, "max_side_fraction: must be .*; found 1.01"),
    ("LocalShuffle", {"max_side_fraction": float("nan")}, "max_side_fraction: must be .*; found nan"),
    ("InPaint", {"blocks": 0}, "blocks: must be a whole number of at least 1; found 0"),
    ("InPaint", {"blocks": 2.5}, "blocks: must be .*; found 2.5"),
    ("InPaint", {"side_fraction": (0.5, 0.2)}, r"side_fraction: must be two rising .*; found \(0.5, 0.2\)"),
    ("InPaint", {"side_fraction": (0.5, 1.0)}, "side_fraction: must be"),
    ("InPaint", {"side_fraction": (-0.1, 0.5)}, "side_fraction: must be"),
    ("InPaint", {"margin": -1}, "margin: must be a whole number of at least 0; found -1"),
    ("InPaint", {"p_continue": 2}, r"p_continue: must be a probability in \[0, 1\]; found 2"),
    ("OutPaint", {"blocks": 0}, "blocks: must be"),
    ("OutPaint", {"removed_fraction": (0.5, 1.0)}, r"removed_fraction: must be .*; found \(0.5, 1.0\)"),
    ("OutPaint", {"margin": 1.5}, "margin: must be .*; found 1.5"),
    ("OutPaint", {"p_continue": -1}, "p_continue: must be"),
    ("InPlaneElastic", {"alpha": -1.0}, "alpha: must be a finite number of at least 0; found -1"),
    ("InPlaneElastic", {"sigma": 0}, "sigma: must be a finite number above 0; found 0"),
    ("InPlaneElastic", {"sigma": float("inf")}, "sigma: must be .*; found inf"),
    ("NonlinearIntensity", {"p_decreasing": -1}, r"p_decreasing: must be a probability in \[0, 1\]; found -1"),
    ("BrightnessContrast", {"brightness": (1.4, 0.6)}, r"brightness: must be two rising .*; found \(1.4, 0.6\)"),
    ("BrightnessContrast", {"contrast": (-0.1, 1)}, r"contrast: must be two rising .*; found \(-0.1, 1\)"),
    ("Blur", {"sigma": (0, 2)}, r"sigma: must be two rising .*; found \(0, 2\)"),
    ("Blur", {"sigma": (1, float("nan"))}, "sigma: must be .*nan"),
    ("ResizedCrop", {"size": 0}, "size: must be a whole number of at least 1; found 0"),
    ("ResizedCrop", {"size": (64, 2.5)}, "size: must be .*; found 2.5"),
    ("ResizedCrop", {"scale": (0, 1)}, r"scale: must be two rising shares in \(0, 1\]; found \(0, 1\)"),
    ("ResizedCrop", {"scale": (0.2, 1.1)}, "scale: must be"),
    ("ResizedCrop", {"ratio": (2, 1)}, r"ratio: must be two rising ratios above 0; found \(2, 1\)"),
    ("ResizedCrop", {"least_side": 0}, "least_side: must be a whole number of at least 1; found 0"),
    ("AnatomyCell", {"level": -1}, "level: must be a whole number of at least 0; found -1"),
    ("AnatomyCell", {"level": 1.5}, "level: must be .*; found 1.5"),
    ("AnatomyCell", {"grid": "round"}, 'grid: must be "binary" or "square"; found \'round\''),
    ("AnatomyCell", {"least_side": 0}, "least_side: must be"),
    ("CAiDDistortion", {"rates": {"inner": 1.2}}, r"rates\['inner'\]: must be a probability in \[0, 1\]; found 1.2"),
    ("CAiDDistortion", {"rates": {"iner": 0.2}}, r"rates: must be among \['inner', 'outer', 'swap'\].*\['iner'\]"),
    ("CAiDDistortion", {"rates": {"inner": 0.7}}, "rates: must sum to at most 1, .* sum to 1.05"),
    ("CAiDDistortion", {"blocks": 0}, "blocks: must be"),
    ("CAiDDistortion", {"swaps": 0}, "swaps: must be"),
    ("CAiDDistortion", {"p_stop": 2}, "p_stop: must be a probability"),
    ("Genesis", {"rates": {"flip": 1.2}}, r"rates\['flip'\]: must be a probability in \[0, 1\]; found 1.2"),
    (
        "Genesis",
        {"rates": {"elastic": 1.0}},
        "rates: must be among .*'flip'.* preset 'models'; found .*elastic",
    ),
    ("SemanticGenesis", {"rates": {"flip": 0.4}}, "rates: must be among .* preset 'semantic'; found .*flip"),
    ("SemanticGenesis", {"rates": {"shuffle": 0.5}}, "sum to at most 1, .* a sum of 1.25"),
]


@every_variant
@pytest.mark.parametrize("subject, settings, words", IMPOSSIBLE)
def test_impossible_settings_are_named(variant, subject, settings, words):
    with pytest.raises(ValueError, match=words):
        build(subject, variant, **settings)


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_unknown_preset_is_named_beside_the_known_ones(variant):
    make = getattr(library, VARIANTS[variant].format("Genesis"))
    with pytest.raises(ValueError, match=r"preset: must be one of \['models', 'semantic'\]; found 'semantics'"):
        make(preset="semantics")


@pytest.mark.parametrize("names", [("target", "target"), "image", ("a", "b"), ("a",) * 2])
def test_target_keys_that_do_not_fit_the_keys_are_named(names):
    keys = ("image", "other") if isinstance(names, tuple) and names != ("a", "b") else "image"
    with pytest.raises(ValueError, match="target_key: must name one new key for each of keys=.*; found"):
        library.RandGenesisd(keys, names)
