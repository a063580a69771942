"""A bundle trained on some labelled records and no others, whose last weights answer records that had no part in it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow

from medgenesis.bundles.unused import SET_BY_COMMAND
from medgenesis.data import load_datalist, preprocessing
from medgenesis.data.screening import screen_volumes
from medgenesis.errors import VolumeError

_NEVER = 10**9  # epochs between validations: the records that are answered choose nothing


def prepare_training(
    configs: Sequence[str | Path],
    training: Sequence[dict],
    test: Sequence[dict],
    folder: str | Path,
    *,
    init: str,
    seed: int,
    overrides: Mapping[str, Any] | None = None,
) -> ConfigWorkflow:
    """The workflow of `finetune.yaml` or `classify.yaml` that learns from `training` and holds `test` to be answered.

    Args:
        configs: of the bundle, and overlays.
        training: labelled records.
        test: labelled records, in the place of the validation section.
        folder: takes the place of the bundle's root in what the run writes.
        init: checkpoint, or "scratch".
        seed: of the head's weights, the order and the augmentation.
        overrides: further settings of the configs, by id.

    Raises:
        ValueError: a plateau or patience, which would follow the records that are answered.
    """
    settings = {
        "bundle_root": str(Path(folder).absolute()),
        "init": init,
        "seed": seed,
        "val_interval": _NEVER,
        "train#dataset#data": tuple(training),  # tuples: what is in a list or mapping would be parsed, and run
        "validate#dataset#data": tuple(test),
        "run": ["$@train#trainer.run()"],  # the report of a run is of its test records, afterwards
        # the records stand in the place of the list, whose header some tasks read and others do not
        SET_BY_COMMAND: ("bundle_root", "init", "seed", "val_interval", "datalist"),
        **(overrides or {}),
    }
    workflow = ConfigWorkflow(
        config_file=[str(path) for path in configs], workflow_type="train", logging_file=False, **settings
    )
    asked = {name: workflow.parser.get(name) for name in ("schedule", "patience")}
    if asked["schedule"] == "plateau" or asked["patience"] is not None:
        raise ValueError(
            "schedule, patience: must not follow a validation where the last weights answer, since it would be of the "
            f"very records that are answered; found schedule={asked['schedule']} and patience={asked['patience']}. Set "
            "a schedule and a length that need none: schedule=cosine, patience=None and steps=2000 (of compare "
            "--iterations 2000), for example; or run the task itself on lists with a validation section of their own."
        )
    return workflow


def check_all_used(workflow: ConfigWorkflow, *given: Sequence[dict]) -> None:
    """Raise VolumeError where a data set of the workflow has left out records, whose numbers would be of others."""
    for id, records in zip(("train#dataset", "validate#dataset"), given, strict=True):
        left = workflow.parser.get_parsed_content(id).data
        if len(left) != len(records):
            raise VolumeError(
                f"{id}: all records that are chosen must be usable; found {len(left)} of {len(records)}. "
                "See the warnings above, and leave those out of the list."
            )


def prepare_look(
    configs: Sequence[str | Path],
    training: Sequence[dict],
    test: Sequence[dict],
    folder: str | Path,
    overrides: Mapping[str, Any] | None,
) -> ConfigWorkflow:
    """As `prepare_training`, of a training that is looked at alone; `folder` remembers which labels the maps have."""
    root = Path(configs[0]).absolute().parent.parent  # of the configs; nothing is written there
    settings = {**(overrides or {}), "bundle_root": str(root), "cache_dir": str(Path(folder).absolute() / "checked")}
    return prepare_training(configs, training, test, root, init="scratch", seed=0, overrides=settings)


def usable_records(datalist: str | Path, section: str, on_error: str | None, labels: bool = True) -> list[dict]:
    """The records of a section; each is read where some may be skipped, before any is chosen or numbered.

    Args:
        datalist: with the section.
        section: of the list.
        on_error: "stop" (also None), or "skip".
        labels: the label maps are read too.
    """
    records = load_datalist(datalist, section, on_error or "stop")
    if on_error != "skip" or not records:
        return records
    keys = {"label_keys": "label"} if labels else {}
    return screen_volumes(records, preprocessing(intensity=None, **keys), on_error="skip")
