"""MONAI's own commands on copied bundles: from another folder, under a path with spaces."""

import json

import pytest
import torch
from monai.bundle import ckpt_export, create_workflow, load, verify_metadata, verify_net_in_out

from medgenesis import bundles

SMALL = {"_ct": {"width": 2, "cube_size": [16, 16, 16]}, "_cxr": {"backbone": "resnet18", "size": 64}}
FAST = ("models_genesis_ct", "adam_cxr")  # one a family
REQUIRED = ["version", "monai_version", "pytorch_version", "numpy_version", "required_packages_version", "task"]
REQUIRED += ["description", "authors", "copyright", "network_data_format", "schema", "changelog", "name"]


def small(name):
    return next(settings for ending, settings in SMALL.items() if name.endswith(ending))


@pytest.fixture(
    params=[name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in bundles.names()]
)
def folder(request, tmp_path, monkeypatch):
    """The copy; the place where commands are typed is another."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return bundles.copy(request.param, tmp_path / "my bundles" / request.param)


@pytest.fixture
def weights(folder):
    """A network of the bundle with its weights where a fine-tuning leaves them, and two inputs."""
    network = network_of(folder)
    (folder / "models").mkdir()
    torch.save(network.state_dict(), folder / "models" / "model.pt")
    image = json.loads((folder / "configs" / "metadata.json").read_text())["network_data_format"]["inputs"]["image"]
    return network.eval(), torch.rand(2, image["num_channels"], *[32] * len(image["spatial_shape"]))


def network_of(folder):
    config = str(folder / "configs" / "inference.yaml")
    workflow = create_workflow(config_file=config, workflow_type="infer", logging_file=False, **small(folder.name))
    assert workflow.bundle_root == str(folder)
    return workflow.network_def


def files(folder):
    return {
        "config_file": str(folder / "configs" / "inference.yaml"),
        "meta_file": str(folder / "configs/metadata.json"),
    }


@pytest.mark.parametrize("task", ["train", "finetune", "classify", "inference"])
def test_all_properties_are_there(folder, phantoms, task):
    datalist = phantoms if folder.name.endswith("_ct") else phantoms.with_name("xray_datalist.json")
    if folder.name.endswith("_cxr") and task == "classify":
        pytest.skip("the phantom's X-rays have no findings here; tests/bundles/test_xrays.py asks it")
    settings = {"datalist": str(datalist), "logging_file": False, **small(folder.name)}
    settings |= {} if task == "inference" else {"init": "scratch"}
    kind = "infer" if task == "inference" else "train"
    workflow = create_workflow(config_file=str(folder / "configs" / f"{task}.yaml"), workflow_type=kind, **settings)
    assert workflow.check_properties() == []


def test_verify_metadata(folder, tmp_path):
    """The official schema is not fetched: one with the keys that MONAI's specification names stands in its place."""
    schema = {"type": "object", "required": REQUIRED, "properties": {"version": {"pattern": "^[0-9.]+$"}}}
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(schema))
    verify_metadata(meta_file=str(folder / "configs" / "metadata.json"), filepath=str(path))
    path.write_text(json.dumps({**schema, "required": ["no such key"]}))
    with pytest.raises(ValueError):
        verify_metadata(meta_file=str(folder / "configs" / "metadata.json"), filepath=str(path))


def test_verify_net_in_out(folder):
    verify_net_in_out("network_def", **files(folder), device="cpu", **small(folder.name))
    with pytest.raises(ValueError):
        verify_net_in_out("network_def", **files(folder), device="cpu", **small(folder.name), num_classes=4)


def test_ckpt_export(folder, weights):
    network, x = weights
    paths = {"filepath": str(folder / "models" / "model.ts"), "ckpt_file": str(folder / "models" / "model.pt")}
    ckpt_export("network_def", **files(folder), **paths, **small(folder.name))
    exported = torch.jit.load(folder / "models" / "model.ts").eval()
    with torch.no_grad():
        assert torch.equal(exported(x), network(x))


def test_load(folder, weights):
    """MONAI's `load` reads network definitions from JSON configs alone: of ours it is given one."""
    network, x = weights
    where = {"bundle_dir": str(folder.parent), "source": "ngc", "device": "cpu"}
    assert load(folder.name, **where).keys() == network.state_dict().keys()
    loaded = load(folder.name, model=network_of(folder), **where).eval()
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))
