"""Which images the results in a folder are of: another image of that name, or another list, does not replace them."""

import json
from pathlib import Path

from medgenesis.data.json_files import read_json_object
from medgenesis.errors import DatalistError
from medgenesis.io.naming import OutputNames
from medgenesis.storage.atomic import write_text
from medgenesis.storage.earlier_weights import keep_earlier
from medgenesis.storage.fingerprints import fingerprint

LEDGER = ".images.json"  # name of a result -> fingerprint of the path of its image; a table's of all its images


def claim_names(folder: str | Path, names: OutputNames) -> None:
    """Note for which image each name is written in a folder.

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
        if known.get(name.casefold(), own[name.casefold()]) != own[name.casefold()]:
            raise DatalistError(
                f"{path}: must not replace the results of another image; found those of another one as {name} in "
                f"{folder}. Choose another output_dir, or remove them and {LEDGER} there."
            )
    _write(folder, {**known, **own})


def claim_table(path: str | Path, names: OutputNames, *, keep: bool = True) -> None:
    """Note for which images a table is written; one of other images, or not known of which, is kept in `earlier`.

    Args:
        path: of the table.
        names: of all images that it is of.
        keep: False: what is there is of the run that writes it, and is replaced.

    Raises:
        OutputError: it cannot be kept, or the note cannot be written.
    """
    path = Path(path)
    known, own = _read(path.parent), fingerprint([list(key) for key in names.names])
    if keep and known.get(path.name) != own:
        keep_earlier(path, path.parent / "earlier")
    _write(path.parent, {**known, path.name: own})


def _read(folder: str | Path) -> dict[str, str]:
    path = Path(folder) / LEDGER
    try:
        return read_json_object(path)
    except FileNotFoundError:
        return {}


def _write(folder: str | Path, known: dict[str, str]) -> None:
    write_text(Path(folder) / LEDGER, json.dumps(known, indent=1) + "\n")
