"""The end of a run's page: versions, commit, machine and the whole configuration."""

from pathlib import Path

import yaml

from medgenesis.report.document import Report
from medgenesis.storage.run_record import starts


def add_run_record(report: Report, folder: Path) -> None:
    """Add what the last start of a run was made with, of the `run.json` in its folder, or in the one above."""
    found = starts(folder) or starts(folder.parent)
    if not found:
        return
    last = found[-1]
    report.heading("What made this run")
    rows = [("started", last.get("started")), ("starts so far", len(found)), ("commit", last.get("commit"))]
    for part in ("versions", "machine"):
        rows += [(name, _cell(value)) for name, value in (last.get(part) or {}).items()]
    report.table(("", "value"), [(name, value) for name, value in rows if value is not None], "Of the last start")
    report.paragraph("The whole configuration (run.json has that of every start):")
    report.code(yaml.safe_dump(last.get("config"), sort_keys=False, allow_unicode=True, width=120))


def _cell(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
