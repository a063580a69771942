"""What made a run: versions, the commit, the machine and the whole configuration, in `run.json` of its folder."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from medgenesis.storage.atomic import write_text

RECORD = "run.json"
_PACKAGES = ("medgenesis", "monai", "torch", "numpy", "pytorch-ignite", "nibabel", "SimpleITK", "pydicom")


def record_start(folder: str | Path, config: Mapping[str, Any], weights: Mapping[str, Any] | None = None) -> None:
    """Add a start of a run to `run.json` of its folder; a run that is continued has several. Rank 0 only.

    Args:
        folder: of the run.
        config: the whole configuration, plain data.
        weights: that it begins with or applies, where their origin is known: plain data; a `warning` in it stands at
            the head of the report.

    Raises:
        OutputError: the file cannot be written.
    """
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    if distributed and torch.distributed.get_rank() > 0:
        return
    start = {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
        "commit": commit(),
        "machine": {**machine(), "processes": torch.distributed.get_world_size() if distributed else 1},
        **({"weights": dict(weights)} if weights else {}),
        "config": config,
    }
    write_text(Path(folder) / RECORD, json.dumps([*starts(folder), start], indent=1) + "\n")


def starts(folder: str | Path) -> list[dict[str, Any]]:
    """The starts in the `run.json` of a folder, the last one at the end; none where there is no such file."""
    with suppress(OSError, ValueError):
        found = json.loads((Path(folder) / RECORD).read_text(encoding="utf-8"))
        if isinstance(found, list) and all(isinstance(one, dict) for one in found):
            return found
    return []


def versions() -> dict[str, str]:
    """Version of Python and of each package that decides results."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return {**found, "CUDA": torch.version.cuda} if torch.version.cuda else found


def commit() -> str | None:
    """Of the checkout that medgenesis runs from, "+ changes" where files differ from it; None of an installed wheel."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    git = ("git", "-C", str(root))
    with suppress(OSError, subprocess.SubprocessError):
        options: dict[str, Any] = {"capture_output": True, "text": True, "timeout": 10, "check": True}
        name = subprocess.run([*git, "rev-parse", "HEAD"], **options).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"], **options).stdout.strip()
        return f"{name} + changes" if changed else name
    return None


def machine() -> dict[str, Any]:
    """System, processor, cores and memory, and the GPUs that PyTorch sees; no name of the machine or its user."""
    found: dict[str, Any] = {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    if hasattr(os, "sysconf") and sys.platform.startswith("linux"):
        found["memory, GiB"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return {**found, "GPUs": gpus} if gpus else found


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
