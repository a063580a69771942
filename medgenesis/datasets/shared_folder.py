"""The folder `MEDGENESIS_DATA`, below which the small data sets of tests and studies lie, one folder each."""

import os
from pathlib import Path


def data_folder() -> Path:
    """The folder that the variable names, else `../shared/data`."""
    return Path(os.environ.get("MEDGENESIS_DATA", "../shared/data"))
