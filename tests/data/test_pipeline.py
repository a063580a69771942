"""The standard grid: orientation, spacing, labels, inversion onto the scan's own grid, caches, bundles."""

import inspect
import pickle

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import CacheDataset, DataLoader, PersistentDataset, decollate_batch
from monai.transforms import Compose, Invertd, SaveImaged
from scipy import ndimage

from medgenesis.data import Preprocessing, preprocessing
from medgenesis.errors import DatalistError, IntensityRangeError, VolumeError
from medgenesis.storage import transform_fingerprint


def _tilted(codes: str, spacing) -> np.ndarray:
    """An affine with these axis codes and spacing, turned by some degrees about two axes."""
    turn = np.eye(4)
    turn[:3, :3] = _rotation(0.15, 2) @ _rotation(0.1, 0)
    axes = nibabel.orientations.inv_ornt_aff(nibabel.orientations.axcodes2ornt(tuple(codes)), (9, 9, 9))
    axes = np.linalg.inv(axes)
    affine = turn @ axes @ np.diag([*spacing, 1])
    affine[:3, 3] = (12, -30, 8)
    return affine


def _rotation(angle, axis):
    matrix = np.eye(3)
    a, b = [i for i in range(3) if i != axis]
    matrix[[a, b], [a, b]] = np.cos(angle)
    matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return matrix


@pytest.mark.parametrize("spacing", [[1.5, 1.5], [1, 1, 1, 1], [[1, 1, 1]]])
def test_a_spacing_of_another_number_of_axes_is_refused_by_name(spacing):
    with pytest.raises(ValueError, match="spacing_mm: must be one number, or one for each of three axes; found "):
        preprocessing(spacing_mm=spacing)


def _smooth(shape, seed=0):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 4)
    field -= field.mean()  # a third is above -300, as of a CT
    return (1500 * field / np.abs(field).max()).astype(np.float32) - 200


@pytest.mark.parametrize("codes", ["LPS", "RAS", "LAS", "PSR", "SLA"])
def test_axes_grow_to_the_left_the_back_and_the_head(write_nifti, codes):
    array, affine = _smooth((9, 10, 11)), _tilted(codes, (1, 2, 3))
    assert nibabel.aff2axcodes(affine) == tuple(codes)
    volume = preprocessing()({"image": write_nifti("x.nii.gz", array, affine)})["image"]
    assert nibabel.aff2axcodes(volume.affine.numpy()) == ("L", "P", "S")
    place = np.array([2, 3, 4])  # the same point of the patient holds the same value
    there = np.linalg.inv(affine) @ volume.affine.numpy() @ [*place, 1]
    value = array[tuple(np.rint(there[:3]).astype(int))]
    assert np.allclose(there, np.rint(there), atol=1e-4)
    assert float(volume[0][tuple(place)]) == pytest.approx((value.clip(-1000, 1000) + 1000) / 2000, abs=1e-5)


def test_files_without_geometry_are_not_turned(tmp_path):
    cube = np.random.default_rng(0).random((6, 5, 4))
    np.save(tmp_path / "c.npy", cube)
    volume = preprocessing(intensity="unit")({"image": str(tmp_path / "c.npy")})["image"]
    np.testing.assert_array_equal(volume[0].numpy(), cube.astype(np.float32))


def test_spacing_and_labels(write_nifti):
    array, affine = _smooth((20, 24, 10)), _tilted("RAS", (1.0, 0.8, 2.5))
    label = (array > -100).astype(np.uint8) * 12 + (array < -400).astype(np.uint8) * 3
    record = {"image": write_nifti("i.nii", array, affine), "label": write_nifti("l.nii", label, affine)}
    steps = preprocessing(label_keys="label", intensity=None, spacing_mm=1.5, label_merge={1: "10-14"})
    result = steps(record)
    np.testing.assert_allclose(result["image"].pixdim, 1.5, atol=1e-4)
    assert result["image"].shape == result["label"].shape
    assert set(result["label"].unique().tolist()) == {0, 1}
    # where the image is clearly on one side of the threshold, so is the label: both were resampled alike
    sure = (result["image"] - -100).abs() > 60
    agree = ((result["image"] > -100) == (result["label"] == 1))[sure].float().mean()
    assert agree > 0.99
    np.testing.assert_allclose(result["image"].affine, result["label"].affine, atol=1e-6)


