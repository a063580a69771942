"""The end of a run's page: versions, commit, machine and the whole configuration."""

from pathlib import Path
from typing import Any

import yaml

from medgenesis.report.document import Report
from medgenesis.storage.run_record import starts


def add_warning_of_weights(report: Report, folder: Path) -> None:
    """Add what the last start of a run has to say of its weights: those of the computed phantom mean nothing else."""
    warning = _weights(_last(folder)).get("warning")
    if warning:
        report.heading(str(warning))


def add_run_record(report: Report, folder: Path, heading: str = "What made this run") -> None:
    """Add what the last start of a run was made with, of the `run.json` in its folder, or in the one above."""
    found = _starts(folder)
    if not found:
        return
    last = found[-1]
    report.heading(heading)
    about = {"started": last.get("started"), "starts so far": len(found), "commit": last.get("commit")}
    origin = _weights(last).get("origin") or {}
    if origin:
        about["weights"] = f"{_weights(last).get('file')}, of {origin.get('title')}: {origin.get('terms')}"
    about |= {**(last.get("versions") or {}), **(last.get("machine") or {})}
    report.code("\n".join(f"{name}: {value}" for name, value in about.items()))
    report.paragraph("The whole configuration (run.json has that of every start):")
    config = last.get("config")
    report.code(yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None))


def _starts(folder: Path) -> list[dict[str, Any]]:
    return starts(folder) or starts(folder.parent)


def _last(folder: Path) -> dict[str, Any]:
    return next(reversed(_starts(folder)), {})


def _weights(start: dict[str, Any]) -> dict[str, Any]:
    return start.get("weights") or {}
