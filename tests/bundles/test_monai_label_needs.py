"""What MONAI Label 0.8.5 does with a bundle, done again on a copied one without it: it reads one config by itself."""

import copy
import json
import shutil

import monai.bundle
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import Compose, LoadImaged, Resize, SaveImaged

from medgenesis import bundles

AFFINE = np.array([[-1.5, 0, 0, 30], [0, -1.5, 0, 40], [0, 0, 4.0, -50], [0, 0, 0, 1]])  # LPS, anisotropic
OBLIQUE = np.array([[0, 0.1, 3.9, 5], [-1.5, 0.1, 0.1, 40], [0.1, -1.4, 0.4, -50], [0, 0, 0, 1]])  # axes permuted too
SHAPE = (24, 20, 10)
SMALL = {
    "models_genesis_ct": {"width": 2, "cube_size": [16, 16, 16], "overlap": 0.0},
    "caid_cxr": {"backbone": "resnet18", "size": 32, "overlap": 0.0, "intensity": "ct"},
}


@pytest.fixture(params=sorted(SMALL))
def parser(request, tmp_path):
    """A copied bundle's inference.yaml as `BundleInferTask` reads it; there is no list of files anywhere."""
    root = bundles.copy(request.param, tmp_path / "with spaces" / request.param)
    shutil.rmtree(root / "models", ignore_errors=True)  # with the settings of the phantom's weights it would resample
    parser = ConfigParser()
    parser.read_config(root / "configs" / "inference.yaml")
    parser.config.update({"bundle_root": str(root), "device": "cpu", "use_click": False, **SMALL[request.param]})
    return parser


def _steps(parser, id):
    steps = parser.get_parsed_content(id, instantiate=True)
    return list(steps.transforms) if isinstance(steps, Compose) else steps


def _infer(parser, path):
    """What `BasicInferTask` does with one scan: the network's own output, and the label map of it."""
    before = _steps(parser, "preprocessing")
    for step in before:
        if isinstance(step, LoadImaged):
            step._loader.image_only = False
    data = {"image": path, "image_path": path, "model": "segmentation"}
    for step in before:
        data = step(data)
    torch.manual_seed(1)
    network = parser.get_parsed_content("network_def", instantiate=True).eval()
    with torch.no_grad():
        inferer = parser.get_parsed_content("inferer", instantiate=True)
        data["pred"] = inferer(data["image"][None], lambda image: _centred(network(image)))[0]
    output = copy.deepcopy(data["pred"])
    for step in _steps(parser, "postprocessing"):
        if not isinstance(step, SaveImaged):
            data = step(data)
    return output, data


def _centred(output):
    """So that random weights answer more than one class."""
    return output - output.mean(dim=tuple(range(2, output.ndim)), keepdim=True)


def _restored(data):
    """The result as MONAI Label's `Restored` would write it: the scan's shape, by the scan's meta data."""
    meta, result = data["image"].meta, data["pred"]
    shape = meta["spatial_shape"][-len(result.shape[1:]) :]
    if np.any(np.not_equal(result.shape[1:], shape)):
        result = Resize(spatial_size=shape, mode="nearest")(result)
    return np.asarray(result[0]), np.asarray(meta["original_affine"])


@pytest.mark.parametrize("affine", [AFFINE, OBLIQUE], ids=["LPS", "oblique"])
def test_a_label_map_lies_on_the_study_s_own_grid(parser, write_nifti, affine):
    """Every voxel has the label that the network's output has at the same place of the patient."""
    scan = np.random.default_rng(0).integers(-1000, 400, SHAPE).astype(np.int16)
    output, data = _infer(parser, write_nifti("study.nii.gz", scan, affine))
    assert tuple(data["pred"].shape) == (1, *SHAPE), "MONAI Label would stretch it"
    labels, kept = _restored(data)
    np.testing.assert_allclose(kept, affine, atol=1e-5)
    # without resampling, each voxel of the study is one of the network's grid: found by its position in millimetres
    voxels = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1).reshape(-1, 3)
    places = np.linalg.inv(output.affine.numpy()) @ affine @ np.c_[voxels, np.ones(len(voxels))].T
    x, y, z = np.rint(places[:3]).astype(int)
    assert np.abs(places[:3] - [x, y, z]).max() < 1e-3
    expected = output.argmax(0).numpy()[x, y, z].reshape(SHAPE)
    np.testing.assert_array_equal(labels, expected)
    assert len(np.unique(expected)) > 1


@pytest.mark.parametrize("validated", [0, 1])
def test_a_training_shorter_than_val_interval_is_kept(fresh_bundle, phantoms, validated):
    """`BundleTrainTask`: records of the server, an own number of epochs, model.pt loaded by a handler put first."""
    models = fresh_bundle.root / "models"
    tiny = {"width": 2, "cube_size": [16, 16, 16], "num_workers": 0, "val_interval": 10}
    datalist = json.loads(phantoms.read_text())
    records = {
        section: [{key: str(phantoms.parent / record[key]) for key in ("image", "label")} for record in records]
        for section, records in datalist.items()
        if section in ("training", "validation")
    }
    data = {"train#dataset#data": records["training"][:1], "validate#dataset#data": records["validation"][:validated]}
    parser = ConfigParser()
    parser.read_config(fresh_bundle.config("train"))
    parser.update({"bundle_root": str(fresh_bundle.root), **tiny, "num_classes": 3, **data})
    models.mkdir()
    torch.save(parser.get_parsed_content("network_def").state_dict(), models / "model.pt")
    before = torch.load(models / "model.pt", weights_only=True)
    loader = {"_target_": "CheckpointLoader", "load_path": str(models / "model.pt"), "strict": False}
    monai.bundle.run(
        run_id="run",
        init_id=None,
        final_id=None,
        meta_file=str(fresh_bundle.root / "configs" / "metadata.json"),
        config_file=fresh_bundle.config("train"),
        **{
            "bundle_root": str(fresh_bundle.root),
            "train#trainer#max_epochs": 2,
            **data,
            "train#handlers": [{**loader, "load_dict": {"model": "$@network"}}, *parser.config["train"]["handlers"]],
            "device": "cpu",
            "init": "scratch",
            "num_classes": 3,
            "label_merge": {"1": "1-2,7", "2": "6"},
        },
        **tiny,
    )
    after = torch.load(models / "model.pt", weights_only=True)
    steps = [float((after[name] - value).abs().max()) for name, value in before.items() if name.endswith("conv.weight")]
    assert all(0 < step < 0.01 for step in steps), "neither as before nor begun anew"
