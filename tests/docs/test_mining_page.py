"""What docs/mining.md says is so: its commands are understood, its Python runs, its tables name what there is."""

import argparse
import dataclasses
import json
import re
import shlex
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from monai.bundle import ConfigWorkflow

from medgenesis import bundles
from medgenesis.cli import mine
from medgenesis.data import read_datalist, write_datalist
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.mining import PatternSimilarity, PatternTable

FOLDER = Path(__file__).resolve().parents[2] / "docs"
PAGE = (FOLDER / "mining.md").read_text()
CONFIGS = bundles.path("semantic_genesis_ct") / "configs"
TINY = {
    **{"classes": 2, "train_patients": 3, "validation_patients": 1, "cube_size": [8, 8, 6], "crop_criterion": "any"},
    **{"volume_size": [16, 16, 16], "autoencoder_epochs": 1, "width": 2, "num_workers": 0, "device": "cpu"},
}
SMALL = {  # what the page's Python says, and what is run of it: seconds on one core
    "size=(64, 64, 32)": "size=(8, 8, 6)",
    "(128, 128, 64)": "(16, 16, 16)",
    'device="cuda"': 'device="cpu"',
    "max_epochs=200": "max_epochs=1",
    "batch_size=8": "batch_size=2",
    "AutoEncoder3D())": "AutoEncoder3D(width=2))",
    "classes=44, train_patients=200, validation_patients=30": (
        "classes=2, train_patients=3, validation_patients=1, cube_size=(8, 8, 6), criterion='any'"
    ),
}


def blocks(language):
    """The page's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def commands(beginning):
    """The words of each command line that begins so."""
    lines = [line for text in blocks("bash") for line in text.replace("\\\n", "").splitlines()]
    return [shlex.split(line.removeprefix(beginning)) for line in lines if line.startswith(beginning)]


def rows(heading):
    """The rows of the table whose first column is headed so, as lists of cells."""
    text = PAGE[PAGE.index(f"| {heading} |") :].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]


def quoted(text):
    return re.findall(r"`([^`]+)`", text)


def config(name):
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with my_ct.json and mined/, as the page takes for granted."""
    folder = tmp_path_factory.mktemp("page")
    phantoms = write_phantoms(folder / "phantoms", 5, 0, shape=(24, 24, 20), split=(0.8, 0.2, 0.0))
    write_datalist(read_datalist(phantoms), folder / "my_ct.json")
    settings = {"datalist": str(folder / "my_ct.json"), "output_dir": str(folder / "mined"), **TINY}
    run = ConfigWorkflow(
        str(CONFIGS / "mine.yaml"), workflow_type=None, logging_file=False, bundle_root=str(CONFIGS.parent), **settings
    )
    run.initialize()
    run.run()
    return folder


@pytest.fixture(scope="module")
def names(place):
    """All names, after the page's Python was run from top to bottom."""
    text = "\n".join(blocks("python"))
    for said, done in SMALL.items():
        assert said in text, f"the page no longer says {said}"
        text = text.replace(said, done)
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        exec(text, found)
    return found


def test_the_commands_are_understood():
    parser = argparse.ArgumentParser()
    mine.add_arguments(parser)
    parsed = [parser.parse_args(words) for words in commands("medgenesis mine ")]
    assert len(parsed) == 5
    known = config("mine")
    assert all(text.partition("=")[0] in known for args in parsed for text in args.set)
    for words in commands("python -m monai.bundle run "):
        options = [word.removeprefix("--") for word in words if word.startswith("--")]
        name = Path(words[words.index("--config_file") + 1]).stem
        assert set(options) - {"config_file"} <= set(config(name)), words


def test_the_arguments_are_those_of_the_command():
    parser = argparse.ArgumentParser()
    mine.add_arguments(parser)
    dest_of = {option: action.dest for action in parser._actions for option in action.option_strings}
    known, said = config("mine"), set()
    for arguments, settings, _ in rows("argument"):
        options, names = quoted(arguments), quoted(settings)
        said |= {option.split()[0] for option in options}
        if names:
            assert [dest_of[option] for option in options] == names
            assert set(names) <= set(known)
    *_, others = rows("argument")
    assert set(quoted(others[2])) <= set(known)
    assert said | {"--datalist", "--bundle", "--overlay", "-h", "--help"} == set(dest_of)


def test_the_files_are_those_that_are_left(place):
    said = {name.rstrip("/") for row in rows("file") for name in quoted(row[0])}
    assert said == {
        path.name for path in (place / "mined").iterdir() if path.name != ".running"
    }  # the lock goes at the end
    assert not [link for link in re.findall(r"\]\(([^)#]+)\)", PAGE) if not (FOLDER / link).exists()]


def test_the_numbers_are_those_of_the_file(place):
    said = {name for row in rows("number") for name in quoted(row[0])}
    fields = {field.name for field in dataclasses.fields(PatternSimilarity)}
    assert said == fields == set(json.loads((place / "mined" / "similarity.json").read_text())["training"])


def test_the_item_has_the_fields_of_an_item(place):
    (text,) = blocks("json")
    assert json.loads(text).keys() == json.loads((place / "mined" / "patterns.json").read_text())["training"][0].keys()


def test_plain_monai_cuts_the_cube_that_ours_cuts(names, place, monkeypatch):
    monkeypatch.chdir(place)  # the items' paths begin as the table's does
    ours = names["CropPatternd"]("image", size=(8, 8, 6))(names["preprocessing"]()(names["items"][0]))["image"]
    assert ours.shape == (1, 8, 8, 6) and ours.std() > 0
    torch.testing.assert_close(names["cube"].as_tensor(), ours.as_tensor())


def test_the_table_gives_batches(names):
    batch, sample = names["batch"], names["sample"]
    assert batch["image"].shape == batch["target"].shape == (2, 1, 8, 8, 6) and batch["class"].dtype == torch.int64
    assert sample.keys() == {"image", "target", "class"} and sample["image"].shape == (1, 8, 8, 6)


def test_the_five_steps_make_a_table(names, place):
    found = PatternTable.load(place / "patterns.json")
    for section, count in (("training", 3), ("validation", 1)):
        assert Counter(item["class"] for item in found.items(section)) == {0: count, 1: count}
    assert names["trainer"].state.epoch == 1 and -1 <= names["numbers"].within <= 1
    assert all((place / name).is_file() for name in ("contact_sheet.png", "features.png", "features.npz"))
