"""Checksums of a file, as published with weights."""

import hashlib
import os
from pathlib import Path

_CHUNK = 1 << 20


def file_digests(path: str | os.PathLike) -> dict[str, str]:
    """Kind -> checksum of a file's content: sha256, and md5, which older pages give."""
    digests = {kind: hashlib.new(kind, usedforsecurity=False) for kind in ("sha256", "md5")}
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            for digest in digests.values():
                digest.update(chunk)
    return {kind: digest.hexdigest() for kind, digest in digests.items()}
