"""What self-supervised weights tell before any training: a draft from one label, and how strange a study is."""

import nibabel as nib
import numpy as np
import pytest

from medgenesis import bundles
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.label_app.draft import draft_segmenter
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
