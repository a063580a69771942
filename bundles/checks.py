"""What every task of a bundle checks before it reads a file: that its settings are used, and possible."""

from collections.abc import Collection

from medgenesis.bundles.agreement import compare_with_model
from medgenesis.bundles.network_settings import (
    refuse_indivisible_cubes,
    refuse_other_network,
    refuse_small_cubes,
    refuse_undefined,
)
from medgenesis.bundles.reading import Reading, being_read
from medgenesis.bundles.same_file import say_what_differs
from medgenesis.bundles.shared import Settings
from medgenesis.bundles.unused import refuse_unused_settings
from medgenesis.bundles.values import refuse_impossible_values, refuse_missing_device
from medgenesis.weights.named import check_weights

STARTS = ("init", "settings_from", "after", "imagenet")  # weights to be read; the `weights` of a training are written


def check_settings(settings: Settings) -> None:
    """Refuse a setting of the config being read that nothing uses, whose value no task can run with, that is not the
    network's, or that names weights that are not there; warn where train.yaml is not what finetune.yaml is.

    Called first by the configs' `initialize`, also by that of an overlay. The config's own `checks`, if it has some,
    are evaluated last.

    Args:
        settings: of the bundle, as from `settings`.

    Raises:
        ValueError: there is one; of a name, the nearest ones are given.
        CheckpointError: there are no such weights; the nearest names are given.
    """
    reading = being_read()
    if reading is not None:
        refuse_unused_settings(reading, settings)
        refuse_undefined(reading)
        refuse_impossible_values(reading)
        refuse_missing_device(reading)
        refuse_other_network(reading, settings)
        refuse_indivisible_cubes(reading)
        refuse_small_cubes(reading)
        _refuse_absent_weights(reading, settings)
        compare_with_model(reading, settings)
        say_what_differs(settings.folder)
        if "checks" in reading.parser.get():
            reading.parser.get_parsed_content("checks")


def check_values() -> None:
    """Refuse a value of the config being read that no task can run with: for stages that are still to come.

    Raises:
        ValueError: there is one.
    """
    reading = being_read()
    if reading is not None:
        refuse_impossible_values(reading)


def check_starts(settings: Settings, among: Collection[str]) -> None:
    """Refuse weights that the config being read names and that are not there, of some settings: those that are typed.

    Args:
        settings: of the bundle, as from `settings`.
        among: names of the settings.

    Raises:
        CheckpointError: there are none; the nearest names are given.
    """
    reading = being_read()
    if reading is not None:
        _refuse_absent_weights(reading, settings, among)


def _refuse_absent_weights(reading: Reading, settings: Settings, among: Collection[str] | None = None) -> None:
    """Else the volumes would be screened by the bundle's own settings, and blamed for what does not fit them."""
    config = reading.parser.get()
    starts = [id for id in STARTS if id in config]
    if settings.applied and "weights" in config:  # of a bundle without weights MONAI's tools make the workflow, too
        starts = [id for id in (*starts, "weights") if not str(config[id]).startswith(("$", "@"))]
    for id in starts:
        if among is None or id in among:
            check_weights(id, reading.parser.get_parsed_content(id))
