"""What the configs of a bundle say to someone at a command line: tasks, overlays, settings, and which ids there are."""

from medgenesis.cli.configs.folder import BundleFolder, find_bundle
from medgenesis.cli.configs.ids import RENAMED, checked_id
from medgenesis.cli.configs.settings import Setting, merged_settings
from medgenesis.cli.configs.values import parsed_settings, split_setting

__all__ = [
    "RENAMED",
    "BundleFolder",
    "Setting",
    "checked_id",
    "find_bundle",
    "merged_settings",
    "parsed_settings",
    "split_setting",
]
