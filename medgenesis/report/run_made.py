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
    about = {"started": last.get("started"), "starts so far": len(found), "commit": last.get("commit")}
    about |= {**(last.get("versions") or {}), **(last.get("machine") or {})}
    report.code("\n".join(f"{name}: {value}" for name, value in about.items()))
    report.paragraph("The whole configuration (run.json has that of every start):")
    config = last.get("config")
    report.code(yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None))
