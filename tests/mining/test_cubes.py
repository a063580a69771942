"""The cube of an item: the voxels that it names, at the size that it is asked for, or an error that names the file."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor, load_decathlon_datalist
from monai.transforms import Compose

from medgenesis.data import MappedDataset, preprocessing
from medgenesis.errors import DatalistError, VolumeError
from medgenesis.mining import CropPatternd
from medgenesis.mining.cubes import crop_pattern, one_pass

ITEM = {"origin": [2, 3, 1], "size": [6, 5, 4], "class": 7, "distance": 0.5}


@pytest.fixture
def volume():
    values = torch.rand((2, 14, 12, 9), generator=torch.Generator().manual_seed(0))
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0], dtype=torch.float64))
    return MetaTensor(values, affine=affine, meta={"filename_or_obj": "/scans/one.nii"})


def slow_linear(cube, side, axis):
    """One axis interpolated by loops: half-voxel centres, the border held."""
    old = cube.shape[axis]
    slabs = []
    for j in range(side):
        at = min(max((j + 0.5) * old / side - 0.5, 0), old - 1)
        low = int(at)
        high = min(low + 1, old - 1)
        slabs.append((1 - (at - low)) * cube.take(low, axis) + (at - low) * cube.take(high, axis))
    return np.stack(slabs, axis)


def test_the_voxels_that_the_item_names(volume):
    before = volume.clone()
    found = CropPatternd("image", (6, 5, 4))({**ITEM, "image": volume})
    assert torch.equal(found["image"].as_tensor(), volume.as_tensor()[:, 2:8, 3:8, 1:5])
    assert found["class"] == 7 and type(found["class"]) is int and found["distance"] == 0.5
    assert found["image"].affine[:3, 3].tolist() == [4, 9, 4]  # first voxel, in mm
    found["image"].zero_()  # memory of its own
    assert torch.equal(volume.as_tensor(), before.as_tensor())
    assert found["image"].is_contiguous() and found["image"].untyped_storage().nbytes() == 4 * found["image"].numel()


@pytest.mark.parametrize("size", [(8, 8, 4), (5, 4, 4), (6, 7, 4)])
def test_other_sides_in_the_plane_are_resized_linearly_and_depth_is_left_alone(volume, size):
    cube = CropPatternd("image", size)({**ITEM, "image": volume})["image"]
    expected = volume.numpy().astype(np.float64)[:, 2:8, 3:8, 1:5]
    for axis, side in ((1, size[0]), (2, size[1])):
        expected = slow_linear(expected, side, axis)
    np.testing.assert_allclose(cube.numpy(), expected, atol=1e-6)


def test_several_keys_and_another_class_key(volume):
    label = (volume > 0.5).float()
    found = CropPatternd(["image", "other"], (6, 5, 4), class_key="pattern")({**ITEM, "image": volume, "other": label})
    assert torch.equal(found["other"].as_tensor(), label.as_tensor()[:, 2:8, 3:8, 1:5])
    assert found["pattern"] == 7 and found["class"] == 7


@pytest.mark.parametrize("size", [(8, 8, 4), (5, 4, 4), (6, 5, 4)])
def test_a_label_map_keeps_its_labels(volume, size):
    label = MetaTensor(torch.randint(0, 9, volume.shape, generator=torch.Generator().manual_seed(1)).float() * 30)
    crop = CropPatternd("image", size, label_keys="label")
    found = crop({**ITEM, "image": volume, "label": label})
    whole = label.numpy()[:, 2:8, 3:8, 1:5]
    middles = [[int((j + 0.5) * old / side) for j in range(side)] for old, side in zip((6, 5, 4), size, strict=True)]
    np.testing.assert_array_equal(found["label"].numpy(), whole[np.ix_(range(2), *middles)])
    alone = CropPatternd("image", size)({**ITEM, "image": volume})
    assert torch.equal(found["image"].as_tensor(), alone["image"].as_tensor())


def test_a_plain_tensor_and_a_mapped_volume_give_the_same(tmp_path):
    array = np.random.default_rng(0).random((14, 12, 9), dtype=np.float32)
    np.save(tmp_path / "a.npy", array)
    mapped = MappedDataset([{"image": str(tmp_path / "a.npy")}], preprocessing(intensity="unit"), tmp_path / "cache")
    for image in (mapped[0]["image"], torch.from_numpy(array)[None]):
        cube = CropPatternd("image", (6, 5, 4))({**ITEM, "image": image})["image"]
        np.testing.assert_array_equal(cube[0].numpy(), array[2:8, 3:8, 1:5])
        cube.zero_()
    np.testing.assert_array_equal(mapped[0]["image"][0].numpy(), array)


def test_items_of_a_saved_table_are_records_of_a_monai_datalist(scans, table_of, tmp_path):
    arrays = np.random.default_rng(1).random((3, 14, 12, 9), dtype=np.float32)
    table = table_of(scans(arrays), (6, 5, 4), classes=2, rescaled=True)
    table.save(tmp_path / "patterns.json")
    records = load_decathlon_datalist(str(tmp_path / "patterns.json"), data_list_key="training")
    pipeline = Compose([preprocessing(intensity="unit"), CropPatternd("image", (6, 5, 4))])
    assert len(records) == 18
    for record, item in zip(records, table.training, strict=True):
        sample = pipeline(record)
        assert sample["image"].shape == (1, 6, 5, 4) and sample["class"] == item["class"]
        if item["resolution"] == 1:
            x, y, z = item["origin"]
            array = np.load(item["image"])
            np.testing.assert_array_equal(sample["image"][0].numpy(), array[x : x + 6, y : y + 5, z : z + 4])


@pytest.mark.parametrize("origin", [[9, 3, 1], [2, 8, 1], [2, 3, 6]])
def test_a_cube_that_leaves_its_volume_names_the_file(volume, origin):
    with pytest.raises(VolumeError, match=r"/scans/one.nii.*\(14, 12, 9\).*mine again"):
        CropPatternd("image", (6, 5, 4))({**ITEM, "origin": origin, "image": volume})
    with pytest.raises(VolumeError, match=r"\(14, 12\)"):
        crop_pattern(volume[..., 0], origin, [6, 5, 4], (6, 5, 4))


@pytest.mark.parametrize(
    "field,value",
    [
        ("origin", None), ("origin", [1, 2]), ("origin", [-1, 0, 0]), ("origin", [0.5, 0, 0]), ("origin", "abc"),
        ("size", None), ("size", [0, 5, 4]), ("size", 6),
        ("class", None), ("class", -1), ("class", "lung"), ("class", [1]), ("class", float("nan")),
    ],
)  # fmt: skip
def test_an_item_without_a_field_or_with_a_senseless_one(volume, field, value):
    item = {**ITEM, "image": volume, field: value}
    if value is None:
        item.pop(field)
    with pytest.raises(DatalistError, match=f'/scans/one.nii.*"{field}"'):
        CropPatternd("image", (6, 5, 4))(item)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="size"):
        CropPatternd("image", (6, 0, 4))


# ---- many in one pass


class Noted:
    """A task that wants some volumes, and notes what it is given."""

    def __init__(self, wanted):
        self.wanted, self.taken = wanted, []

    def take(self, i, volume):
        self.taken.append((i, float(volume.sum())))


def test_one_pass_loads_each_volume_once_for_all_tasks(loader):
    arrays = np.random.default_rng(0).random((6, 4, 3, 2))
    load, tasks = loader(arrays), [Noted({4, 0}), Noted([]), Noted({4: "rows", 3: "rows"})]
    one_pass(load, *tasks)
    assert load.asked == [0, 3, 4] and load.most == 1
    for task in tasks:
        wanted = [(i, arrays[i].sum()) for i in sorted(task.wanted)]
        assert task.taken == [(i, pytest.approx(total)) for i, total in wanted]
