"""The Python on the page of the transfer study runs."""

import re
from pathlib import Path

from helpers.study_sets import write_images

from medgenesis import transfer

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "howto" / "transfer.md").read_text()


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path, per_class=10).rename("my_classes.json")
    code = code.replace("my_package:network", "helpers.study_sets:ColumnMeans")
    exec(compile(code, "docs/howto/transfer.md", "exec"), {})
    assert "'value': 1.0" in capsys.readouterr().out and (tmp_path / "study" / "report.html").is_file()


def test_every_name_on_it_is_there():
    named = re.findall(r"`(ask_?\w*|[A-Z]\w+)[`(]", PAGE.split("## From Python")[1].split("## Encoders")[0])
    assert len(named) > 12 and not [name for name in named if not hasattr(transfer, name)]
