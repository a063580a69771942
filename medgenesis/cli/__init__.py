"""The console script ``medgenesis``: one file a command.

A command module has ``HELP``, ``add_arguments(parser)`` and ``run(args)``; heavy imports belong inside ``run``,
so that ``medgenesis --help`` answers at once.
"""

import argparse
import importlib
import logging
import sys

from medgenesis import __version__
from medgenesis.errors import cause_of

COMMANDS = ("phantom", "datalist", "bundle", "mine", "demo", "compare")


def main(argv: list[str] | None = None) -> int:
    """Run one command. Errors that a user can act on are printed as one line; exit status 2."""
    parser = argparse.ArgumentParser(prog="medgenesis", description="Self-supervised learning for 3D medical images.")
    parser.add_argument("--version", action="version", version=f"medgenesis {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="command")
    modules = {name: importlib.import_module(f"medgenesis.cli.{name}") for name in COMMANDS}
    for name, module in modules.items():
        command = subparsers.add_parser(name, help=module.HELP, description=module.__doc__)
        module.add_arguments(command)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        modules[args.command].run(args)
    except (ValueError, OSError, RuntimeError) as error:
        logging.getLogger("medgenesis").debug("details", exc_info=True)
        sys.stderr.write(f"medgenesis {args.command}: {cause_of(error)}\n")
        return 2
    return 0
