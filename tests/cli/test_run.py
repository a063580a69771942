"""`medgenesis run`: the command that it stands for, what it lists and refuses, and where it writes."""

import logging
import os
import shlex
import sys
from pathlib import Path

import fire
import pytest

from medgenesis import bundles, cli
from medgenesis.cli.run import marked
from medgenesis.datasets.phantom import write_phantoms

PACKAGE = Path(bundles.__file__).resolve().parent
TINY = "--width 2 --pretrain_epochs 1 --cube_size [16,16,16] --crop_criterion any --batch_size 1 --patches_per_image 1"


@pytest.fixture
def here(tmp_path, monkeypatch):
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def command(capsys):
    """command(words) -> what MONAI's runner is called with by the line that --dry-run prints."""

    def called(*words):
        assert cli.main(["run", *words, "--dry-run"]) == 0
        line = capsys.readouterr().out.strip()
        program, m, module, *rest = shlex.split(line)
        assert (program, m, module) == ("python", "-m", "monai.bundle")
        called_with = {}
        fire.Fire({"run": lambda **settings: called_with.update(settings)}, command=rest)
        return called_with

    return called


def test_a_packaged_bundle_writes_below_the_current_folder(command, here):
    assert command("models_genesis_ct", "pretrain", "quick", "--datalist", "my list.json", "--width", "8") == {
        "config_file": [
            str(PACKAGE / "models_genesis_ct" / "configs" / f"{name}.yaml") for name in ("pretrain", "quick")
        ],
        "bundle_root": str(here / "models_genesis_ct"),
        "datalist": "my list.json",
        "width": 8,
    }
    assert command("models_genesis_ct", "embed", "--bundle_root", "x")["bundle_root"] == "x"


@pytest.mark.parametrize("name", ["my model", "mine", "it's, mine", "a#b", '"q"'])
def test_a_copy_is_its_own_root(command, here, name):
    bundles.copy("models_genesis_ct", here / name)
    for overlays in ([], ["quick"]):
        called = command(name, "pretrain", *overlays)
        files = [f"{name}/configs/{config}.yaml" for config in ("pretrain", *overlays)]
        assert called.pop("config_file") in (files, files[0])
        assert called.get("bundle_root", str(here / name)) == str(here / name)


def test_a_folder_goes_before_a_bundle_of_its_name(command, here):
    bundles.copy("models_genesis_ct", here / "models_genesis_ct")
    assert command("models_genesis_ct", "pretrain") == {"config_file": "models_genesis_ct/configs/pretrain.yaml"}


def test_nothing_is_written_into_the_package(monkeypatch, capsys, here):
    (here / "link").symlink_to(PACKAGE / "models_genesis_ct")
    assert cli.main(["run", "link", "pretrain", "--dry-run"]) == 2
    monkeypatch.chdir(PACKAGE)
    assert cli.main(["run", "models_genesis_ct", "pretrain", "--dry-run"]) == 2
    assert "medgenesis bundle models_genesis_ct DIR" in capsys.readouterr().err
    monkeypatch.chdir(here)
    assert cli.main(["run", str(PACKAGE / "models_genesis_ct"), "pretrain", "--dry-run"]) == 0
    assert f"--bundle_root '{here}/models_genesis_ct'" in capsys.readouterr().out


def test_stages_are_run_as_stages_unless_one_is_asked_for(command, here):
    staged = "medgenesis.engines.StagedWorkflow"
    assert command("adam_cxr", "pretrain")["workflow_name"] == staged
    assert command("caid_cxr", "pretrain", "quick")["workflow_name"] == staged
    assert "workflow_name" not in command("adam_cxr", "pretrain", "--level", "2")
    assert "workflow_name" not in command("adam_cxr", "finetune")
    assert command("adam_cxr", "pretrain", "--workflow_name", "ConfigWorkflow")["workflow_name"] == "ConfigWorkflow"


@pytest.mark.parametrize(
    "words, wanted",
    [
        ("b t o --width 8", ["b", "t", "o", "--set=width=8"]),
        ("b --width=8 t -q o", ["b", "t", "o", "--set=width=8", "-q"]),
        ("b t --shift -1 --gpus 2", ["b", "t", "--set=shift=-1", "--gpus=2"]),
        ("b t --a#b x=y --dry-run", ["b", "t", "--set=a#b=x=y", "--dry-run"]),
    ],
)
def test_ids_are_told_from_names(words, wanted):
    assert marked(words.split()) == wanted


@pytest.mark.parametrize("words", ["--width", "--width --depth 3", "b t --width -- 3"])
def test_an_id_without_a_value(words):
    with pytest.raises(ValueError, match="--width: must have a value"):
        marked(words.split())


