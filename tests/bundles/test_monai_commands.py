"""MONAI's own commands on copied bundles: from another folder, under a path with spaces."""

import ast
import json
import os
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml
from monai.bundle import (
    ckpt_export,
    create_workflow,
    download_large_files,
    load,
    onnx_export,
    verify_metadata,
    verify_net_in_out,
)

from medgenesis import bundles
from medgenesis.errors import cause_of
from medgenesis.handlers import LoadWeights
from medgenesis.weights import with_settings

SMALL = {"_ct": {"width": 2, "cube_size": [16, 16, 16]}, "_cxr": {"backbone": "resnet18_w8", "size": 64}}
SMALL["_encoders"] = SMALL["_cxr"]
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
    copy = bundles.copy(request.param, tmp_path / "my bundles" / request.param)
    for demo in copy.glob("models/phantom_demo*"):  # its settings would be those of inference
        demo.unlink()
    return copy


@pytest.fixture
def weights(folder):
    """A network of the bundle with its weights where a fine-tuning leaves them, and two inputs."""
    network = network_of(folder)
    (folder / "models").mkdir(exist_ok=True)
    kept = {**small(folder.name), "num_classes": 3}
    torch.save(with_settings(network.state_dict(), kept), folder / "models" / "model.pt")
    image = json.loads((folder / "configs" / "metadata.json").read_text())["network_data_format"]["inputs"]["image"]
    return network.eval(), torch.rand(2, image["num_channels"], *[32] * len(image["spatial_shape"]))


def network_of(folder):
    shutil.rmtree(folder / "models", ignore_errors=True)  # the weights of the phantom are of another width
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
    if not folder.name.endswith("_ct") and task == "classify":
        pytest.skip("the phantom's X-rays have no findings here; tests/bundles/test_xrays.py asks it")
    settings = {"datalist": str(datalist), "logging_file": False, **small(folder.name)}
    settings |= {} if task == "inference" else {"init": "scratch"}
    kind = "infer" if task == "inference" else "train"
    workflow = create_workflow(config_file=str(folder / "configs" / f"{task}.yaml"), workflow_type=kind, **settings)
    assert workflow.check_properties() == []


def test_verify_metadata(folder, tmp_path):
    """Offline: a schema that lies at `filepath` is not downloaded. The official one's rules, where the data are."""
    official = Path(os.environ.get("MEDGENESIS_DATA", "none"), "monai_schema", "meta_schema_20240725.json")
    schema = {"type": "object", "required": REQUIRED, "properties": {"version": {"pattern": "^[0-9.]+$"}}}
    schema = json.loads(official.read_text()) if official.is_file() else schema
    path = tmp_path / "schema.json"
    path.write_text(json.dumps(schema))
    verify_metadata(meta_file=str(folder / "configs" / "metadata.json"), filepath=str(path))
    path.write_text(json.dumps({**schema, "required": ["no such key"]}))
    with pytest.raises(ValueError):
        verify_metadata(meta_file=str(folder / "configs" / "metadata.json"), filepath=str(path))


def test_verify_net_in_out(folder):
    shutil.rmtree(folder / "models", ignore_errors=True)
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
    """The network of `infer.json` with its weights; without it MONAI returns a state dict."""
    network, x = weights
    where = {"bundle_dir": str(folder.parent), "source": "ngc", "device": "cpu"}
    for given in ({"workflow_type": "infer"}, {"model": network_of_json(folder)}):
        loaded = load(folder.name, **given, **where).eval()
        with torch.no_grad():
            assert torch.equal(loaded(x), network(x))


def network_of_json(folder):
    """That of inference.yaml; `infer.json` must define the same."""
    plain, own = (
        create_workflow(config_file=str(folder / "configs" / name), workflow_type="infer", logging_file=False)
        for name in ("infer.json", "inference.yaml")
    )
    assert str(plain.network_def) == str(own.network_def)
    assert plain.bundle_root == own.bundle_root == str(folder)
    return own.network_def


@pytest.mark.parametrize("name", bundles.names())
def test_infer_json_says_what_inference_yaml_says(name):
    """`load` builds the network from the one, `run` from the other: weights must mean the same in both."""
    configs = bundles.path(name) / "configs"
    plain, own = (
        json.loads((configs / "infer.json").read_text()),
        yaml.safe_load((configs / "inference.yaml").read_text()),
    )
    named = {value[1:] for value in own["network_def"].values() if str(value).startswith("@")}
    for id in ("network_def", "settings", "weights", *named):
        assert plain[id] == own[id], id


