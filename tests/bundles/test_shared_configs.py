"""What the bundles have in common, which MONAI's one-folder bundles must hold each for itself, cannot drift apart."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
import yaml

from medgenesis import bundles

MODEL = "models_genesis_ct"
SIBLINGS = ["semantic_genesis_ct", "transvw_ct"]
XRAYS = ["caid_cxr", "adam_cxr"]
SHARED = ["classify", "embed", "evaluate", "finetune", "inference", "restore", "multi_gpu"]
# of a bundle's config: the ids in which it differs from that of another bundle
FROM_CUBES_TO_PATTERNS = [
    *("datalist", "on_error", "cube_size", "crop_criterion", "patches_per_image", "crop", "warmup_iterations"),
    *("imports", "cache_dir", "patterns", "table", "batch_size", "lr_scheduler", "probe#crop#size"),
    *("train#dataset", "train#handlers#2", "train#trainer#clip_norm", "validate#dataset"),
]
FROM_MODELS = ["imports", "output_dir", "weights", "corrupt", "network_def", "method", "run"]
DIFFERENCES = {
    ("semantic_genesis_ct", "classify", MODEL): ["network#hidden"],
    ("semantic_genesis_ct", "restore", MODEL): ["corrupt"],
    ("semantic_genesis_ct", "pretrain", MODEL): [*FROM_CUBES_TO_PATTERNS, *FROM_MODELS, "variant", "decoder", "suffix"],
    ("transvw_ct", "pretrain", MODEL): [*FROM_CUBES_TO_PATTERNS, "pretext", "method"],
    ("transvw_ct", "pretrain", "semantic_genesis_ct"): [*FROM_MODELS, "variant", "decoder", "suffix", "pretext"],
    ("adam_cxr", "quick", "caid_cxr"): ["pretrain_epochs", "slabs_per_image", "prune_after", "pretrain_optimizer"],
    ("adam_cxr", "pretrain", "caid_cxr"): [
        *(
            "max_image_side",
            "cache",
            "mode",
            "level",
            "grid",
            "views",
            "network_def",
            "discriminator",
            "discriminators",
        ),
        *("init", "pretrain_optimizer", "optimizers", "optimizer", "prune_after", "method_def", "method", "stages"),
        *("carry_head", "carry_queue", "pretrain_epochs", "run"),
        *("train#dataset#keys", "validate#dataset#keys"),
    ],
}
COMPARED = [(sibling, name, MODEL) for sibling in SIBLINGS for name in [*SHARED, "pretrain"]]
COMPARED += [("transvw_ct", name, "semantic_genesis_ct") for name in ("pretrain", "quick", "mine")]
COMPARED += [("caid_cxr", name, MODEL) for name in ("evaluate", "multi_gpu")]
SHARED_BY_XRAYS = ["classify", "embed", "evaluate", "finetune", "inference", "multi_gpu", "pretrain", "quick", "slabs"]
COMPARED += [("adam_cxr", name, "caid_cxr") for name in SHARED_BY_XRAYS]


def folder(bundle):
    return Path(bundles.root(bundle))


def configuration(bundle, name):
    return yaml.safe_load((folder(bundle) / "configs" / f"{name}.yaml").read_text())


def without(config, ids):
    """A copy in which neither the root, which names the bundle, nor these ids are left."""
    config = deepcopy(config)
    config.pop("bundle_root", None)
    for name in ids:
        *parents, last = name.split("#")
        part = config
        for parent in parents:
            part = part[int(parent) if isinstance(part, list) else parent]
        if isinstance(part, list):
            part[int(last)] = None
        else:
            part.pop(last, None)
    return config


@pytest.mark.parametrize(("bundle", "name", "other"), COMPARED)
def test_configs_differ_in_what_is_named_alone(bundle, name, other):
    ids = DIFFERENCES.get((bundle, name, other), [])
    one, another = configuration(bundle, name), configuration(other, name)
    assert without(one, ids) == without(another, ids)
    assert one.get("bundle_root", "").replace(bundle, other) == another.get("bundle_root", "")


@pytest.mark.parametrize("bundle", [*SIBLINGS, *XRAYS])
def test_files_without_settings_are_the_same(bundle):
    for name in ("LICENSE", "configs/logging.conf"):
        assert (folder(bundle) / name).read_bytes() == (folder(MODEL) / name).read_bytes()
    assert (folder(bundle) / "configs" / "train.yaml").readlink() == Path("finetune.yaml")


@pytest.mark.parametrize("bundle", SIBLINGS)
@pytest.mark.parametrize(
    ("one", "other", "keys"),
    [
        ("pretrain", "restore", ["width", "intensity", "spacing_mm", "preprocessing"]),
        ("pretrain", "embed", ["width", "intensity", "spacing_mm", "preprocessing"]),
        ("pretrain", "finetune", ["width", "intensity", "spacing_mm"]),
        ("pretrain", "mine", ["intensity", "spacing_mm", "preprocessing", "dataset_dir"]),
        ("restore", "mine", ["cube_size"]),
        ("embed", "restore", ["cube_size", "network_def"]),
    ],
)
def test_what_stands_twice_is_equal(bundle, one, other, keys):
    one, other = configuration(bundle, one), configuration(bundle, other)
    assert {key: one[key] for key in keys} == {key: other[key] for key in keys}


OF_XRAYS = ["intensity", "spacing_mm", "slices", "axis", "step_mm", "backbone", "size"]


@pytest.mark.parametrize("bundle", XRAYS)
@pytest.mark.parametrize(
    ("one", "other", "keys"),
    [
        ("pretrain", "finetune", []),
        ("pretrain", "classify", []),
        ("finetune", "inference", ["max_image_side", "num_classes", "overlap", "network_def"]),
        ("classify", "embed", ["max_image_side", "network_def"]),
    ],
)
def test_what_stands_twice_of_xrays_is_equal(bundle, one, other, keys):
    one, other = configuration(bundle, one), configuration(bundle, other)
    assert {key: one[key] for key in [*OF_XRAYS, *keys]} == {key: other[key] for key in [*OF_XRAYS, *keys]}


@pytest.mark.parametrize("bundle", XRAYS)
def test_xrays_are_prepared_and_slabs_cut_alike_in_every_task(bundle):
    """As the network has learnt from them; label maps, and how far X-rays are shrunk, are the task's own."""
    labels, slab = ("label_keys", "label_merge", "num_classes"), ("slices", "axis", "step_mm")
    tasks = {name: configuration(bundle, name) for name in ("pretrain", "finetune", "inference", "classify", "embed")}
    for name, config in tasks.items():
        own = config["volumes" if name == "classify" else "preprocessing"]
        assert {k: v for k, v in own.items() if k not in labels} == tasks["pretrain"]["preprocessing"], name
    wanted = {key: tasks["pretrain"]["crop"][key] for key in slab}
    training = [tasks[name]["train"]["random_transforms"][0] for name in ("finetune", "classify")]
    inferers = [tasks[name]["inferer"] for name in ("inference", "embed")]
    inferers += [tasks[name]["validate"]["inferer"] for name in ("finetune", "classify")]
    assert all({key: crop[key] for key in slab} == wanted for crop in [*training, *inferers])
    assert tasks["finetune"]["validate"]["inferer"] == tasks["inference"]["inferer"]