@pytest.mark.parametrize("codes", ["RAS", "LPS", "PSR"])
def test_inversion_gives_the_scans_own_grid(tmp_path, write_nifti, codes):
    array, affine = _smooth((30, 26, 18)), _tilted(codes, (0.9, 1.2, 2.0))
    steps = preprocessing(intensity="ct", spacing_mm=1.0)
    loader = DataLoader(CacheDataset([{"image": write_nifti("x.nii.gz", array, affine)}], steps, progress=False))
    batch = next(iter(loader))
    batch["pred"] = batch["image"] * 2000 - 1000
    back = Compose(
        [
            Invertd("pred", steps, orig_keys="image", nearest_interp=False),
            SaveImaged(
                "pred", output_dir=tmp_path / "out", output_postfix="seg", separate_folder=False, print_log=False
            ),
        ]
    )
    (item,) = [back(item) for item in decollate_batch(batch)]
    assert item["pred"].shape == (1, 30, 26, 18)
    np.testing.assert_allclose(item["pred"].affine, affine, atol=1e-4)
    inner = (slice(2, -2),) * 3
    assert np.abs(item["pred"][0].numpy() - array.clip(-1000, 1000))[inner].mean() < 20  # HU, of a span of 2000
    (path,) = (tmp_path / "out").iterdir()
    saved = nibabel.load(path)
    assert saved.shape == (30, 26, 18)
    np.testing.assert_allclose(saved.affine, affine, atol=1e-4)


def test_inversion_without_spacing_is_exact(write_nifti):
    array, affine = _smooth((7, 8, 9)).clip(-1000, 1000), _tilted("SLA", (1, 2, 3))
    steps = preprocessing()
    item = steps({"image": write_nifti("x.nii", array, affine)})
    item["pred"] = item["image"] * 2000 - 1000
    back = Invertd("pred", steps, orig_keys="image")(item)["pred"]
    np.testing.assert_allclose(back[0].numpy(), array, atol=1e-3)
    np.testing.assert_allclose(back.affine, affine, atol=1e-6)


def test_caches_and_pickle(tmp_path, write_nifti):
    records = [{"image": write_nifti("x.nii", _smooth((7, 8, 9)))}]
    steps = pickle.loads(pickle.dumps(preprocessing(spacing_mm=2)))
    expected = steps(records[0])["image"]
    cached = CacheDataset(records, steps, progress=False)[0]["image"]
    results = [cached]
    if "track_meta" in inspect.signature(PersistentDataset).parameters:  # before MONAI 1.6 it drops the affine
        persistent = PersistentDataset(
            records, steps, cache_dir=tmp_path / "cache", track_meta=True, weights_only=False
        )
        results += [persistent[0]["image"], persistent[0]["image"]]
    for result in results:
        assert torch.equal(result.as_tensor(), expected.as_tensor())
        assert torch.equal(result.affine, expected.affine)


def test_the_same_steps_for_images_with_label_maps():
    settings = {"intensity": "mri", "spacing_mm": (1, 2, 3), "orientation": "RAS", "in_channels": 2}
    merge = {1: "2-3"}
    steps = pickle.loads(pickle.dumps(preprocessing(**settings))).with_labels(merge)
    wanted = preprocessing(label_keys="label", label_merge=merge, **settings)
    assert transform_fingerprint(steps) == transform_fingerprint(wanted)
    assert transform_fingerprint(steps) != transform_fingerprint(preprocessing(**settings).with_labels())
    with pytest.raises(ValueError, match="^preprocessing: must be made by"):
        Preprocessing(preprocessing().transforms).with_labels()


