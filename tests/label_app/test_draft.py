"""What self-supervised weights tell before any training: a draft from one label, and how strange a study is."""

import nibabel as nib
import numpy as np
import pytest
import yaml
from helpers.nnunet import plans

from medgenesis import bundles
from medgenesis.data.nnunet import plan_of
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.label_app.draft import draft_segmenter, without_draft
from medgenesis.label_app.labelled import Labelled
from medgenesis.label_app.restoration import Restoration
from medgenesis.label_app.settings import AppSettings

CUBES = ("models_genesis_ct", [], {"overlap": 0.25})
SLABS = ("caid_cxr", ["slabs", "quick"], {"size": 32, "overlap": 0})


def _settings(bundle, overlays, settings, weights):
    return AppSettings(bundle, str(bundles.path(bundle)), ["lungs", "liver"], str(weights), overlays, settings)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantoms(folder, 2, seed=5, shape=(32, 32, 32))
    for path in (folder / "labels").iterdir():
        image = nib.load(path)
        values = np.asarray(image.dataobj)
        drawn = np.isin(values, (1, 2, 7)) + 2 * (values == 6)
        nib.save(nib.Nifti1Image(drawn.astype(np.uint8), image.affine), path)
    return folder


def _study(folder, number):
    name = f"phantom_{number:03d}.nii.gz"
    return Labelled(str(number), str(folder / "images" / name), str(folder / "labels" / name), number)


@pytest.mark.parametrize("bundle", [CUBES, SLABS], ids=lambda one: one[0])
def test_one_label_gives_a_draft_of_the_next_study(phantoms, bundle, monkeypatch):
    monkeypatch.setattr("medgenesis.label_app.draft._CROPS", 12)
    weights = "scratch" if bundle is SLABS else bundles.weights_or_demo(bundles.path(bundle[0]), "pretrained.pt")
    settings = _settings(*bundle, weights)
    first, second = (_study(phantoms, number) for number in (0, 1))
    broken = Labelled("broken", __file__, first.label, 2)
    segmenter, count, refused = draft_segmenter(settings, [first, broken])
    assert count == 1 and list(refused) == ["broken"]
    found = segmenter.label_map(second.image)
    image, truth = nib.load(second.image), np.asarray(nib.load(second.label).dataobj)
    assert found.shape[1:] == image.shape
    np.testing.assert_allclose(np.asarray(found.affine), image.affine, atol=1e-4)
    lungs = found[0].numpy() == 1
    assert 2 * (lungs & (truth == 1)).sum() / (lungs.sum() + (truth == 1).sum()) > 0.5
    assert set(np.unique(found)) <= {0, 1, 2}


def _with_network(folder, target, **arguments):
    """Settings of a copy of a bundle with another network."""
    copied = bundles.copy("models_genesis_ct", folder / "bundle")
    network = {"_target_": target, "spatial_dims": 3, "in_channels": 1, "out_channels": "@out_channels", **arguments}
    (copied / "configs" / "mine.yaml").write_text(yaml.safe_dump({"network_def": network}))
    settings = {"cube_size": [16, 16, 16], "overlap": 0.25}
    return AppSettings("mine", str(copied), ["lungs", "liver"], "scratch", ["mine"], settings)


def _planned(folder):
    """Settings of a bundle of nnU-Net's plans."""
    pytest.importorskip("dynamic_network_architectures")
    content = plans("CTNormalization", spacing=(2.0, 2.0, 2.0), patch_size=[16, 16, 16])
    root = bundles.copy_planned("models_genesis_ct", folder / "bundle", plan_of(content, source="plans"), "plans")
    return AppSettings("planned", str(root), ["lungs", "liver"], "scratch", [], {"overlap": 0.25})


@pytest.mark.parametrize(
    "made",
    [_planned, lambda folder: _with_network(folder, "monai.networks.nets.SegResNet", init_filters=8)],
    ids=["planned", "segresnet"],
)
def test_networks_of_plans_and_segresnet_give_a_draft(phantoms, tmp_path, made, monkeypatch):
    """It was an error without a word of what to do."""
    monkeypatch.setattr("medgenesis.label_app.draft._CROPS", 12)
    settings = made(tmp_path)
    assert without_draft(settings) is None
    first, second = (_study(phantoms, number) for number in (0, 1))
    segmenter, count, _ = draft_segmenter(settings, [first])
    found, truth = segmenter.label_map(second.image)[0].numpy(), np.asarray(nib.load(second.label).dataobj)
    assert count == 1 and found.shape == truth.shape
    assert set(np.unique(found)) <= {0, 1, 2}
    assert (found == 1)[truth == 1].mean() > 1.2 * (found == 1)[truth != 1].mean()  # untrained maps tell little


def test_a_network_whose_maps_are_not_known_gives_none(phantoms, tmp_path):
    settings = _with_network(tmp_path, "monai.networks.nets.BasicUNet", features=[4, 4, 8, 8, 16, 4])
    assert without_draft(settings) == "BasicUNet"
    with pytest.raises(ValueError, match=r"network: must be a UNet3D, .*; found BasicUNet\."):
        draft_segmenter(settings, [_study(phantoms, 0)])


def test_noise_is_stranger_than_a_chest(phantoms, tmp_path):
    weights = bundles.weights_or_demo(bundles.path(CUBES[0]), "pretrained.pt")
    restoration = Restoration(_settings(*CUBES, weights))
    known = _study(phantoms, 0).image
    noise = np.random.default_rng(0).integers(-900, 900, (32, 32, 32)).astype(np.int16)
    nib.save(nib.Nifti1Image(noise, np.eye(4)), tmp_path / "noise.nii.gz")
    error = restoration.error_of(known)
    assert 0 < error < restoration.error_of(tmp_path / "noise.nii.gz")
    assert restoration.error_of(known) == error  # the same corruption every time


@pytest.mark.parametrize(
    ("bundle", "weights"), [("adam_cxr", "some.pt"), ("models_genesis_ct", "scratch")], ids=["no task", "no weights"]
)
def test_what_restores_nothing_gives_no_score(bundle, weights):
    restoration = Restoration(_settings(bundle, [], {}, weights))
    assert not restoration.possible and restoration.made_with is None
