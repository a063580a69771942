"""Run a task of a bundle, pretrain for example: the short form of MONAI's own command, which is shown first.

BUNDLE is the name of a bundle that comes with medgenesis, or a copy of one in a folder of your own. What it writes goes
into that folder; for a bundle of the package, into a folder of its name below the current one. Any id of the configs
is set by --id value; an id that no config uses is refused.
"""

import argparse
import logging
import os
import runpy
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medgenesis.cli.configs import BundleFolder, Setting

HELP = "run a task of a bundle, with any of its settings"
EXAMPLE = "medgenesis run models_genesis_ct pretrain quick --datalist my_ct.json --width 8"

_FLAGS = ("-h", "--help", "-q", "--quiet", "--traceback", "--dry-run")
_STAGED = "medgenesis.engines.StagedWorkflow"
_PATH_CHARACTERS = set(",[](){}'\"#")  # of a path: MONAI's runner, or bundles.root, would read them as more than a path

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; `marked` makes --set ID=VALUE of --id value."""
    parser.add_argument("bundle", nargs="?", metavar="BUNDLE", help="its name, or the folder of a copy")
    parser.add_argument("task", nargs="?", metavar="TASK", help="pretrain, finetune, …: BUNDLE --help lists them")
    parser.add_argument("overlays", nargs="*", metavar="OVERLAY", help="quick, multi_gpu, …: change settings of a task")
    parser.add_argument("--set", action="append", default=[], metavar="ID=VALUE", help="a setting: short --ID VALUE")
    parser.add_argument("--gpus", type=int, metavar="N", help="as N processes of torchrun, with the overlay multi_gpu")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="check settings and weights (no list), print the command, run nothing",
    )
    parser.add_argument("-h", "--help", action="store_true", help="of BUNDLE: its tasks; of BUNDLE TASK: its settings")


def marked(words: Sequence[str]) -> list[str]:
    """The command's words for argparse, which takes no option that it does not know: --id value as --set=id=value.

    Raises:
        ValueError: an id without a value.
    """
    names, options = [], []
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        if word in _FLAGS:
            options.append(word)
        elif not word.startswith("--"):
            names.append(word)
        else:
            value = value if equals else next(rest, None)
            if value is None or (not equals and value.startswith("--")):
                raise ValueError(f"{option}: must have a value; found none. Write {option} VALUE, True for example.")
            own = option in ("--set", "--gpus")
            options.append(f"{option}={value}" if own else f"--set={option[2:]}={value}")
    return [*names, *options]


def run(args: argparse.Namespace) -> str | int | None:
    """List, print or run; the exit status is that of what was run."""
    from medgenesis.cli.configs import find_bundle, merged_settings
    from medgenesis.cli.configs.listing import list_bundles, list_settings, list_tasks

    if args.bundle is None:
        if args.help:
            return f"{args.parser.format_help()}\n{list_bundles()}"
        raise ValueError("BUNDLE: must be named; found none. `medgenesis run --help` lists those of the package.")
    bundle = find_bundle(args.bundle)
    if args.help:
        return list_settings(bundle, args.task, args.overlays) if args.task else list_tasks(bundle)
    if args.task is None:
        raise ValueError(
            f"TASK: must be one of {', '.join(bundle.tasks())}; found none. `medgenesis run {args.bundle} --help` says "
            "what each is for."
        )
    words = runner_words(bundle, args.task, args.overlays, args.set, args.gpus)
    if args.dry_run:
        _check(words, "checks" in merged_settings(bundle.files(args.task, args.overlays)))
        return _line(words, args.gpus)
    logger.info("%s\n", _line(words, args.gpus))
    return _run_several(words, args.gpus, args.quiet) if args.gpus else _run_here(words)


def runner_words(
    bundle: "BundleFolder", task: str, overlays: Sequence[str], given: Sequence[str], gpus: int | None = None
) -> list[str]:
    """Arguments of `python -m monai.bundle`, checked.

    Args:
        bundle: to run.
        task: one of its tasks.
        overlays: of its overlays.
        given: settings, `id=value`.
        gpus: number of processes, or None.

    Raises:
        ValueError: an unknown task, overlay or id, a value that MONAI's runner would misread, or a folder that may not
            be written.
    """
    from medgenesis.cli.configs import checked_id, merged_settings, split_setting

    if gpus is not None and gpus < 1:
        raise ValueError(f"--gpus: must be at least 1; found {gpus}. Leave it out for one process.")
    overlays = [*overlays, *(["multi_gpu"] if gpus and "multi_gpu" not in overlays else [])]
    files = bundle.files(task, overlays)
    settings = merged_settings(files)
    pairs = dict(split_setting(text) for text in given)
    pairs = {checked_id(id, settings, pairs): value for id, value in pairs.items()}
    words = ["run", "--config_file", _config_argument(files)]
    _choose_tracking(bundle, pairs)
    if "bundle_root" not in pairs and (root := _root(bundle)):
        words += _option("bundle_root", root)
    if "workflow_name" not in pairs and _in_stages(settings, pairs):
        words += _option("workflow_name", _STAGED)
    return [*words, *(word for id, value in pairs.items() for word in _option(id, value))]


def _choose_tracking(bundle: "BundleFolder", pairs: dict[str, str]) -> None:
    """Put MONAI's form of `--tracking` in the place of none and wandb; mlflow, and a file, are MONAI's own."""
    if pairs.get("tracking") == "none":
        del pairs["tracking"]
    elif pairs.get("tracking") == "wandb":
        pairs["tracking"] = _text(bundle.path.absolute() / "configs" / "tracking_wandb.json")


def _config_argument(files: Sequence[Path]) -> str:
    paths = [file.as_posix() for file in files]
    return paths[0] if len(paths) == 1 and not _PATH_CHARACTERS & set(paths[0]) else str(paths)


def _root(bundle: "BundleFolder") -> str | None:
    """What `bundle_root` must be set to, if anything: the runs of a packaged bundle go below the current folder."""
    if not bundle.packaged:
        return _text(bundle.results) if _PATH_CHARACTERS & set(str(bundle.results)) else None
    folder = bundle.results
    if folder.resolve() == bundle.path.resolve() or bundle.path.resolve().parent in folder.resolve().parents:
        raise ValueError(
            f"BUNDLE: must not be written into where it comes with medgenesis; found {folder}. Change to another "
            f"folder, or copy it: medgenesis bundle {bundle.name} DIR."
        )
    return _text(folder)


def _text(path: Path) -> str:
    """A path as MONAI's runner reads it back."""
    text = path.as_posix()
    return repr(text) if _PATH_CHARACTERS & set(text) else text


