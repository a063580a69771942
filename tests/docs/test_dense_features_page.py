"""docs/dense_features.md is true: its Python runs, and its command names a config and settings that exist."""

import re
import shlex
from pathlib import Path

import pytest
import torch
import yaml

from medgenesis import bundles, transfer
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.networks import ResNet25D

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "dense_features.md").read_text()
SMALL = {
    "resnet50": "resnet18",
    "window=256, size=224": "window=16, size=32",
    "stride=16": "stride=24",
    "list(images.values())": "list(images.values()), patches=4",
}


def block(language):
    return re.search(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)[1]


def test_the_python_runs(tmp_path, monkeypatch, capsys, one_thread):
    write_phantoms(tmp_path, 2, seed=0, shape=(32, 32, 32), split=(1, 0, 0))
    monkeypatch.chdir(tmp_path)
    Path("xray_landmarks.csv").rename("landmarks.csv")
    Path("models").mkdir()
    for name in ("models/pretrained.pt", "resnet18.pth"):
        torch.save(ResNet25D("resnet18").state_dict(), name)
    code = block("python")
    for large, small in SMALL.items():
        assert large in code, large
        code = code.replace(large, small)
    exec(compile(code, "docs/dense_features.md", "exec"), {})
    printed = capsys.readouterr().out
    for name in ("Adam", "random init", "raw pixels", "ImageNet"):
        assert re.search(rf"^{name} [01]\.\d+ \d+\.\d+ .*silhouette", printed, flags=re.MULTILINE), name


def test_the_command_names_what_there_is():
    words = shlex.split(block("").replace("\\\n", ""))
    config = bundles.path("adam_cxr").joinpath(*Path(words[words.index("--config_file") + 1]).parts[1:])
    settings = [word.removeprefix("--") for word in words if word.startswith("--") and word != "--config_file"]
    assert settings and set(settings) <= yaml.safe_load(config.read_text()).keys()


@pytest.mark.parametrize("question", re.findall(r"^\| what .*|^\| is .*|^\| has .*", PAGE, flags=re.MULTILINE))
def test_the_table_names_what_there_is(question):
    calls = re.findall(r"`(\w+)[.(`]", question)
    assert calls and all(hasattr(transfer, name) for name in calls)
