"""The files of the bundles: whose they are, and that a number stands in one of them."""

import json
import re

import pytest
import yaml
from helpers.study_encoders import ENCODERS

from medgenesis import bundles
from medgenesis.cli.configs import find_bundle

NAMES = bundles.names()
OWN = {"metadata.json", "settings.yaml", "pretrain.yaml", "quick.yaml", "published.yaml", "dense.yaml", "restore.yaml"}
OWN |= {"one_shot.yaml"}
STUDY = "transfer_encoders"  # it learns nothing by itself: no pretrain, an overlay for each encoder
TARGET_TASKS = ("ncc", "ncs", "ecc", "lcs", "bms")
PUBLISHED_CT = ("models_genesis_ct", "semantic_genesis_ct", "transvw_ct")
SLABS = [name for name in NAMES if (bundles.path(name) / "configs" / "slabs.yaml").exists()]


def configs(name):
    return {path.stem: yaml.safe_load(path.read_text()) for path in (bundles.path(name) / "configs").glob("*.yaml")}


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_a_bundles_own_is_a_link_into_a_family(name):
    folder = bundles.path(name) / "configs"
    own, linked = set(), {}
    for path in folder.iterdir():
        if path.is_symlink():
            linked[path.name] = (folder / path.readlink()).resolve()
        else:
            own.add(path.name)
    needed = {"metadata.json"} | ({"pretrain.yaml"} if name != STUDY else set())
    own -= {f"{one}.yaml" for one in ENCODERS} if name == STUDY else set()
    assert own <= OWN and needed <= own and {"settings.yaml", "quick.yaml"} <= own | linked.keys()
    assert all(target.is_file() and target.parent.name[0] == "_" for target in linked.values())
    assert linked.pop("train.yaml") == linked["finetune.yaml"]  # the name that MONAI Label looks for
    assert all(target.name == file for file, target in linked.items())
    page = bundles.path(name) / "docs" / "tasks.md"
    assert name == STUDY or page.resolve() == linked["finetune.yaml"].with_name("tasks.md") and page.is_symlink()
    licence = bundles.path(name) / "LICENSE"
    assert licence.is_symlink() and licence.resolve() == bundles.path(name).parents[1] / "LICENSE"


def test_no_file_stands_in_two_bundles():
    first = {}
    for path in (
        path for name in NAMES for part in ("*", "configs/*", "docs/*") for path in bundles.path(name).glob(part)
    ):
        if path.is_file() and not path.is_symlink():
            assert first.setdefault(path.read_bytes(), path) == path, "should be one file of the family, linked by both"


@pytest.mark.parametrize("name", NAMES)
def test_a_shared_number_stands_in_settings_alone(name):
    files = configs(name)
    shared, overlays = files.pop("settings"), set(find_bundle(name).overlays())
    used = set()
    for task in files.keys() - overlays:
        own = {"num_classes"} if task in ("classify", "predict") else set()  # those of whole images, another number
        for id in (shared.keys() & files[task].keys()) - own:
            used.add(id)
            assert files[task][id] == f"$@settings['{id}']", (task, id)
    nested = {id for id in shared if any(f"settings['{id}']" in str(files[task]) for task in files)}
    assert used | nested == set(shared), "a setting that no task uses"


@pytest.mark.parametrize("name", NAMES)
def test_overlays_set_only_what_a_task_has(name):
    files, overlays = configs(name), list(find_bundle(name).overlays())
    known = {id for task in find_bundle(name).tasks() for id in files[task]}
    wanted = {"evaluate", "inference_trt", "multi_gpu", "quick"} | ({"slabs"} if name in SLABS else set())
    own = {"region_prompts_ct": {"one_shot"}, "dense_contrast_ct": set(), STUDY: set(ENCODERS)}
    wanted |= own.get(name, {"published"})
    wanted |= set(TARGET_TASKS) if name in PUBLISHED_CT else set()
    wanted |= {"released", "shard"} if "mine" in files else set()
    wanted |= {"device"} if "corrupt_on_device" in files.get("pretrain", {}) else set()
    wanted |= {"low_memory"} if name not in SLABS else set()
    wanted |= {"few_labels"} if "probe_first" in files["finetune"] else set()
    wanted |= {"guided"} if "click_channels" in files["finetune"] else set()
    assert overlays == sorted(wanted)
    for overlay in {"few_labels", "quick", "slabs", "published", *TARGET_TASKS, *ENCODERS} & set(overlays):
        assert {id.partition("#")[0] for id in files[overlay]} <= known


