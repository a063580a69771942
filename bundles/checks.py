"""What every task of a bundle checks before it reads a file: that its settings are used, and possible."""

from medgenesis.bundles.agreement import compare_with_model
from medgenesis.bundles.reading import being_read
from medgenesis.bundles.same_file import say_what_differs
from medgenesis.bundles.shared import Settings
from medgenesis.bundles.unused import refuse_unused_settings
from medgenesis.bundles.values import refuse_impossible_values


def check_settings(settings: Settings) -> None:
    """Refuse a setting of the config being read that nothing uses, or whose value no task can run with; warn where
    train.yaml is not what finetune.yaml is.

    Called first by the configs' `initialize`.

    Args:
        settings: of the bundle, as from `settings`.

    Raises:
        ValueError: there is one; of a name, the nearest ones are given.
    """
    reading = being_read()
    if reading is not None:
        refuse_unused_settings(reading, settings)
        refuse_impossible_values(reading)
        compare_with_model(reading, settings)
        say_what_differs(settings.folder)
