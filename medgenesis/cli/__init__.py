"""The console script ``medgenesis``: one file a command.

A command module has ``HELP``, ``EXAMPLE``, ``add_arguments(parser)`` and ``run(args)``, which returns the text of its
result, an exit status, or both; heavy imports belong inside ``run``, so that ``medgenesis --help`` answers at once.
Results go to standard output, everything else to standard error. What a command writes is named OUT where it is all
that must be named, else --out.
"""

import argparse
import importlib
import logging
import sys
import traceback
from typing import Any, NoReturn

from medgenesis import __version__
from medgenesis.errors import DOMAIN_ERRORS, cause_of

COMMANDS = (
    "run",
    "phantom",
    "datalist",
    "check",
    "bundle",
    "mine",
    "compare",
    "crossval",
    "transfer",
    "weights",
    "nnunet",
    "label-app",
    "demo",
)

OK, UNEXPECTED, WRONG, INTERRUPTED = 0, 1, 2, 130
_EXIT = """exit status:
  0 done   1 unexpected error, with its traceback   2 wrong argument or input, in one line   130 interrupted
  (143: a training that was stopped by SIGTERM has saved; the same command continues it)"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and which takes no abbreviations."""

    def __init__(self, **settings: Any) -> None:
        settings = {"allow_abbrev": False, "formatter_class": argparse.RawDescriptionHelpFormatter, **settings}
        super().__init__(**settings)

    def error(self, message: str) -> NoReturn:
        """Leave with status 2."""
        self.exit(WRONG, f"{self.prog}: {message}. See: {self.prog} --help\n")


def build_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(prog="medgenesis", description="Self-supervised learning for 3D medical images.", epilog=_EXIT)
    parser.add_argument("--version", action="version", version=f"medgenesis {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command", title="commands")
    for name in COMMANDS:
        module = _module(name)
        command = subparsers.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            epilog=f"example:\n  {module.EXAMPLE}\n\n{_EXIT}",
            add_help=name != "run",  # whose --help lists what a bundle has
        )
        module.add_arguments(command)
        common = command.add_argument_group("of every command")
        common.add_argument("-q", "--quiet", action="store_true", help="only warnings, errors and the result")
        common.add_argument("--traceback", action="store_true", help="show where a wrong input was noticed")
        command.set_defaults(parser=command)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    disabled = logging.root.manager.disable
    name, shows_traceback = (argv or [""])[0], "--traceback" in argv
    try:
        if name == "run":
            argv[1:] = _module("run").marked(argv[1:])
        args = build_parser().parse_args(argv)
        logging.basicConfig(level=logging.INFO, format="%(message)s")
        if args.quiet:
            logging.disable(logging.INFO)  # also what a bundle's logging.conf turns on
        return _answer(args)
    except KeyboardInterrupt:
        sys.stderr.write(f"medgenesis {name}: interrupted\n")
        return INTERRUPTED
    except Exception as error:
        return _report(name, error, shows_traceback)
    finally:
        logging.disable(disabled)


def _module(name: str) -> Any:
    return importlib.import_module(f"medgenesis.cli.{name.replace('-', '_')}")


def _answer(args: argparse.Namespace) -> int:
    result = _module(args.command).run(args)
    text, status = result if isinstance(result, tuple) else (result, OK)
    if isinstance(text, int):
        return text
    if text is not None:
        sys.stdout.write(f"{text}\n")
    return status


def _report(name: str, error: Exception, shows_traceback: bool) -> int:
    """Say what was wrong as the last line; what a user cannot act on comes with its traceback."""
    cause = cause_of(error)
    expected = isinstance(cause, (ValueError, OSError, *DOMAIN_ERRORS))
    if shows_traceback or not expected:
        traceback.print_exception(error)
    if expected:
        sys.stderr.write(f"medgenesis {name}: {cause}\n")
        return WRONG
    sys.stderr.write(f"medgenesis {name}: unexpected {type(cause).__name__}: {cause}. The traceback is above.\n")
    return UNEXPECTED
