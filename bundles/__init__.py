"""One MONAI Bundle a method: configurations only, no code. Their Python is what the configs call, and what copies them.

`python -m monai.bundle run --config_file <bundle>/configs/pretrain.yaml …` runs one. An installed package is no place
to write weights to: `medgenesis bundle models_genesis_ct my_model` copies a bundle to a folder of one's own.

`_common`, `_volumes` and `_slabs` hold the files that several bundles share, once; a bundle links to them.
"""

from medgenesis.bundles.begin import begin_run
from medgenesis.bundles.catalog import copy, names, path
from medgenesis.bundles.checks import check_settings, check_starts, check_values
from medgenesis.bundles.demo_weights import weights_or_demo
from medgenesis.bundles.hub import download
from medgenesis.bundles.network_settings import kept_settings
from medgenesis.bundles.planned import can_be_planned, copy_planned
from medgenesis.bundles.reading import root
from medgenesis.bundles.run_settings import made_with, models_folder
from medgenesis.bundles.shared import chosen, settings

__all__ = [
    "begin_run",
    "can_be_planned",
    "check_settings",
    "check_starts",
    "check_values",
    "chosen",
    "copy",
    "copy_planned",
    "download",
    "kept_settings",
    "made_with",
    "models_folder",
    "names",
    "path",
    "root",
    "settings",
    "weights_or_demo",
]
