"""The `bundle` command."""

import shutil
from pathlib import Path

import pytest

from medgenesis import bundles, cli
from medgenesis.bundles import catalog

NAMES = bundles.names()


def files(folder):
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if not path.is_dir()}


def test_there_are_bundles():
    assert "models_genesis_ct" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_command_copies_all_but_what_runs_have_made(name, tmp_path, capsys):
    assert cli.main(["bundle", name, str(tmp_path / "mine")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'mine'}\n"
    source = Path(bundles.__file__).resolve().parent / name
    made_by_runs = ("models/", "runs/", "eval/")
    wanted = {path for path in files(source) if not path.startswith(made_by_runs) and "__pycache__" not in path}
    card, demo = "README.md", {f"models/{path.name}" for path in (source / "models").glob("phantom_demo*")}
    assert files(tmp_path / "mine") == {card, *demo, *wanted}
    assert {"LICENSE", "configs/metadata.json", "configs/settings.yaml"} <= wanted
    for path in wanted:
        assert (tmp_path / "mine" / path).read_bytes() == (source / path).read_bytes()
    links = [path for path in (tmp_path / "mine").rglob("*") if path.is_symlink()]
    assert [(path.name, str(path.readlink())) for path in links] == [("train.yaml", "finetune.yaml")]


def test_nothing_is_overwritten(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    assert cli.main(["bundle", NAMES[0], str(tmp_path / "mine")]) == 2
    assert "new or empty" in capsys.readouterr().err
    assert files(tmp_path / "mine") == {"notes.txt"}
    assert cli.main(["bundle", NAMES[0], str(tmp_path / "mine" / "notes.txt")]) == 2
    assert (tmp_path / "mine" / "notes.txt").read_text() == "mine"


def test_a_copy_that_fails_leaves_nothing(tmp_path, capsys, monkeypatch):
    def half(source, target, **_):
        (target / "configs").mkdir(parents=True)
        raise shutil.Error([(str(source), str(target), "[Errno 28] No space left on device")])

    monkeypatch.setattr(catalog.shutil, "copytree", half)
    assert cli.main(["bundle", "models_genesis_ct", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "out: cannot be written (No space left on device); nothing is left there. Free disk space" in error
    assert not (tmp_path / "out").exists()


def test_an_unknown_bundle_names_those_that_there_are(tmp_path, capsys):
    assert cli.main(["bundle", "no_such_thing", str(tmp_path / "mine")]) == 2
    error = capsys.readouterr().err
    assert "no_such_thing" in error and NAMES[0] in error and error.count("\n") == 1
    assert not (tmp_path / "mine").exists()
    with pytest.raises(ValueError):
        bundles.path("../medgenesis")
