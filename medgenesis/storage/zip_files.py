"""Zip files (checkpoints, caches): the checksum of each member, which their readers pass over."""

import os
import zipfile
from pathlib import Path

from medgenesis.storage.unpacked_size import refuse_bomb


def check_zip(path: str | os.PathLike, error: type) -> None:
    """Refuse a zip file with a damaged member, or one that unpacks to too much (`refuse_bomb`).

    Args:
        path: the file; any other kind than zip passes.
        error: the class that is raised.

    Raises:
        zipfile.BadZipFile: it begins as a zip file and is none; truncated, for example.
    """
    with Path(path).open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return
    with zipfile.ZipFile(path) as archive:
        refuse_bomb(path, sum(member.file_size for member in archive.infolist()), error=error)
        for member in archive.infolist():
            try:
                with archive.open(member) as content:
                    while content.read(1 << 20):  # to its end, where the checksum is compared
                        pass
            except Exception as reason:  # damaged bytes end the reader in many ways
                raise error(
                    f"{path}: must be whole; found its member {member.filename} damaged ({reason}). Copy or download "
                    "it anew."
                ) from reason