@pytest.mark.parametrize(
    "words, wanted",
    [
        (["models_genesis"], "models_genesis_ct"),
        (["models_genesis_ct"], "pretrain"),
        (["models_genesis_ct", "pretran"], "Nearest: pretrain"),
        (["models_genesis_ct", "quick"], "an overlay"),
        (["models_genesis_ct", "pretrain", "finetune"], "a task"),
        (["models_genesis_ct", "pretrain", "quik"], "Nearest: quick"),
        (["models_genesis_ct", "pretrain", "--widht", "8"], "Nearest: width"),
        (["models_genesis_ct", "pretrain", "--gpus", "0"], "--gpus"),
        ([], "BUNDLE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_refused_before_anything_runs(words, wanted, capsys, here):
    assert cli.main(["run", *words]) == 2
    error = capsys.readouterr().err
    assert wanted in error and error.count("\n") == 1
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    "words, wanted",
    [
        (["caid_cxr", "--size", "64"], "size: must divide by 32, as"),
        (["caid_cxr", "quick", "--stages::caid::size", "64"], "found 64 in mode 'caid'. Give 96"),
        (["adam_cxr", "--stages::level_4::grid", "round"], "grid: "),
        (["caid_cxr", "--mode", "caid", "--size", "64"], "found 64 in mode 'caid'. Give 96"),  # without stages
        (["adam_cxr", "--level", "4", "--grid", "round"], "grid: "),
    ],
)
def test_dry_run_checks_the_settings_of_every_stage(words, wanted, capsys, here):
    name, *rest = words
    assert cli.main(["run", name, "pretrain", *rest, "--dry-run"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("medgenesis run: ") and wanted in said
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        "models_genesis_ct pretrain --init experiment-hippocampus-mr-models-genesi",
        "caid_cxr pretrain --init none.pt",
        "caid_cxr finetune --init scratch --settings_from none.pt",
        "models_genesis_ct inference --weights none.pt",
    ],
)
def test_dry_run_refuses_absent_weights_as_the_run_does(words, capsys, here):
    said = []
    for more in (["--logging_file", "False"], ["--dry-run"]):
        assert cli.main(["run", *words.split(), *more]) == 2
        said.append(capsys.readouterr().err.splitlines()[-1])
    assert said[0] == said[1] and "must be a file with weights" in said[0]
    assert not list(here.iterdir())


def test_dry_run_asks_for_no_weights_that_are_not_typed_or_are_written(command, here):
    assert "init" not in command("models_genesis_ct", "finetune")
    assert command("models_genesis_ct", "pretrain", "--weights", "new.pt")["weights"] == "new.pt"


def test_dry_run_has_no_line_of_monai_s(command, here, caplog):
    of_monai = logging.getLogger("monai.bundle.workflows")  # which hands nothing on
    of_monai.addHandler(caplog.handler)
    try:
        command("caid_cxr", "pretrain")
    finally:
        of_monai.removeHandler(caplog.handler)
    assert not [one for one in caplog.records if one.name == of_monai.name]


def test_help_lists_bundles_tasks_and_settings(capsys):
    assert cli.main(["run", "--help"]) == 0
    listed = capsys.readouterr().out
    assert all(f"  {name} " in listed for name in bundles.names())
    assert cli.main(["run", "models_genesis_ct", "--help"]) == 0
    listed = capsys.readouterr().out
    tasks, overlays = listed.split("\noverlays ")
    assert all(f"  {name} " in tasks for name in ("pretrain", "finetune", "inference"))
    assert all(f"  {name} " in overlays for name in ("quick", "multi_gpu", "evaluate"))
    assert cli.main(["run", "models_genesis_ct", "pretrain", "quick", "--help"]) == 0
    settings = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line.startswith("  --")}
    assert settings["--width"].split()[1:3] == ["8", "(quick)"]
    assert settings["--seed"].split()[1] == "0" and "--train::trainer::max_epochs" in settings
    assert "# also write" in settings["--save_every"]


def test_several_processes_are_torchrun_s(monkeypatch, capsys, here):
    replaced = []
    monkeypatch.setattr(os, "execv", lambda program, words: replaced.append((program, words)))
    assert cli.main(["run", "models_genesis_ct", "pretrain", "--gpus", "2", "--quiet"]) == 0
    ((program, words),) = replaced
    assert program == sys.executable and "--nproc_per_node=2" in words and "torch.distributed.run" in words
    assert "multi_gpu.yaml" in words[words.index("--config_file") + 1] and words[-2:] == ["--logging_file", "False"]
    assert cli.main(["run", "models_genesis_ct", "pretrain", "multi_gpu", "--gpus", "2", "--dry-run"]) == 0
    line = capsys.readouterr().out
    assert (
        line.startswith("torchrun --standalone --nproc_per_node=2 -m monai.bundle run") and line.count("multi_gpu") == 1
    )


def test_it_runs_and_writes_below_the_current_folder_only(here, capsys):
    def held():
        return {path for path in PACKAGE.rglob("*") if "__pycache__" not in path.parts}

    write_phantoms(here / "data", 3, 0, shape=(24, 24, 24))
    before, argv = held(), sys.argv
    options = [*TINY.split(), "--num_workers", "0", "--device", "cpu", "--logging_file", "False"]
    assert cli.main(["run", "models_genesis_ct", "pretrain", *options]) == 0
    assert (here / "models_genesis_ct" / "models" / "pretrained.pt").is_file()
    assert held() == before and sys.argv is argv
    capsys.readouterr()
    assert cli.main(["run", "models_genesis_ct", "pretrain", "--datalist", "absent.json", *options]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("medgenesis run: absent.json")
