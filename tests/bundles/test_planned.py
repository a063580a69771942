"""A bundle made of nnU-Net's plans: every task has the plans' network and preprocessing, and nothing of its own."""

import json
import logging
import re

import nibabel
import numpy as np
import pytest
import torch
import yaml
from helpers.nnunet import IDENTIFIER, plans, write_dataset, write_image
from monai.bundle import ConfigParser, ConfigWorkflow

from medgenesis import bundles
from medgenesis.cli.configs import find_bundle
from medgenesis.data import write_datalist
from medgenesis.data.nnunet import plan_of, preprocessed_datalist
from medgenesis.errors import cause_of
from medgenesis.storage.checkpoint import read_checkpoint
from medgenesis.storage.tables import read_table
from medgenesis.weights import settings_of

METHODS = bundles.can_be_planned()
OWN = re.compile(r"UNet3D|settings\['(width|norm|intensity|spacing_mm)'\]|@(width|norm|intensity|spacing_mm)\b")


@pytest.fixture(scope="module", params=METHODS)
def planned(request, tmp_path_factory):
    """A planned bundle of each method, and its plan."""
    plan = plan_of(plans("CTNormalization", channels=2), source="plans")
    folder = tmp_path_factory.mktemp("planned") / request.param
    return bundles.copy_planned(request.param, folder, plan, "nnUNetPlans.json"), plan


def test_there_are_methods():
    assert METHODS == ("masked_autoencoder_ct", "models_genesis_ct")


def test_every_config_is_of_the_plan(planned):
    root, plan = planned
    tasks = find_bundle(str(root)).tasks()
    assert {"pretrain", "finetune", "inference", "classify", "predict", "embed", "restore"} <= set(tasks)
    for path in sorted((root / "configs").glob("*.yaml")):
        text = path.read_text()
        assert not OWN.search(text), path.name
        content = yaml.safe_load(text)
        for name in {"network_def", "plan", "in_channels"} if path.stem in tasks else ():
            assert name in content, (path.name, name)
        if path.stem in tasks:
            network = content["network_def"]
            assert network["_target_"] == "medgenesis.networks.planned_network"
            assert set(network) == {"_target_", "architecture", "in_channels", "out_channels"}
            assert "medgenesis.data.nnunet.nnunet_preprocessing" in text
    shared = yaml.safe_load((root / "configs" / "settings.yaml").read_text())
    assert shared["plan"] == plan and shared["cube_size"] == plan["patch_size"]
    assert not {"width", "norm", "intensity", "spacing_mm"} & set(shared)
    pretrain = yaml.safe_load((root / "configs" / "pretrain.yaml").read_text())
    assert pretrain["batch_size"] == 2
    finetune = yaml.safe_load((root / "configs" / "finetune.yaml").read_text())
    assert (finetune["volumes_per_batch"], finetune["crops_per_volume"]) == (2, 1)
    said = json.loads((root / "configs" / "metadata.json").read_text())
    assert said["network_data_format"]["inputs"]["image"]["num_channels"] == 2
    infer = json.loads((root / "configs" / "infer.json").read_text())
    assert infer["network_def"] == yaml.safe_load((root / "configs" / "inference.yaml").read_text())["network_def"]
    assert "width" not in infer and infer["plan"] == "$@settings['plan']"
    overlays = {"quick", "device", "evaluate", "multi_gpu", "inference_trt"}
    assert set(find_bundle(str(root)).overlays()) == overlays and not list(root.rglob("*.pt"))
    assert {"width", "cube_size", "batch_size"}.isdisjoint(
        yaml.safe_load((root / "configs" / "quick.yaml").read_text())
    )


def test_what_a_plan_says_is_data_not_configuration(tmp_path):
    plan = plan_of(plans(), source="plans")
    plan["channels"][0]["name"] = "$__import__('os').mkdir('ran')"
    root = bundles.copy_planned("models_genesis_ct", tmp_path / "b", plan, "plans")
    parser = ConfigParser(ConfigParser.load_config_file(str(root / "configs" / "embed.yaml")))
    parser["bundle_root"] = str(root)
    assert parser.get_parsed_content("plan")["channels"][0]["name"] == plan["channels"][0]["name"]
    assert parser.get_parsed_content("in_channels") == 1


def test_other_bundles_and_full_folders_are_refused(tmp_path):
    plan = plan_of(plans(), source="plans")
    with pytest.raises(ValueError, match="--bundle: must be one of masked_autoencoder_ct, models_genesis_ct"):
        bundles.copy_planned("transvw_ct", tmp_path / "b", plan, "plans")
    with pytest.raises(ValueError, match="must be new or empty"):
        bundles.copy_planned("models_genesis_ct", tmp_path, plan, "plans") if (tmp_path / "x").write_text("x") else None


