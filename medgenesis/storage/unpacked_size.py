"""How much a small file may unpack to: asked of its header, before memory is taken."""

import os
from pathlib import Path

SETTING = "MEDGENESIS_MAX_GIB"
DEFAULT_GIB = 2.0  # as float32: 512 x 512 x 2048 voxels
ORDINARY_RATIO = 16  # a compressed CT is 3 to 6 times as large in memory: large scans that take their room on disk pass


def refuse_bomb(path: str | os.PathLike, unpacked: int, *others: str | os.PathLike, error: type = ValueError) -> None:
    """Refuse what a small file would blow up to: more than the limit, and more than 16 times its size on disk.

    The limit is 2 GiB, or the environment's ``MEDGENESIS_MAX_GIB``.

    Args:
        path: the file, for its size and the message.
        unpacked: bytes that it would take in memory (voxels as float32 at least).
        others: files that hold its data; the file itself among them counts once.
        error: the class that is raised, also where the setting is no number above 0.
    """
    limit = _limit_gib(error)
    packed = sum(map(_on_disk, {Path(file) for file in (path, *others)}))
    if unpacked > limit * 2**30 and unpacked > ORDINARY_RATIO * packed:
        raise error(
            f"{path}: may unpack to at most {limit:g} GiB ({SETTING}), or {ORDINARY_RATIO} times its size; found a "
            f"file of {packed / 2**20:.3g} MiB that says it holds {unpacked / 2**30:.3g} GiB. If it is what it should "
            f"be, set the environment variable {SETTING} higher."
        )


def _limit_gib(error: type) -> float:
    text = os.environ.get(SETTING, "") or str(DEFAULT_GIB)
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not limit > 0:
        raise error(f"{SETTING}: must be a number of GiB above 0; found {text!r}. Unset it, or give 8.")
    return limit


def _on_disk(file: Path) -> int:
    """Bytes that the file takes: of a file with holes, less than its length."""
    stat = file.stat()
    return min(stat.st_size, getattr(stat, "st_blocks", stat.st_size) * 512)