@pytest.mark.slow
def test_onnx_export_with_free_batch_and_size(folder, weights, tmp_path):
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name, reason="the extra `export` is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    network, x = weights
    path = tmp_path / "model.onnx"
    onnx_export(
        "network_def",
        **files(folder),
        filepath=str(path),
        ckpt_file=str(folder / "models" / "model.pt"),
        input_shape=list(x.shape),
        converter_kwargs=free(x.ndim),
    )
    session = runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    for shape in ((1, *x.shape[1:]), (3, x.shape[1], 64, *x.shape[3:])):
        image = torch.rand(shape)
        (found,) = session.run(None, {"image": image.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(found, network(image).numpy(), atol=1e-4)


def free(dims):
    """Names and free axes for the export of a network of (B, C, *spatial) images."""
    axes = {0: "batch", **dict(zip(range(2, dims), "xyz", strict=False))}
    return {"input_names": ["image"], "output_names": ["pred"], "dynamic_axes": {"image": axes, "pred": axes}}


@pytest.mark.parametrize("name", bundles.names())
def test_the_pages_type_what_is_exported_here(name):
    pages = "".join(path.read_text() for path in (bundles.path(name) / "docs").glob("*.md"))
    typed = [ast.literal_eval(one) for one in re.findall(r'--converter_kwargs "(.+?)"', pages)]
    assert typed == ([] if name == "transfer_encoders" else [free(5 if name.endswith("_ct") else 4)])


@pytest.mark.parametrize("name", bundles.names())
def test_the_pages_of_a_copy_link_to_each_other(name, tmp_path):
    copy = bundles.copy(name, tmp_path / name)
    for page in (copy / "README.md", copy / "docs" / "README.md"):
        links = re.findall(r"\]\(([^)#]+)(?:#([\w-]+))?\)", page.read_text())
        assert bool(links) == (name != "transfer_encoders")
        for file, heading in links:
            headings = re.findall("^## (.*)", (page.parent / file).read_text(), re.MULTILINE)
            assert not heading or heading in [one.lower().replace(" ", "-") for one in headings]


def test_tensorrt_overlay_infers_with_the_engine_alone(folder, weights, phantoms, monkeypatch):
    """TorchScript stands for the engine, and an empty module for torch_tensorrt: neither is here without a GPU."""
    network, x = weights
    torch.jit.trace(network, x).save(folder / "models" / "model_trt.ts")
    configs = [str(folder / "configs" / name) for name in ("inference.yaml", "inference_trt.yaml")]
    datalist = phantoms if folder.name.endswith("_ct") else phantoms.with_name("xray_datalist.json")
    settings = {"workflow_type": "infer", "logging_file": False, "datalist": str(datalist), "device": "cpu"}
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)  # not installed
    with pytest.raises(RuntimeError) as error:
        create_workflow(config_file=configs, **settings).parser.get_parsed_content("network_def")
    assert isinstance(cause_of(error.value), ImportError)
    monkeypatch.setitem(sys.modules, "torch_tensorrt", ModuleType("torch_tensorrt"))
    parser = create_workflow(config_file=configs, **settings).parser
    evaluator = parser.get_parsed_content("evaluator")
    with torch.no_grad():
        assert torch.equal(evaluator.network(x), network(x)) and not evaluator.amp
    assert not any(isinstance(one, LoadWeights) for one in parser.get_parsed_content("handlers"))


def test_large_files_are_addresses_monai_can_read(folder, monkeypatch):
    fetched = []
    monkeypatch.setattr("monai.bundle.scripts.download_url", lambda **what: fetched.append(what))
    download_large_files(str(folder))
    assert all(one["url"].startswith("https://") and "models" in str(one["filepath"]) for one in fetched)
    assert bool(fetched) == (folder.name in ("transvw_ct", "transfer_encoders"))  # addresses without a form


def test_a_copy_names_no_place_and_works_where_it_is_taken(folder, weights, tmp_path):
    """Nothing in it says where it was; moved, its root is where it is now."""
    network, x = weights
    where = [str(tmp_path).encode(), str(bundles.path(folder.name)).encode(), b"/work/", b"/home/"]
    for path in filter(lambda path: path.is_file(), folder.rglob("*")):
        content = path.read_bytes()
        assert not any(one in content for one in where), path
    moved = tmp_path / "another machine" / folder.name
    shutil.copytree(folder, moved)
    shutil.rmtree(folder)
    loaded = load(moved.name, workflow_type="infer", bundle_dir=str(moved.parent), source="ngc", device="cpu").eval()
    with torch.no_grad():
        assert torch.equal(loaded(x), network(x))
    assert not folder.exists()


def test_an_edit_of_finetune_reaches_monai_label(folder, caplog):
    """train.yaml, which MONAI Label reads, is the same file in a copy; where it is not, both tasks say so."""
    own, read = (folder / "configs" / name for name in ("finetune.yaml", "train.yaml"))
    own.write_text(own.read_text().replace("finetune_epochs: 300", "finetune_epochs: 7"))
    assert yaml.safe_load(read.read_text())["finetune_epochs"] == 7
    read.unlink()
    read.write_text(own.read_text().replace("finetune_epochs: 7", "finetune_epochs: 8"))
    network_of(folder)
    assert "differs from" in caplog.text and "train.yaml" in caplog.text


def test_the_model_card_has_the_header_of_hugging_face(folder):
    _, header, text = (folder / "README.md").read_text().split("---\n", 2)
    header = yaml.safe_load(header)
    assert header["license"] == "apache-2.0" and header["library_name"] == "monai"
    page = (folder / "docs" / "README.md").read_text()
    assert text.strip() == page.replace("](tasks.md", "](docs/tasks.md").strip()
    hub = pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")
    assert hub.ModelCardData(**header).to_dict()["pipeline_tag"] == "image-segmentation"
