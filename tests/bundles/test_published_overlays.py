"""Overlays of published settings: the configs that they change are built, and hold what is published."""

import numpy as np
import pytest
import torch
import yaml
from monai.bundle import ConfigParser

from medgenesis import bundles
from medgenesis.cli.configs import find_bundle, merged_settings
from medgenesis.networks.normalisation import AlwaysBatchNorm3d


@pytest.fixture
def parser_of(copied, tmp_path):
    """parser_of(bundle, *configs, **settings) -> what reads them."""

    def build(name, *configs, **settings):
        bundle = copied(name, tmp_path / name)
        return bundle.workflow(*configs, **settings).parser

    return build


# the numbers of the papers and their programs, typed here again
PLATEAU = {"learning_rate": 0.001, "schedule": "plateau"}
PUBLISHED = {
    ("models_genesis_ct", "pretrain", "published"): {
        **{"cube_size": [64, 64, 32], "width": 32, "batch_size": 6, "learning_rate": 1.0, "lr_step_epochs": 40},
        **{"patience": 50, "patches_per_image": 32, "crop_criterion": "lung", "norm": "batch_always"},
        **{"pretrain_epochs": 10000},
    },
    ("semantic_genesis_ct", "pretrain", "published"): {
        **{"width": 32, "batch_size": 64, "learning_rate": 0.001, "lr_step_epochs": 40, "patience": 50},
        **{"norm": "batch_always"},
    },
    ("models_genesis_ct", "classify", "ncc"): {**PLATEAU, "cube_size": [64, 64, 32], "batch_size": 24, "patience": 10},
    ("models_genesis_ct", "classify", "ecc"): {**PLATEAU, "cube_size": [64, 64, 64], "batch_size": 24, "patience": 38},
    ("models_genesis_ct", "finetune", "ncs"): {**PLATEAU, "cube_size": [64, 64, 32], "patience": 50, "loss": "dice"},
    ("models_genesis_ct", "finetune", "lcs"): {**PLATEAU, "cube_size": [64, 64, 32], "patience": 20, "loss": "dice"},
    ("models_genesis_ct", "finetune", "bms"): {**PLATEAU, "cube_size": [64, 64, 32], "patience": 30, "loss": "dice"},
}


@pytest.mark.parametrize(("bundle", "task", "overlay"), PUBLISHED)
def test_overlays_hold_the_published_numbers(bundle, task, overlay):
    merged = merged_settings(find_bundle(str(bundles.path(bundle))).files(task, [overlay]))
    wanted = PUBLISHED[bundle, task, overlay]
    assert {name: yaml.safe_load(merged[name].text) for name in wanted} == wanted


# what the papers set otherwise from task to task; each overlay is whole, so that it can be read and typed by itself
FAMILIES = {
    ("ncs", "lcs", "bms"): {"intensity", "patience", "volumes_per_batch", "crops_per_volume"},
    ("ncc", "ecc"): {"cube_size", "patience"},
}


@pytest.mark.parametrize("tasks", FAMILIES)
def test_tasks_of_a_family_agree_in_all_else(tasks):
    folder = bundles.path("models_genesis_ct") / "configs"
    read = [yaml.safe_load((folder / f"{task}.yaml").read_text()) for task in tasks]
    others = [{id: value for id, value in one.items() if id not in FAMILIES[tasks]} for one in read]
    assert all(one == others[0] for one in others) and all(one.keys() == read[0].keys() for one in read)
    crops = {one.get("volumes_per_batch", 0) * one.get("crops_per_volume", 0) for one in read}
    assert crops in ({16}, {0})  # cubes a batch, as published


def test_models_genesis(parser_of):
    parser = parser_of("models_genesis_ct", "pretrain", "published", crop_criterion="any")
    optimizer, schedule = (parser.get_parsed_content(id) for id in ("optimizer", "lr_scheduler"))
    assert isinstance(optimizer, torch.optim.SGD) and optimizer.param_groups[0]["momentum"] == 0.9
    assert optimizer.param_groups[0]["lr"] == 1
    steps = len(parser.get_parsed_content("train#dataloader"))
    assert (schedule.step_size, schedule.gamma) == (40 * steps, 0.5)
    norms = [m for m in parser.get_parsed_content("network").modules() if isinstance(m, torch.nn.BatchNorm3d)]
    assert norms and all(isinstance(one, AlwaysBatchNorm3d) for one in norms)
    assert parser["train"]["trainer"]["clip_norm"] is None and parser["train"]["trainer"]["amp"] is False


