"""Overlays that change how a task is computed, not what comes out: whole runs with and without them."""

import nibabel as nib
import numpy as np
import pytest
import torch

from medgenesis.data import preprocessing
from medgenesis.handlers.norm_statistics import reestimate_norms
from medgenesis.networks import UNet3D
from medgenesis.transforms import Deferred

pytestmark = pytest.mark.usefixtures("one_thread")

MINED = ("semantic_genesis_ct", "transvw_ct")
OWN = {"masked_autoencoder_ct": {"block_size": 8, "crop_criterion": "foreground"}}


def weights_in(folder):
    """Name -> tensor of what a run of `pretrain` leaves: the network to transfer, and the method at its end."""
    network = torch.load(folder / "pretrained.pt", weights_only=True)
    method = torch.load(folder / "last.pt", weights_only=True)["method"]
    return {f"{kind}.{name}": value for kind, of in (("n", network), ("m", method)) for name, value in of.items()}


@pytest.mark.parametrize("name", [*MINED, "models_genesis_ct", "masked_autoencoder_ct"])
def test_corrupting_on_the_device_trains_the_same_weights(name, copied, patterns, tmp_path):
    """Also where a run that was begun without it is continued with it."""
    bundle, own = copied(name, tmp_path / "bundle"), OWN.get(name, {})
    own |= {"patterns": str(patterns)} if name in MINED else {}

    def pretrain(folder, *overlays, **settings):
        folders = {"output_dir": str(tmp_path / folder), "weights": str(tmp_path / folder / "pretrained.pt")}
        workflow = bundle.run("pretrain", *overlays, **own, **folders, **settings)
        steps = workflow.parser.get_parsed_content("train#dataset").random_transform.transforms
        assert any(isinstance(step, Deferred) for step in steps) == bool(overlays)

    pretrain("plain")
    pretrain("overlay", "device")
    pretrain("continued", pretrain_epochs=1)
    begun = weights_in(tmp_path / "continued")
    pretrain("continued", "device")
    expected = weights_in(tmp_path / "plain")
    assert any(not torch.equal(value, begun[key]) for key, value in expected.items()), "the second epoch learns"
    for folder in ("overlay", "continued"):
        found = weights_in(tmp_path / folder)
        assert list(found) == list(expected)
        assert [key for key in found if not torch.equal(found[key], expected[key])] == []


@pytest.mark.parametrize("spacing_mm", [None, [9.0, 12.0, 14.0]])
def test_less_memory_writes_the_same_label_maps(spacing_mm, fresh_bundle, phantoms, tmp_path):
    torch.manual_seed(0)
    network = UNet3D(1, 4, width=2, activation=None)
    torch.nn.init.normal_(network.head.conv.weight)
    image = preprocessing(intensity="ct")({"image": str(next((phantoms.parent / "images").iterdir()))})["image"]
    reestimate_norms(network, [image[None].as_tensor()], "cpu")  # or an untrained network says the same of all voxels
    with torch.no_grad():
        network.head.conv.bias -= network(image[None].as_tensor()).mean((0, 2, 3, 4))
    torch.save(network.state_dict(), tmp_path / "model.pt")
    settings = {"weights": str(tmp_path / "model.pt"), "num_classes": 4, "spacing_mm": spacing_mm}
    for folder, overlays in (("plain", ()), ("less", ("low_memory",))):
        fresh_bundle.run("inference", *overlays, kind="infer", output_dir=str(tmp_path / folder), **settings)
    plain = sorted((tmp_path / "plain").rglob("*.nii.gz"))
    assert plain
    for path in plain:
        expected, found = nib.load(path), nib.load(tmp_path / "less" / path.relative_to(tmp_path / "plain"))
        assert len(np.unique(expected.dataobj)) > 2 and np.array_equal(found.affine, expected.affine)
        np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(expected.dataobj))
        assert found.get_data_dtype() == expected.get_data_dtype()
