"""The start of a run: its folders can be written, and what it is made of is written down."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medgenesis.bundles.demo_weights import SAID, knows_phantoms_alone, note_demo_weights
from medgenesis.bundles.plain_config import plain_config, without_records
from medgenesis.bundles.reading import Reading, being_read
from medgenesis.bundles.unused import SET_BY_COMMAND
from medgenesis.storage.run_folder import check_writable, hold_folder
from medgenesis.storage.run_record import record_start


def begin_run(output_dir: str | Path, *folders: str | Path) -> None:
    """Make the folders of a run, and write the whole configuration, versions and the machine to its `run.json`.

    Args:
        output_dir: of the run.
        folders: those that its weights go to; a run that has some, a training, must be alone in `output_dir`.

    Raises:
        OutputError: a folder cannot be written, or another training is at work in it: its record stays as it is.
    """
    check_writable(output_dir, *folders)
    if folders:
        hold_folder(output_dir)
    reading = being_read()
    if reading is None:
        return
    shared = reading.parser.get_parsed_content("settings") if "settings" in reading.parser.get() else {}
    record_start(output_dir, whole_config(reading), _weights(shared))
    if getattr(shared, "applied", False):
        note_demo_weights(output_dir, shared.source, shared.origin)


def _weights(shared: Mapping[str, Any]) -> dict[str, Any] | None:
    """Of which published weights a run's are, or were trained from; None: not known, or of none."""
    origin = getattr(shared, "origin", None)
    if origin is None:
        return None
    warned = shared.applied and knows_phantoms_alone(origin)
    return {"file": Path(shared.source).name, "origin": dict(origin), **({"warning": f"{SAID}."} if warned else {})}


def whole_config(reading: Reading) -> dict[str, Any]:
    """The configuration as it is merged, the numbers of `settings.yaml` and of the weights in their places.

    Records of data become their number: a record of a run names no file of a patient.
    """
    config = reading.parser.get()
    shared = reading.parser.get_parsed_content("settings") if "settings" in config else {}
    # of settings, those that count stand under the ids that read them
    left_out = ("_meta_", "imports", "settings", SET_BY_COMMAND)
    return {id: plain_config(value, shared, told=without_records) for id, value in config.items() if id not in left_out}
