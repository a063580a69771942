"""What holds for every command: help with an example, exit codes, standard output and error, --quiet."""

import logging
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from medgenesis import __version__, cli
from medgenesis.cli import phantom
from medgenesis.errors import CheckpointError, DatalistError, MissingPackageError

every_command = pytest.mark.parametrize("name", cli.COMMANDS)


def actions(name):
    """The options of a command, by option string or destination."""
    (subparsers,) = (one for one in cli.build_parser()._actions if one.dest == "command")
    found = {}
    for action in subparsers.choices[name]._actions:
        found |= dict.fromkeys(action.option_strings or [action.dest], action)
    return found


@pytest.fixture
def does(monkeypatch):
    """does(function) -> the words of a command that calls it."""

    def replaced(function):
        monkeypatch.setattr(phantom, "run", lambda args: function())
        return ["phantom", "out"]

    return replaced


@pytest.fixture
def fails_with(does):
    def raises(error):
        def function():
            raise error

        return does(function)

    return raises


@every_command
def test_there_is_a_file_for_each_and_it_says_what_it_does(name):
    module = cli._module(name)
    assert module.HELP.split()[0].islower() and not module.HELP.endswith(".")
    assert module.__doc__ and module.run.__doc__ and module.add_arguments.__doc__


def test_no_command_is_forgotten():
    files = {path.stem for path in Path(cli.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == {name.replace("-", "_") for name in cli.COMMANDS}


@every_command
def test_help_shows_an_example_that_can_be_parsed(name, capsys):
    example = cli._module(name).EXAMPLE
    try:
        status = cli.main([name, "--help"])
    except SystemExit as exit_:
        status = exit_.code
    told = capsys.readouterr()
    assert status == 0 and example in told.out and "exit status" in told.out and told.err == ""
    program, command, *words = shlex.split(example)
    assert (program, command) == ("medgenesis", name)
    cli.build_parser().parse_args([name, *(cli._module("run").marked(words) if name == "run" else words)])


@every_command
def test_options_of_one_name_mean_the_same(name):
    own = actions(name)
    assert own["--quiet"].option_strings == ["-q", "--quiet"] and "--traceback" in own
    assert all(action.help for action in own.values())
    shared = {"--datalist": ("LIST.json", None), "--seed": ("S", int), "--bundle": ("BUNDLE", None)}
    for option, (metavar, kind) in shared.items():
        if option in own and own[option].choices is None:
            assert (own[option].metavar, own[option].type) == (metavar, kind)
    for option in ("out", "--out"):
        assert option not in own or own[option].metavar in ("OUT", "LIST.json")
    assert not any("_" in option for option in own if option.startswith("--"))


@every_command
def test_an_unknown_argument_is_one_line_and_status_2(name, capsys, monkeypatch):
    words = ["models_genesis_ct", "pretrain", "--no-such", "1"] if name == "run" else ["--no-such"]
    try:
        status = cli.main([name, *words])
    except SystemExit as exit_:
        status = exit_.code
    told = capsys.readouterr()
    assert status == 2 and told.out == ""
    assert told.err.count("\n") == 1 and told.err.startswith(f"medgenesis {name}: ")


@pytest.mark.parametrize("arguments", [[], ["unknown"], ["phantom"], ["phantom", "x", "--subjects", "many"]])
def test_what_cannot_be_parsed_has_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert re.fullmatch(r"medgenesis.*: .+\n", capsys.readouterr().err)


def test_no_option_is_abbreviated(capsys):
    with pytest.raises(SystemExit):
        cli.main(["phantom", "x", "--subj", "2"])
    assert "--subj" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        *(ValueError("a.json: rule; found value. Remedy."), DatalistError("x"), CheckpointError("y"), OSError("z")),
        MissingPackageError("wandb: must be installed; found none. Install it."),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_wrong_input_is_one_line_and_status_2(fails_with, capsys, error):
    assert cli.main(fails_with(error)) == 2
    assert capsys.readouterr() == ("", f"medgenesis phantom: {error}\n")
    assert cli.main([*fails_with(error), "--traceback"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("Traceback") and told.endswith(f"medgenesis phantom: {error}\n")


def test_a_file_that_is_not_there_is_named(fails_with, capsys):
    assert cli.main(fails_with(FileNotFoundError(2, "No such file or directory", "list.json"))) == 2
    assert "list.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [KeyError("a"), TypeError("b"), RuntimeError("c"), ImportError("d")], ids=lambda e: type(e).__name__
)
def test_what_is_unexpected_has_its_traceback_and_status_1(fails_with, capsys, error):
    assert cli.main(fails_with(error)) == 1
    told = capsys.readouterr().err
    assert told.startswith("Traceback") and type(error).__name__ in told.splitlines()[-1]


def test_the_cause_below_an_error_of_monai_decides(fails_with, capsys):
    outer = RuntimeError("Failed to instantiate x")
    outer.__cause__ = ValueError("width: must be a number; found 'a'. Write 8.")
    assert cli.main(fails_with(outer)) == 2
    assert capsys.readouterr().err == f"medgenesis phantom: {outer.__cause__}\n"


def test_interrupted(fails_with, capsys):
    assert cli.main(fails_with(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_the_exit_code_of_what_was_run_passes_through(fails_with):
    with pytest.raises(SystemExit) as exit_:
        cli.main(fails_with(SystemExit(143)))
    assert exit_.value.code == 143


SAYS = """
import logging, sys
from medgenesis import cli
from medgenesis.cli import phantom

def run(args):
    logging.getLogger("one").info("a message")
    logging.getLogger("one").warning("a warning")
    return "the result"

phantom.run = run
sys.exit(cli.main(["phantom", "out", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("options, told", [([], "a message\na warning\n"), (["--quiet"], "a warning\n")], ids=str)
def test_results_on_standard_output_messages_on_standard_error(options, told):
    done = subprocess.run([sys.executable, "-c", SAYS, *options], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the result\n", told)


def test_quiet_does_not_outlive_the_command(does):
    disabled = []
    assert cli.main([*does(lambda: disabled.append(logging.root.manager.disable)), "--quiet"]) == 0
    assert disabled == [logging.INFO] and logging.root.manager.disable == logging.NOTSET


def test_as_a_module_from_any_folder(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "medgenesis", "--version"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (run.returncode, run.stdout) == (0, f"medgenesis {__version__}\n")