@pytest.mark.parametrize("overlay", TARGET_TASKS)
def test_a_target_task_sets_only_what_its_task_has(overlay):
    files = configs("models_genesis_ct")
    task = files["classify" if overlay in ("ncc", "ecc") else "finetune"]
    assert {id.partition("#")[0] for id in files[overlay]} <= set(task)


@pytest.mark.parametrize("name", NAMES)
def test_every_task_begins_and_ends_alike(name):
    for task in find_bundle(name).tasks():
        config = configs(name)[task]
        assert config["bundle_root"] == "$medgenesis.bundles.root()"
        weights = re.search(r"settings_of\(@(\w+)\)", config["settings"])
        assert config["settings"].startswith("$medgenesis.bundles.settings(@bundle_root")
        assert weights or task == "mine"
        assert ("applied=True" in config["settings"]) == (weights is not None and weights[1] == "weights")
        assert config["initialize"][:2] == [
            "$medgenesis.errors.say_cause_last()",
            "$medgenesis.bundles.check_settings(@settings)",
        ]
        wanted = "@output_dir, @models" if "models" in config else "@output_dir"
        wanted = "medgenesis.data.shard_folder(@output_dir, @shard)" if "shard" in config else wanted
        assert f"$medgenesis.bundles.begin_run({wanted})" in config["initialize"]


@pytest.mark.parametrize("name", NAMES)
def test_volumes_are_prepared_alike_in_every_task(name):
    """Label maps are a task's own."""
    labels = ("keys", "label_keys", "label_merge", "num_classes")
    files = {task: config for task, config in configs(name).items() if "preprocessing" in config}
    files.pop("dense", None)  # its X-rays are never volumes
    for task, config in files.items():
        own = config["volumes" if task in ("classify", "predict") and "volumes" in config else "preprocessing"]
        expected = files["pretrain" if "pretrain" in files else "embed"]["preprocessing"]
        assert {k: v for k, v in own.items() if k not in labels} == expected, task


@pytest.mark.parametrize("name", SLABS)
def test_slabs_are_cut_alike_in_every_task(name):
    slab, tasks = ("slices", "axis", "step_mm"), configs(name)
    cuts = [tasks[task]["train"]["random_transforms"][0] for task in ("finetune", "classify")]
    cuts += [tasks[task]["inferer"] for task in ("inference", "embed")]
    cuts += [tasks[task]["validate"]["inferer"] for task in ("finetune", "classify")]
    assert all(
        {key: crop[key] for key in slab} == {key: f"@{key}" for key in slab}
        for crop in [*cuts, *([tasks["pretrain"]["crop"]] if "pretrain" in tasks else [])]
    )
    assert tasks["finetune"]["validate"]["inferer"] == tasks["inference"]["inferer"]


@pytest.mark.parametrize("name", NAMES)
def test_metadata_agrees_with_the_settings(name):
    metadata = json.loads((bundles.path(name) / "configs" / "metadata.json").read_text())
    data, settings = metadata["network_data_format"], configs(name)["settings"]
    outputs, image = data["outputs"]["pred"], data["inputs"]["image"]
    assert outputs["num_channels"] == len(outputs["channel_def"])
    assert f"'num_classes', {outputs['num_channels']})" in configs(name)["inference"]["num_classes"]
    assert image["spatial_shape"] == outputs["spatial_shape"] == settings.get("cube_size", [settings.get("size")] * 2)
    assert image["num_channels"] == settings.get("slices", 1)
    assert metadata["version"] in metadata["changelog"]
