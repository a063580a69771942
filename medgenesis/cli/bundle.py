"""Copy a bundle to a folder of one's own, to run and change it there: one of medgenesis, or hf://OWNER/NAME."""

import argparse
import logging
import shlex
from pathlib import Path

HELP = "copy a bundle to a folder of one's own"
EXAMPLE = "medgenesis bundle models_genesis_ct my_model"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", metavar="BUNDLE", help="its name, models_genesis_ct for example, or hf://OWNER/NAME")
    parser.add_argument("out", metavar="OUT", help="a new folder")


def run(args: argparse.Namespace) -> Path:
    """Copy, and return the folder."""
    from medgenesis import bundles
    from medgenesis.bundles.hub import is_hub_name

    folder = bundles.download(args.name, args.out) if is_hub_name(args.name) else bundles.copy(args.name, args.out)
    logger.info("next: medgenesis run %s --help", shlex.quote(str(folder)))
    return folder
