"""The console script's errors, and the `bundle` command."""

import argparse
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medgenesis import __version__, bundles, cli
from medgenesis.bundles import catalog
from medgenesis.errors import CheckpointError, DatalistError


@pytest.fixture
def command(monkeypatch):
    """A command `phantom` that raises what it is told to."""
    from medgenesis.cli import phantom

    def fails_with(error):
        def run(args):
            raise error

        monkeypatch.setattr(phantom, "run", run)
        return ["phantom", "out"]

    return fails_with


@pytest.mark.parametrize(
    "error",
    [ValueError("a.json - rule - found - remedy"), DatalistError("x"), CheckpointError("y"), RuntimeError("z")],
    ids=lambda error: type(error).__name__,
)
def test_errors_for_the_user_are_one_line_and_status_2(command, capsys, error):
    assert cli.main(command(error)) == 2
    captured = capsys.readouterr()
    assert captured.err == f"medgenesis phantom: {error}\n"
    assert captured.out == ""


def test_a_file_that_is_not_there_is_named(command, capsys):
    assert cli.main(command(FileNotFoundError(2, "No such file or directory", "list.json"))) == 2
    assert "list.json" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyError("a"), TypeError("b"), AttributeError("c"), KeyboardInterrupt()])
def test_our_own_mistakes_keep_their_traceback(command, error):
    with pytest.raises(type(error)):
        cli.main(command(error))


def test_details_are_there_for_who_asks(command, caplog):
    with caplog.at_level(logging.DEBUG, logger="medgenesis"):
        cli.main(command(ValueError("what")))
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.exc_info[0] is ValueError


def test_every_command_has_help_and_what_a_command_needs(capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["--help"])
    assert exit_.value.code == 0
    listed = capsys.readouterr().out
    for name in cli.COMMANDS:
        module = sys.modules[f"medgenesis.cli.{name}"]
        assert name in listed and module.HELP and module.__doc__
        module.add_arguments(argparse.ArgumentParser())
        with pytest.raises(SystemExit) as exit_:
            cli.main([name, "--help"])
        assert exit_.value.code == 0


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["phantom"], ["phantom", "x", "--subjects", "many"]])
def test_what_cannot_be_parsed_has_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert "usage: medgenesis" in capsys.readouterr().err


def test_as_a_module_from_any_folder(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "medgenesis", "--version"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout) == (0, f"medgenesis {__version__}\n")


# ---- bundles

NAMES = bundles.names()


def files(folder):
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if not path.is_dir()}


def test_there_are_bundles():
    assert "models_genesis_ct" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_command_copies_all_but_what_runs_have_made(name, tmp_path, capsys, caplog):
    with caplog.at_level(logging.INFO):
        assert cli.main(["bundle", name, str(tmp_path / "mine")]) == 0
    assert str(tmp_path / "mine") in caplog.text
    source = Path(bundles.__file__).resolve().parent / name
    made_by_runs = ("models/", "runs/", "eval/")
    wanted = {path for path in files(source) if not path.startswith(made_by_runs) and "__pycache__" not in path}
    assert files(tmp_path / "mine") == wanted
    assert {"LICENSE", "configs/metadata.json", "configs/pretrain.yaml"} <= wanted
    for path in wanted:
        assert (tmp_path / "mine" / path).read_bytes() == (source / path).read_bytes()
        assert not (tmp_path / "mine" / path).is_symlink()


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
    assert "out: the bundle could not be copied ([Errno 28] No space left on device)" in error
    assert not (tmp_path / "out").exists()


def test_an_unknown_bundle_names_those_that_there_are(tmp_path, capsys):
    assert cli.main(["bundle", "no_such_thing", str(tmp_path / "mine")]) == 2
    error = capsys.readouterr().err
    assert "no_such_thing" in error and NAMES[0] in error and error.count("\n") == 1
    assert not (tmp_path / "mine").exists()
    with pytest.raises(ValueError):
        bundles.path("../medgenesis")