@pytest.mark.parametrize("task, patience", [("ncs", 50), ("lcs", 20), ("bms", 30)])
def test_target_tasks_of_segmentation(parser_of, task, patience):
    overrides = {
        "init": "scratch",
        "num_classes": 3,
        "cube_size": [16, 16, 16],
        "finetune_epochs": 10,
        "intensity": "ct",
    }
    parser = parser_of("models_genesis_ct", "finetune", task, **overrides)
    schedule = parser.get_parsed_content("lr_scheduler")
    assert isinstance(schedule, torch.optim.lr_scheduler.ReduceLROnPlateau) and schedule.factor == 0.5
    (handlers,) = parser.get_parsed_content("train#handlers")
    assert handlers.stopping.patience == patience
    assert parser["volumes_per_batch"] * parser["crops_per_volume"] == 16
    assert type(parser.get_parsed_content("loss_function")).__name__ == "DiceLoss"


def test_the_mean_iou_of_a_case_is_of_its_dice(parser_of):
    parser = parser_of("models_genesis_ct", "finetune", "lcs", init="scratch", num_classes=3, cube_size=[16, 16, 16])
    evaluator = parser.get_parsed_content("validate#evaluator")
    evaluator.run()
    dice = evaluator.state.metric_details["val_mean_dice"].numpy()
    iou = np.nanmean(dice / (2 - dice))
    assert evaluator.state.metrics["val_mean_iou"] == pytest.approx(iou, abs=1e-5)


def test_the_auto_encoder_s_plateau_is_that_of_keras(parser_of):
    """The rate halves after 20 epochs without a gain of 1e-4, also of a loss far below 1."""
    parser = parser_of(
        "semantic_genesis_ct",
        "mine",
        "published",
        coordinates="auto",
        classes=2,
        train_patients=2,
        validation_patients=2,
    )
    assert parser.get_parsed_content("mining#discovery#multi_resolution") is True
    assert parser["lr_scheduler"]["patience"] == "$@lr_patience - 1"
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
        torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0),
        factor=0.5,
        patience=parser["lr_patience"] - 1,
        threshold_mode=parser["lr_scheduler"]["threshold_mode"],
    )
    rates = []
    for epoch in range(45):
        schedule.step(0.01 - 9e-5 / 45 * epoch)  # a gain of less than 1e-4 in all
        rates.append(schedule.optimizer.param_groups[0]["lr"])
    assert rates[:20] == [1.0] * 20 and rates[20:40] == [0.5] * 20 and rates[40] == 0.25


@pytest.mark.parametrize("task", ["pretrain", "classify"])
def test_adam_sees_the_mean_of_imagenet(parser_of, task):
    overlays, size = (["published"], {"level": 0}) if task == "pretrain" else ([], {"input_normalisation": "imagenet"})
    parser = parser_of("adam_cxr", task, *overlays, backbone="resnet18_w4", init="scratch", **size)
    network = parser.get_parsed_content("network_def")
    assert type(network.input_normalisation).__name__ == "ImageNetInput"
    assert parser.get_parsed_content("kept")["input_normalisation"] == "imagenet"


@pytest.mark.parametrize("name", ["semantic_genesis_ct", "transvw_ct"])
def test_mining_and_pre_training_take_the_overlay(name):
    """Both tasks that its header names; patients are described with ordinary batch norm, as published."""
    configs = bundles.path(name) / "configs"
    merged = [
        ConfigParser(ConfigParser.load_config_files([str(configs / one) for one in (f"{task}.yaml", "published.yaml")]))
        for task in ("mine", "pretrain")
    ]
    assert (
        merged[0].get_parsed_content("network_def#norm") == merged[0].get_parsed_content("autoencoder_norm") == "batch"
    )
    assert merged[0]["autoencoder_def"]["norm"] == "@autoencoder_norm" and merged[1]["norm"] == "batch_always"
    if name == "transvw_ct":
        assert (
            merged[1].get_parsed_content("corrupt#preset") == merged[1].get_parsed_content("kept#preset") == "semantic"
        )
