"""Folders of empty files, and datalists."""

import json


def touch(folder, *names):
    """The folder, with empty files of these names."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def records_of(datalist):
    """The records of all sections."""
    return [record for section in ("training", "validation", "test") for record in datalist[section]]


def write_list(path, **sections):
    """The path, with a list of these sections, of CT unless they say otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"name": path.stem, "modality": "CT", **sections}))
    return path