def test_xrays_are_restored_as_they_were_learnt_from():
    pretrain, restore = configuration("caid_cxr", "pretrain"), configuration("caid_cxr", "restore")
    for key in [*OF_XRAYS, "network_def", "preprocessing", "crop"]:
        assert pretrain[key] == restore[key], key


@pytest.mark.parametrize("bundle", SIBLINGS)
def test_whole_volumes_are_corrupted_as_cubes_are(bundle):
    one, other = (configuration(bundle, name)["corrupt"] for name in ("pretrain", "restore"))
    assert one["preset"] == other["preset"]


@pytest.mark.parametrize("bundle", SIBLINGS)
def test_overlays_set_only_what_a_config_has(bundle):
    known = {key for name in ("mine", "pretrain", "finetune", "classify") for key in configuration(bundle, name)}
    assert set(configuration(bundle, "quick")) <= known


@pytest.mark.parametrize("bundle", XRAYS)
def test_overlays_of_xrays_set_only_what_a_config_has(bundle):
    known = {key for name in ("pretrain", "finetune", "classify", "inference") for key in configuration(bundle, name)}
    assert {*configuration(bundle, "quick"), *configuration(bundle, "slabs")} <= known


@pytest.mark.parametrize("bundle", [*SIBLINGS, *XRAYS])
def test_metadata_agrees_with_the_configs(bundle):
    metadata = json.loads((folder(bundle) / "configs" / "metadata.json").read_text())
    data, config = metadata["network_data_format"], configuration(bundle, "inference")
    outputs = data["outputs"]["pred"]
    assert outputs["num_channels"] == config["num_classes"] == len(outputs["channel_def"])
    assert data["inputs"]["image"]["spatial_shape"] == config.get("cube_size", [config.get("size")] * 2)
    assert metadata["version"] in metadata["changelog"]