def test_from_a_bundle_config(write_nifti):
    config = {
        "steps": {
            "_target_": "medgenesis.data.preprocessing",
            "label_keys": ["label"],
            "intensity": {"preset": "custom", "a_min": -500, "a_max": 500},
            "label_merge": {"1": "10-14"},
        }
    }
    steps = ConfigParser(config).get_parsed_content("steps")
    array = _smooth((7, 8, 9))
    record = {"image": write_nifti("x.nii", array), "label": write_nifti("l.nii", np.full((7, 8, 9), 11, np.uint8))}
    item = steps(record)
    assert item["label"].unique().tolist() == [1]
    expected = (array.clip(-500, 500) + 500) / 1000
    np.testing.assert_allclose(item["image"][0].numpy(), expected[::-1, ::-1], atol=1e-6)  # RAS -> LPS


def test_other_keys_do_not_disturb_it(write_nifti):
    path = write_nifti("x.nii.gz", _smooth((7, 8, 9)))
    item = preprocessing(spacing_mm=2.0)({"image": path, "image_path": path})  # as MONAI Label gives it
    assert item["image_path"] == path and item["image"].shape[0] == 1


def test_errors_are_of_the_file_and_not_of_monai(write_nifti):
    holes = _smooth((7, 8, 9))
    holes[1, 2, 3] = np.nan
    with pytest.raises(VolumeError, match="x.nii: voxels must be finite; found NaN or infinity in 1 of 504"):
        preprocessing()({"image": write_nifti("x.nii", holes)})
    with pytest.raises(IntensityRangeError, match="z.nii.*z-scored"):
        preprocessing()({"image": write_nifti("z.nii", np.random.default_rng(0).normal(size=(7, 8, 9)))})
    with pytest.raises(ValueError, match="preset: must"):
        preprocessing(intensity="pet")


def test_a_label_on_another_grid(write_nifti):
    record = {
        "image": write_nifti("i.nii", _smooth((7, 8, 9))),
        "label": write_nifti("l.nii", np.ones((7, 8, 9), np.uint8), np.diag([1, 1, 2, 1])),
    }
    with pytest.raises(VolumeError, match="l.nii: must lie on the grid of its image .*i.nii"):
        preprocessing(label_keys="label")(record)


def test_missing_keys(write_nifti):
    path = write_nifti("x.nii", _smooth((7, 8, 9)))
    with pytest.raises(DatalistError, match="must have 'label'"):
        preprocessing(label_keys="label")({"image": path})
    assert "label" not in preprocessing(label_keys="label", allow_missing_keys=True, spacing_mm=2)({"image": path})


def test_a_label_stored_the_other_way_round_is_on_the_same_grid(write_nifti):
    array, affine = _smooth((7, 8, 9)), _tilted("LAS", (1, 2, 3))
    label = (array > 0).astype(np.uint8)
    flipped = affine @ np.array([[1, 0, 0, 0], [0, -1, 0, 7], [0, 0, 1, 0], [0, 0, 0, 1]])
    record = {"image": write_nifti("i.nii", array, affine), "label": write_nifti("l.nii", label[:, ::-1], flipped)}
    item = preprocessing(label_keys="label", intensity=None)(record)
    assert torch.equal(item["label"].as_tensor(), (item["image"] > 0).float().as_tensor())


@pytest.mark.parametrize(
    "image, label",
    [("example_ct.nii.gz", "example_seg_fast_force_split.nii.gz"), ("example_ct_dicom", "example_seg_dicom.nii.gz")],
)
def test_real_labels_lie_on_their_scan(real_data, image, label):
    folder = real_data / "ct_torso_totalsegmentator"
    steps = preprocessing(label_keys="label", intensity=None, label_merge={1: [5], 2: "25-50"})  # liver, spine
    item = steps({"image": str(folder / image), "label": str(folder / label)})
    liver, bone = (item["image"][item["label"] == value] for value in (1, 2))
    assert len(bone) > 1000 and bone.median() > 50  # HU
    assert len(liver) == 0 or 0 < liver.median() < 150
