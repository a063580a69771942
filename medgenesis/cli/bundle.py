"""Copy one of the bundles that come with medgenesis to a folder of one's own, to run and change it there."""

import argparse
import logging
import shlex
from pathlib import Path

HELP = "copy a bundle to a folder of one's own"
EXAMPLE = "medgenesis bundle models_genesis_ct my_model"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", metavar="BUNDLE", help="its name, for example models_genesis_ct")
    parser.add_argument("out", metavar="OUT", help="a new folder")


def run(args: argparse.Namespace) -> Path:
    """Copy, and return the folder."""
    from medgenesis import bundles

    folder = bundles.copy(args.name, args.out)
    logger.info("next: medgenesis run %s --help", shlex.quote(str(folder)))
    return folder