def _option(id: str, value: str) -> list[str]:
    return [f"--{id}={value}"] if value.startswith("-") else [f"--{id}", value]


def _in_stages(settings: dict[str, "Setting"], pairs: dict[str, str]) -> bool:
    """Whether the task runs in stages: it has some, and no setting is given that they would replace."""
    stages = [id.split("::")[2] for id in settings if id.startswith("stages::") and id.count("::") == 2]
    alone = [id for id in pairs if id in stages]
    if alone:
        logger.info("--%s is given, which the stages of this task set: it is run once, without stages", alone[0])
    return bool(stages) and not alone


def _check(words: Sequence[str], has_checks: bool) -> None:
    """Refuse what the config's own `checks` refuse, of every stage, and weights that are typed and not there.

    Weights that are not typed, as those that an earlier task leaves in the bundle, need not be there yet.
    """
    from medgenesis.bundles.checks import STARTS

    rest, given = iter(words[1:]), {}
    for word in rest:
        id, equals, value = word.removeprefix("--").partition("=")
        given[id] = value if equals else next(rest)
    typed = [id for id in given if id in (*STARTS, "weights")]
    if not has_checks and not typed:
        return
    from fire.parser import DefaultParseValue
    from monai.bundle import ConfigWorkflow

    from medgenesis.engines import StagedWorkflow

    of_runner = ("workflow_name", "workflow_type", "tracking", "logging_file")
    settings = {id: DefaultParseValue(value) for id, value in given.items() if id not in of_runner}
    settings |= {"workflow_type": "train", "logging_file": False}
    if _STAGED in words:
        StagedWorkflow(**settings).check()
    asked = [f"$medgenesis.bundles.check_starts(@settings, {typed})"] if typed else []
    if has_checks and _STAGED not in words:
        asked.append("@checks")
    if asked:
        ConfigWorkflow(**{**settings, "init_id": "asked", "asked": asked}).initialize()


def _line(words: Sequence[str], gpus: int | None) -> str:
    """The command for a shell."""
    start = ["torchrun", "--standalone", f"--nproc_per_node={gpus}", "-m"] if gpus else ["python", "-m"]
    command = [*start, "monai.bundle", *words]
    return subprocess.list2cmdline(command) if os.name == "nt" else " ".join(map(_quoted, command))


def _quoted(word: str) -> str:
    """A word for a shell; in double quotes where that is easier to read."""
    return f'"{word}"' if "'" in word and not set('"$`\\!') & set(word) else shlex.quote(word)


def _run_here(words: Sequence[str]) -> None:
    """What `python -m monai.bundle` does, in this process; configs look at its command line."""
    before = sys.argv
    sys.argv = ["monai.bundle", *words]
    try:
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
    finally:
        sys.argv = before


def _run_several(words: Sequence[str], gpus: int, quiet: bool) -> int:
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={gpus}", "-m"]
    command = [*start, "monai.bundle", *words, *(["--logging_file", "False"] if quiet else [])]
    if os.name == "nt":
        return subprocess.run(command).returncode
    os.execv(command[0], command)  # signals of a cluster then reach torchrun
