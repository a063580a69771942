"""What `medgenesis check` shows of a list: found once, told in a terminal, on a page and in a table."""

from medgenesis.cli.checking.found import Found, find
from medgenesis.cli.checking.page import write_page
from medgenesis.cli.checking.settings import Settings, bundle_settings, list_settings
from medgenesis.cli.checking.tables import Table, all_tables, write_records

__all__ = [
    "Found",
    "Settings",
    "Table",
    "bundle_settings",
    "find",
    "list_settings",
    "all_tables",
    "write_page",
    "write_records",
]
