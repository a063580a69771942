"""What made a run: every start is added, whole, and names neither the machine nor files of patients."""

import json
import platform
import socket

import torch

from medgenesis.report import write_run_report
from medgenesis.storage.run_record import record_start, starts


def test_each_start_is_added(tmp_path):
    for width in (8, 16):
        record_start(tmp_path, {"width": width})
    found = starts(tmp_path)
    assert [one["config"]["width"] for one in found] == [8, 16]
    assert found[0]["versions"]["torch"].startswith(torch.__version__.split("+")[0])
    assert found[0]["machine"]["cores"] >= 1
    assert socket.gethostname() not in json.dumps(found) or socket.gethostname() in platform.release()


def test_a_damaged_record_counts_as_none(tmp_path):
    (tmp_path / "run.json").write_text("{")
    assert starts(tmp_path) == []
    record_start(tmp_path, {})
    assert len(starts(tmp_path)) == 1


def test_the_report_shows_the_last_start(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,loss\n1,0.5\n2,0.4\n")
    for width in (8, 16):
        record_start(tmp_path, {"width": width, "datalist": "<my list>"})
    page = write_run_report(tmp_path).read_text()
    assert "width: 16" in page and "width: 8" not in page
    assert "&lt;my list&gt;" in page and platform.python_version() in page
