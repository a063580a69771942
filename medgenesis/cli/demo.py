"""Learn from unlabelled volumes, fine-tune on a few labels, segment unseen ones, and look at the report."""

import argparse
from pathlib import Path

HELP = "run the whole path in minutes, with a report"
EXAMPLE = "medgenesis demo demo_output"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("out", metavar="OUT", help="folder for everything that the demonstration writes")
    parser.add_argument("--data", metavar="DIR", help="folder of CT scans to pre-train on (default: computed phantoms)")
    parser.add_argument(
        "--bundle",
        choices=("models_genesis_ct", "masked_autoencoder_ct", "semantic_genesis_ct", "transvw_ct"),
        default="models_genesis_ct",
        help="the method; the last two discover anatomical patterns first (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> Path:
    """Run it, and return the report."""
    from medgenesis.demo import run_demo

    return run_demo(args.out, args.data, args.bundle)
