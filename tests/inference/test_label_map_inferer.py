"""Label maps slab after slab are those of MONAI's sliding windows and argmax, voxel for voxel."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import Dataset, MetaTensor
from monai.inferers import SlidingWindowInferer
from monai.transforms import AsDiscreted, Compose, Invertd

from medgenesis.data import preprocessing
from medgenesis.inference import LabelMapInferer, LabelsOnOwnGridd, label_map_inferer
from medgenesis.networks import UNet3D


def scores_of(classes, seed=0):
    """A network whose answer depends on where in its window a voxel lies, and on what the window shows."""
    weights = torch.rand(classes, 1, 3, 3, 3, generator=torch.Generator().manual_seed(seed)) - 0.5
    return lambda windows: torch.nn.functional.conv3d(windows, weights, padding=1)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.integers(3, 17)] * 3),
    st.tuples(*[st.integers(3, 9)] * 3),
    st.sampled_from([0, 0.25, 0.5, 0.8, (0.5, 0, 0.3)]),
    st.integers(1, 5),
    st.integers(1, 2),
    st.sampled_from(["gaussian", "constant"]),
)
def test_the_labels_are_those_of_monai(shape, roi, overlap, batch_size, volumes, mode):
    inputs = torch.rand(volumes, 1, *shape, generator=torch.Generator().manual_seed(sum(shape)))
    windows = {"roi_size": roi, "sw_batch_size": batch_size, "overlap": overlap, "mode": mode}
    wanted = SlidingWindowInferer(**windows)(inputs, scores_of(4)).argmax(dim=1, keepdim=True)
    found = LabelMapInferer(**windows)(inputs, scores_of(4))
    assert found.dtype == torch.uint8 and torch.equal(found.long(), wanted)


def test_of_a_real_network_with_meta_data():
    torch.manual_seed(0)
    network = UNet3D(width=2, out_channels=5, activation=None, norm="batch_always").eval()
    torch.nn.init.normal_(network.head.conv.weight)
    volume = MetaTensor(torch.rand(1, 1, 40, 24, 20), affine=torch.diag(torch.tensor([2.0, 1, 1, 1])))
    windows = {"roi_size": (16, 16, 8), "sw_batch_size": 3, "overlap": 0.5, "mode": "gaussian"}
    with torch.no_grad():
        found, wanted = LabelMapInferer(**windows)(volume, network), SlidingWindowInferer(**windows)(volume, network)
    assert torch.equal(found.long().as_tensor(), wanted.argmax(dim=1, keepdim=True).as_tensor())
    assert isinstance(found, MetaTensor) and torch.equal(found.affine, volume.affine)
    assert len(found.unique()) > 1


def test_many_classes_and_an_image_of_two_axes():
    volume = torch.rand(1, 1, 9, 6, 5)
    windows = {"roi_size": (4, 4, 4), "sw_batch_size": 2}
    found = LabelMapInferer(**windows)(volume, scores_of(300))
    assert found.dtype == torch.int32
    assert torch.equal(found.long(), SlidingWindowInferer(**windows)(volume, scores_of(300)).argmax(1, keepdim=True))
    flat, network = torch.rand(1, 1, 9, 11), torch.nn.Conv2d(1, 3, 3, padding=1).requires_grad_(False)
    found = LabelMapInferer((4, 6))(flat, network)
    assert torch.equal(found.long(), SlidingWindowInferer((4, 6))(flat, network).argmax(1, keepdim=True))


def test_scores_are_held_for_a_window_of_rows_alone(monkeypatch):
    held = []
    made = label_map_inferer._Rows

    def rows(*args):
        held.append(made(*args))
        return held[-1]

    monkeypatch.setattr(label_map_inferer, "_Rows", rows)
    LabelMapInferer((4, 4, 4), overlap=0.5)(torch.rand(1, 1, 64, 8, 8), scores_of(7))
    (one,) = held
    assert one.scores.shape == (7, 4, 8, 8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_what_the_network_answers_stays_as_it_is(dtype):
    """A network may answer with a tensor of its own, here the same one for all windows."""
    scores = scores_of(3)(torch.rand(2, 1, 6, 5, 4)).to(dtype)
    before, volume = scores.clone(), torch.rand(1, 1, 9, 5, 8)
    windows = {"roi_size": (6, 5, 4), "sw_batch_size": 2, "overlap": 0.5, "mode": "gaussian"}
    found = LabelMapInferer(**windows)(volume, lambda given: scores)
    assert torch.equal(scores, before)
    wanted = SlidingWindowInferer(**windows)(volume, lambda given: scores.clone())
    assert torch.equal(found.long(), wanted.argmax(dim=1, keepdim=True))


def test_what_cannot_be(tmp_path):
    with pytest.raises(ValueError, match="overlap: must be from 0 to below 1"):
        LabelMapInferer(4, overlap=1.0)
    with pytest.raises(ValueError, match="must answer on the grid of its window"):
        LabelMapInferer(4)(torch.rand(1, 1, 8, 8, 8), lambda windows: windows[..., ::2])


@pytest.fixture
def image(tmp_path):
    """A turned volume of 1.5 x 1 x 2 mm, and a function that prepares it: prepared(spacing) -> item, steps."""
    import nibabel

    affine = np.array([[0, 1.5, 0, 3], [-1, 0, 0, 5], [0, 0, 2, 0], [0, 0, 0, 1]], dtype=float)
    path = tmp_path / "a.nii.gz"
    rng = np.random.default_rng(0)
    nibabel.save(nibabel.Nifti1Image(rng.random((12, 16, 9), dtype=np.float32), affine), path)

    def prepared(spacing):
        steps = preprocessing(intensity="unit", spacing_mm=spacing)
        return Dataset([{"image": str(path)}], steps)[0], steps

    return prepared


@pytest.mark.parametrize("spacing", [None, (2.0, 2.0, 2.0), (0.8, 1.2, 1.0)])
@pytest.mark.parametrize("classes", [1, 3])
def test_on_the_own_grid_they_are_those_of_invertd(image, spacing, classes):
    item, steps = image(spacing)
    scores = MetaTensor(torch.rand(5, *item["image"].shape[1:]), meta=item["image"].meta)
    plain = Compose(
        [
            Invertd("pred", steps, orig_keys="image", nearest_interp=False, to_tensor=True),
            AsDiscreted("pred", argmax=True),
        ]
    )
    wanted = plain({**item, "pred": scores.clone()})["pred"]
    found = LabelsOnOwnGridd("pred", steps, classes=classes)({**item, "pred": scores.clone()})["pred"]
    assert wanted.shape == (1, 12, 16, 9) and torch.equal(found.as_tensor().long(), wanted.as_tensor().long())
    assert torch.equal(found.affine, wanted.affine)
    labels = MetaTensor(scores.argmax(0, keepdim=True).to(torch.uint8), meta=item["image"].meta)
    if spacing is None:
        found = LabelsOnOwnGridd("pred", steps)({**item, "pred": labels})["pred"]
        assert torch.equal(found.as_tensor().long(), wanted.as_tensor().long())
    else:
        with pytest.raises(ValueError, match="pred: must be scores where images are resampled"):
            LabelsOnOwnGridd("pred", steps)({**item, "pred": labels})
