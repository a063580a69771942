"""Files written whole or not at all and read safely, and one answer to what was computed already."""

from medgenesis.storage.atomic import replacing, write_text
from medgenesis.storage.checkpoint import read_checkpoint, save_checkpoint
from medgenesis.storage.fingerprints import (
    changes,
    file_fingerprint,
    file_stamps,
    fingerprint,
    record_fingerprint,
    transform_fingerprint,
)
from medgenesis.storage.run_folder import check_writable, held, hold_folder, release_folder
from medgenesis.storage.steps import Step, Steps
from medgenesis.storage.tables import read_table, write_table

__all__ = [
    "Step",
    "Steps",
    "changes",
    "check_writable",
    "file_fingerprint",
    "file_stamps",
    "fingerprint",
    "held",
    "hold_folder",
    "read_checkpoint",
    "read_table",
    "record_fingerprint",
    "release_folder",
    "replacing",
    "save_checkpoint",
    "transform_fingerprint",
    "write_table",
    "write_text",
]
