"""What a command of several runs was asked, in `run.json` of its folder: its page shows it, as that of a run does."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_OF_THE_PARSER = ("parser", "quiet", "traceback")


def record_asked(
    folder: str | Path,
    args: argparse.Namespace,
    configs: Sequence[Path] = (),
    overrides: Mapping[str, Any] | None = None,
) -> None:
    """Add a start to the record of a folder: arguments, versions, commit, machine, and what the runs are configured by.

    Args:
        folder: of the command.
        args: its arguments.
        configs: of the bundle whose task is run, and overlays; each run has a record of its own, too.
        overrides: settings of the configs, by id.

    Raises:
        OutputError: the folder cannot be written.
    """
    from medgenesis.bundles.plain_config import plain_config, without_records
    from medgenesis.storage.run_record import record_start

    given = {name: value for name, value in vars(args).items() if name not in _OF_THE_PARSER and value is not None}
    asked = {name: plain_config(value, {}) for name, value in given.items()}
    config: dict[str, Any] = {"asked": asked}
    if configs:
        from monai.bundle import ConfigParser

        shared = ConfigParser.load_config_file(str(Path(configs[0]).with_name("settings.yaml")))
        merged = {**ConfigParser.load_config_files([str(path) for path in configs]), **(overrides or {})}
        merged = {id: value for id, value in merged.items() if id not in ("imports", "settings")}
        config["configuration of the runs"] = plain_config(merged, shared, told=without_records)
    record_start(folder, config)
