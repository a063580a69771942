"""The `bundle` command, and which bundle a config belongs to."""

import sys
from pathlib import Path

import pytest

from medgenesis import bundles, cli

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
    assert files(tmp_path / "mine") == wanted
    assert {"LICENSE", "configs/metadata.json", "configs/pretrain.yaml"} <= wanted
    for path in wanted:
        assert (tmp_path / "mine" / path).read_bytes() == (source / path).read_bytes()
        target = (tmp_path / "mine" / path).resolve()
        assert target.is_relative_to((tmp_path / "mine").resolve())  # links point into the copy


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
        raise bundles.shutil.Error([(str(source), str(target), "[Errno 28] No space left on device")])

    monkeypatch.setattr(bundles.shutil, "copytree", half)
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
        bundles.root("../medgenesis")


PACKAGED = str(Path(bundles.__file__).resolve().parent / "models_genesis_ct")


@pytest.fixture
def copied(tmp_path, monkeypatch):
    folder = bundles.copy("models_genesis_ct", tmp_path / "my bundle")
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config_file", "{}/configs/pretrain.yaml"],
        ["--config_file={}/configs/pretrain.yaml"],
        ["--config-file", "{}/configs/pretrain.yaml"],
        ["--config_file", "['{}/configs/pretrain.yaml','{}/configs/quick.yaml']"],
        ["--config_file", '["{}/configs/pretrain.yaml", "{}/configs/quick.yaml"]'],
        ["--config_file", "{}/configs/pretrain.yaml,{}/configs/quick.yaml"],
        ["run", "--output_dir", "x", "--config_file", "{}/configs/pretrain.yaml", "--max_epochs", "3"],
    ],
    ids=str,
)
@pytest.mark.parametrize("relative", [True, False])
def test_the_root_is_where_the_config_of_the_command_line_stands(copied, monkeypatch, arguments, relative):
    folder = copied.name if relative else copied
    monkeypatch.setattr(sys, "argv", ["monai.bundle", *(a.replace("{}", str(folder)) for a in arguments)])
    assert bundles.root("models_genesis_ct") == str(copied)


def test_the_root_inside_the_folders_of_a_copy(copied, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["monai.bundle", "--config_file", "pretrain.yaml"])
    monkeypatch.chdir(copied / "configs")
    assert bundles.root("models_genesis_ct") == str(copied)


@pytest.mark.parametrize(
    "arguments",
    [[], ["--config_file"], ["--config_file", "absent/configs/pretrain.yaml"], ["--config_file", "other.yaml"],
     ["--config_file_too", "my bundle/configs/pretrain.yaml"]],
)  # fmt: skip
def test_the_root_without_a_config_of_a_bundle_is_the_package_s(copied, monkeypatch, arguments):
    (copied.parent / "other.yaml").touch()
    monkeypatch.setattr(sys, "argv", ["pytest", *arguments])
    assert bundles.root("models_genesis_ct") == PACKAGED
