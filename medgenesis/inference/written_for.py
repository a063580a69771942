"""Which images the results in a folder are of: another image of that name, or another list, does not replace them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgenesis.data.json_files import read_json_object
from medgenesis.errors import DatalistError
from medgenesis.io.naming import OutputNames, names_for
from medgenesis.storage.atomic import write_text
from medgenesis.storage.earlier_weights import keep_earlier
from medgenesis.storage.fingerprints import fingerprint

LEDGER = ".images.json"  # name of a result -> fingerprint of the path of its image; a table's of all its images


def claim_names(folder: str | Path, names: OutputNames) -> None:
    """Note for which image each name is written in a folder; a note without results counts for nothing.

    Args:
        folder: of the results.
        names: of all images that are worked on.

    Raises:
        DatalistError: a name is that of another image's results. The same images again may replace their own.
        OutputError: the note cannot be written.
    """
    known = _read(folder)
    own = {name.casefold(): fingerprint(list(key)) for key, name in names.names.items()}
    for (path, _), name in names.names.items():
        if known.get(name.casefold(), own[name.casefold()]) != own[name.casefold()] and _has_results(folder, name):
            raise DatalistError(
                f"{path}: must not replace the results of another image; found those of another one as {name} in "
                f"{folder}. Choose another output_dir, or remove them and {LEDGER} there."
            )
    _write(folder, {**known, **own})


def _has_results(folder: str | Path, name: str) -> bool:
    """Whether a file of that name, with a postfix or a suffix, is there: `scan_seg.nii.gz`, `scan.png`."""
    whole = Path(folder, name)
    begins = tuple(f"{whole.name}{sign}".casefold() for sign in "_.")
    return whole.parent.is_dir() and any(file.name.casefold().startswith(begins) for file in whole.parent.iterdir())


def claim_tables(folder: str | Path, tables: Sequence[str], volumes: Any, *, keep: bool = True) -> None:
    """Note for which images tables are written; those of other images, or not known of which, move to `earlier`.

    Args:
        folder: of the tables.
        tables: their names; one that the note lacks is of the images of the first.
        volumes: data set of the images, or the `OutputNames` of all of them.
        keep: False: what is there is of the run that writes it, and is replaced.

    Raises:
        OutputError: one cannot be kept, or the note cannot be written.
    """
    names = volumes if isinstance(volumes, OutputNames) else names_for(volumes)
    known, own = _read(folder), fingerprint([list(key) for key in names.names])
    for table in tables:
        path = Path(folder, table)
        if keep and known.get(table, known.get(tables[0])) != own:
            keep_earlier(path, path.parent / "earlier")
            path.unlink(missing_ok=True)  # one that is not written anew would stand beside tables of other images
    _write(folder, {**known, **dict.fromkeys(tables, own)})


def _read(folder: str | Path) -> dict[str, str]:
    path = Path(folder) / LEDGER
    try:
        return read_json_object(path)
    except FileNotFoundError:
        return {}


def _write(folder: str | Path, known: dict[str, str]) -> None:
    write_text(Path(folder) / LEDGER, json.dumps(known, indent=1) + "\n")