@pytest.mark.parametrize("task", ["pretrain", "finetune", "inference", "embed"])
def test_cubes_that_the_planned_network_cannot_halve_are_refused(tmp_path, task):
    """Its strides multiply to 2, 4 and 4."""
    root = bundles.copy_planned("models_genesis_ct", tmp_path / "b", plan_of(plans(), source="plans"), "plans")

    def check(**settings):
        asked = {"init_id": "asked", "asked": "$medgenesis.bundles.check_settings(@settings)"}
        start = {"init": "scratch"} if task == "finetune" else {}
        file = str(root / "configs" / f"{task}.yaml")
        settings |= {} if task in ("pretrain", "finetune") else {"weights": "$None"}
        ConfigWorkflow(file, workflow_type="train", logging_file=False, **asked, **start, **settings).initialize()

    check(cube_size=[10, 8, 12])
    with pytest.raises(RuntimeError) as raised:
        check(cube_size=[9, 9, 9])
    said = str(cause_of(raised.value))
    assert said.startswith("cube_size: must divide by the network's strides [2, 4, 4]; found [9, 9, 9]. ")
    assert "[8, 16, 12]" in said


TINY = {"pretrain_epochs": 1, "patches_per_image": 1, "finetune_epochs": 1, "num_workers": 0, "device": "cpu"}


def run(root, task, datalist, kind="train", overlays=(), **settings):
    content = (root / "configs" / f"{task}.yaml").read_text()
    tiny = {name: value for name, value in TINY.items() if re.search(rf"^{name}:", content, re.MULTILINE)}
    given = {"datalist": str(datalist), **tiny, **settings}
    files = [str(root / "configs" / f"{name}.yaml") for name in (task, *overlays)]
    workflow = ConfigWorkflow(files, workflow_type=kind, logging_file=False, **given)
    workflow.initialize()
    workflow.run()
    workflow.finalize()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_the_whole_way_from_arrays_to_label_maps_of_raw_images(tmp_path, method, caplog):
    pytest.importorskip("dynamic_network_architectures")
    plan = plan_of(plans(), source="plans")
    root = bundles.copy_planned(method, tmp_path / "b", plan, "plans")
    dataset = write_dataset(tmp_path / "D", 5)
    write_datalist(preprocessed_datalist(dataset / IDENTIFIER), tmp_path / "list.json")
    run(root, "pretrain", tmp_path / "list.json")
    weights = read_checkpoint(root / "models" / "pretrained.pt")
    assert all(torch.isfinite(value).all() for value in weights.values())
    assert settings_of(root / "models" / "pretrained.pt")["plan"] == plan
    with caplog.at_level(logging.INFO):
        run(root, "finetune", tmp_path / "list.json", val_interval=1)
    assert "0 missing in the file; 0 unknown to the network" in caplog.text
    run(
        root, "inference", tmp_path / "list.json", kind="infer", output_dir=str(tmp_path / "arrays"), section="training"
    )
    found = nibabel.load(next((tmp_path / "arrays").rglob("*.nii.gz")))
    assert found.shape == (10, 20, 14) and found.header.get_zooms() == (2.0, 1.0, 1.0)  # of the array, in its order
    write_image(tmp_path / "raw.nii.gz", codes="LPI")
    records = [{"image": str(tmp_path / "raw.nii.gz")}]
    write_datalist({"test": records, "validation": records, "training": records}, tmp_path / "raw.json")
    run(root, "inference", tmp_path / "raw.json", kind="infer", output_dir=str(tmp_path / "maps"))
    (found,) = (tmp_path / "maps").rglob("*.nii.gz")
    image, labels = nibabel.load(tmp_path / "raw.nii.gz"), nibabel.load(found)
    assert labels.shape == image.shape
    np.testing.assert_allclose(labels.affine, image.affine, atol=1e-4)
    write_image(tmp_path / "label.nii.gz", codes="LPI")
    label = nibabel.load(tmp_path / "label.nii.gz")
    drawn = (label.get_fdata() > 50).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(drawn, label.affine), tmp_path / "label.nii.gz")
    labelled = [{**records[0], "label": str(tmp_path / "label.nii.gz")}]
    write_datalist({"test": labelled, "validation": labelled, "training": labelled}, tmp_path / "labelled.json")
    run(root, "finetune", tmp_path / "labelled.json", overlays=["evaluate"], output_dir=str(tmp_path / "measured"))
    (case,) = read_table(tmp_path / "measured" / "evaluation" / "cases.csv")
    assert float(case["reference_ml"]) == pytest.approx(drawn.sum() * 0.002, rel=1e-3)  # of its own grid
    run(root, "embed", tmp_path / "raw.json", kind="infer", output_dir=str(tmp_path / "e"))
    assert len((tmp_path / "e" / "embeddings.csv").read_text().splitlines()[0].split(",")) == 13
    run(root, "restore", tmp_path / "raw.json", kind="infer", output_dir=str(tmp_path / "r"))
    assert list((tmp_path / "r").rglob("*.png"))
