"""Components of a bundle's config, made without running it and without the lists of files that it would read."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from monai.bundle import ConfigWorkflow
from torch import nn

from medgenesis.label_app.settings import AppSettings
from medgenesis.weights import settings_of


def config_parts(
    settings: AppSettings, task: str, names: Iterable[str], options: Mapping[str, Any], seed: int | None = None
) -> dict[str, Any]:
    """Components of `<task>.yaml` and the app's overlays.

    Args:
        settings: of the app.
        task: finetune, inference, embed, restore.
        names: ids of the components; one that the config lacks is left out.
        options: more settings of the config.
        seed: of networks that begin at random; the generator is afterwards as it was.
    """
    workflow = ConfigWorkflow(
        config_file=settings.files(task),
        workflow_type="train" if task == "finetune" else "infer",
        logging_file=False,
        **{**settings.settings, "bundle_root": settings.bundle, **options},
    )
    workflow.parser.parse(reset=True)
    with torch.random.fork_rng(enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        return {id: workflow.parser.get_parsed_content(id) for id in names if id in workflow.parser}


def check_training(settings: AppSettings) -> None:
    """Refuse before anything is served what the first training would refuse: settings that do not fit the weights, and
    a network that cannot be built.

    Raises:
        ValueError: a setting that nothing uses, is not possible, or is another than that of the weights; a network
            whose package is not installed.
    """
    options = {"init": settings.weights, "label_merge": {}, "num_classes": 1 + len(settings.labels)}
    config_parts(settings, "finetune", ["initialize::1"], options)  # `medgenesis.bundles.check_settings`
    network_of(settings)


def network_of(settings: AppSettings, seed: int = 0) -> nn.Module:
    """The network of `inference.yaml`, which no list of files is read for; its weights are random ones."""
    options = {"weights": settings.weights, "num_classes": 1 + len(settings.labels)}
    return config_parts(settings, "inference", ["network_def"], options, seed)["network_def"]


def fine_tuning_parts(settings: AppSettings, weights: str, names: Iterable[str]) -> dict[str, Any]:
    """Components of `finetune.yaml` as they are with these weights, which some settings are taken from."""
    known = {} if weights == "scratch" else settings_of(weights)
    options = {"init": weights, "merge": None, "num_classes": 1 + len(settings.labels)}
    return config_parts(settings, "finetune", names, {**options, "in_channels": known.get("in_channels", 1)})
