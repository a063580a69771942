"""A label map is there whole, or not there."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Invertd, SaveImage
from PIL import Image

from medgenesis.data import preprocessing
from medgenesis.inference import SaveLabelMapsd
from medgenesis.io import WholeImageWriter, WholeNiftiWriter


def save(folder):
    label = MetaTensor(torch.arange(24.0).reshape(1, 2, 3, 4), affine=torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0])))
    label.meta["filename_or_obj"] = "scan.nii.gz"
    options = dict(output_postfix="seg", separate_folder=False, resample=False, print_log=False)
    SaveImage(output_dir=folder, writer=WholeNiftiWriter, **options)(label)


def test_what_is_written_is_what_monai_writes(tmp_path):
    save(tmp_path)
    found = nib.load(tmp_path / "scan_seg.nii.gz")
    np.testing.assert_array_equal(found.get_fdata(), np.arange(24.0).reshape(2, 3, 4))
    np.testing.assert_array_equal(found.affine, np.diag([2.0, 3, 4, 1]))
    assert [path.name for path in tmp_path.iterdir()] == ["scan_seg.nii.gz"]


@pytest.mark.parametrize("shape", [(1, 5, 6, 1), (1, 5, 6, 7), (1, 5, 1, 1), (3, 5, 6, 1)])
def test_axes_of_length_1_stay(tmp_path, shape):
    label = MetaTensor(torch.rand(shape), affine=torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0])))
    label.meta["filename_or_obj"] = "scan.nii.gz"
    options = dict(output_dir=tmp_path, separate_folder=False, resample=False, print_log=False)
    SaveImage(writer=WholeNiftiWriter, **options)(label)
    found = nib.load(tmp_path / "scan_trans.nii.gz")
    expected = label[0] if shape[0] == 1 else label.movedim(0, -1)
    np.testing.assert_array_equal(found.get_fdata(), np.asarray(expected))
    np.testing.assert_array_equal(found.affine, np.diag([2.0, 3, 4, 1]))


_SAGITTAL = [[0, 0, 2, 0], [-1, 0, 0, 21], [0, -1, 0, 11], [0, 0, 0, 1]]
_CORONAL = [[1, 0, 0, 0], [0, 0, 2, 0], [0, -1, 0, 11], [0, 0, 0, 1]]


@pytest.mark.parametrize(
    "affine", [_SAGITTAL, _CORONAL, np.diag([-2.0, -2, 3, 1])], ids=["sagittal", "coronal", "axial"]
)
@pytest.mark.parametrize("kind", ["one", "fourth axis", "joined"])
def test_a_label_map_lies_where_its_image_of_several_channels_does(tmp_path, affine, kind):
    values = np.random.default_rng(0).uniform(0, 100, (16, 22, 12)).astype(np.float32)
    values[5:11, 6:14, 3:8] += 200
    several = np.stack([values, values], -1) if kind == "fourth axis" else values
    nib.save(nib.Nifti1Image(several, np.array(affine, dtype=float)), tmp_path / "scan.nii.gz")
    image = [str(tmp_path / "scan.nii.gz")] * 2 if kind == "joined" else str(tmp_path / "scan.nii.gz")
    steps = preprocessing(intensity="mri_percentile", in_channels=1 if kind == "one" else 2)
    item = steps({"image": image})
    item["pred"] = item["image"][:1].clone()
    item = Invertd(keys="pred", transform=steps, orig_keys="image", nearest_interp=False)(item)
    item["pred"] = (item["pred"] > 0.6).float()
    SaveLabelMapsd("pred", [{"image": image}], tmp_path / "out", output_dtype=np.uint8)(item)
    (path,) = (tmp_path / "out").glob("*.nii.gz")
    found = nib.load(path)
    np.testing.assert_allclose(found.affine, np.array(affine), atol=1e-5)
    np.testing.assert_array_equal(found.get_fdata(), values > 150)


@pytest.mark.parametrize("codes", ["PIR", "SAL", "SPL"])
def test_a_label_map_of_any_order_of_axes_is_written(tmp_path, codes):
    turned = nib.orientations.inv_ornt_aff(nib.orientations.axcodes2ornt(codes), (5, 6, 7))
    affine = turned @ np.diag([2.0, 3, 4, 1])
    label = MetaTensor(torch.rand(1, 5, 6, 7), affine=affine)
    options = dict(output_dir=tmp_path, separate_folder=False, resample=False, print_log=False)
    SaveImage(writer=WholeNiftiWriter, **options)(label)
    found = nib.load(next(tmp_path.glob("*.nii.gz")))
    np.testing.assert_array_equal(found.get_fdata(), np.asarray(label[0]))
    np.testing.assert_allclose(found.affine, affine, atol=1e-6)


@pytest.mark.parametrize("most, dtype", [(255, np.uint8), (256, np.uint16), (70_000, np.uint32)])
def test_labels_above_255_get_more_bits(tmp_path, most, dtype):
    options = dict(output_dir=tmp_path, output_dtype=np.uint8, separate_folder=False, resample=False, print_log=False)
    values = torch.linspace(0, most, 300).round()
    label = MetaTensor(values[None, :, None, None].expand(1, -1, 2, 1))
    SaveImage(output_postfix="seg", writer=WholeNiftiWriter, **options)(label)
    found = nib.load(next(tmp_path.glob("*.nii.gz")))
    assert found.get_data_dtype() == dtype
    np.testing.assert_array_equal(found.get_fdata()[:, 0, 0], values)
    if most == 256:
        SaveImage(output_ext=".png", writer=WholeImageWriter, **options)(label[..., 0])
        np.testing.assert_array_equal(np.asarray(Image.open(next(tmp_path.glob("*.png"))))[0], values)


@pytest.mark.parametrize("shape", [(9, 8), (9, 8, 1), (9, 8, 7)])
def test_a_label_map_has_the_axes_of_its_image(tmp_path, write_nifti, shape):
    scan = write_nifti("scan.nii.gz", np.random.default_rng(0).random(shape), np.diag([-2.0, -3, 4, 1]))
    item = preprocessing(intensity=None)({"image": scan})["image"]
    options = dict(output_postfix="seg", separate_folder=False, resample=False, print_log=False)
    SaveImage(output_dir=tmp_path, output_dtype=np.uint8, writer=WholeNiftiWriter, **options)(item)
    found = nib.load(tmp_path / "scan_seg.nii.gz")
    assert found.shape == shape
    np.testing.assert_array_equal(found.affine, np.diag([-2.0, -3, 4, 1]))


def test_a_label_map_of_an_image_lies_on_it(tmp_path):
    label = np.random.default_rng(0).integers(0, 3, (9, 12)).astype(np.uint8)
    Image.fromarray(label).save(tmp_path / "xray.png")
    item = preprocessing(intensity=None)({"image": str(tmp_path / "xray.png")})["image"]
    options = dict(output_postfix="seg", output_ext=".png", separate_folder=False, resample=False, print_log=False)
    write = SaveImage(output_dir=tmp_path, output_dtype=np.uint8, writer=WholeImageWriter, **options)
    write(item)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "xray_seg.png")), label)
    with pytest.raises(RuntimeError, match="xray.png: an image file holds one slice.*Choose .nii.gz"):
        write(MetaTensor(torch.zeros(1, 4, 5, 6), meta=item.meta))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["xray.png", "xray_seg.png"]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def half(image, path):
        with Path(path).open("wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nibabel.save", half)
    with pytest.raises(Exception) as error:
        save(tmp_path)
    assert "No space left" in f"{error.value} {error.value.__cause__}"
    assert list(tmp_path.iterdir()) == []
