"""Volumes opened for a data set: checked and cached in one pass, by one process of each machine."""

import atexit
import logging
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from monai.data import Dataset

from medgenesis.data.cache import cached_volumes
from medgenesis.data.screening import check_share, find_usable
from medgenesis.data.volume_check import VolumeCheck
from medgenesis.distributed import Flag, once_a_node, several_processes

logger = logging.getLogger(__name__)


def checked_volumes(
    records: Sequence[dict],
    preprocessing: Callable,
    check: VolumeCheck,
    *,
    cache: str = "disk",
    cache_dir: str | Path | None = None,
    cache_num: int | None = None,
    **screening: Any,
) -> tuple[Dataset, list[int]]:
    """The prepared volumes of all records, and the places of those that can be used.

    Under `torch.distributed` the first process of each machine reads the volumes, while the others wait; every process
    must call this. Several machines first read a share each: where they have one `cache_dir`, a volume is read once in
    all; where each has a disk of its own, it then reads the rest too. "memory" then is a temporary folder of
    memory-mapped files, which the processes of a machine share (below `TMPDIR`; removed when the first of them ends),
    as each would else hold all volumes; every machine fills its own.

    Args:
        records: with file names.
        preprocessing: deterministic preparation of a volume.
        check: what each must pass.
        cache: "disk", "compressed", "memory" or "none": see `cached_volumes`.
        cache_dir: folder of the disk cache, and of the results of the check where the cache is not in memory.
        cache_num: volumes that the memory cache keeps, the first ones; None keeps all.
        screening: `on_error`, `report` and `num_workers` of `find_usable`.

    Raises:
        ValueError: an unknown `cache` or `on_error`, or a disk cache without folder.
        VolumeError: as `screen_volumes`.
        IntensityRangeError: as `screen_volumes`.
    """
    shared = cache == "memory" and several_processes()
    made: list[Dataset] = []

    def read() -> tuple[list[int], str | Path | None]:
        folder = _temporary_folder() if shared else cache_dir
        made.append(cached_volumes(records, preprocessing, "disk" if shared else cache, folder, cache_num))
        remember = None if cache == "memory" else cache_dir
        return find_usable(records, made[0], check, cache_dir=remember, **screening), folder

    def read_share(machine: int, machines: int, stop: Flag) -> None:
        volumes = cached_volumes(records, preprocessing, cache, cache_dir)
        options = {name: value for name, value in screening.items() if name in ("on_error", "num_workers")}
        check_share(records, volumes, check, machine, machines, cache_dir, stop, **options)

    usable, folder = once_a_node(read, read_share if cache != "memory" and cache_dir is not None else None)
    volumes = made[0] if made else cached_volumes(records, preprocessing, "disk" if shared else cache, folder)
    return volumes, usable


def _temporary_folder() -> str:
    folder = tempfile.mkdtemp(prefix="medgenesis-volumes-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    logger.info("the processes of this machine share the volumes in %s until they end", folder)
    return folder
