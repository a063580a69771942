"""Learn from unlabelled volumes, fine-tune on a few labels, segment unseen ones, and look at the report."""

import argparse
import logging

HELP = "the whole path in minutes, with a report"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", help="folder for everything that the demonstration writes")
    parser.add_argument("--data", help="folder of CT scans to pre-train on (default: computed phantoms)")
    parser.add_argument(
        "--bundle",
        choices=("models_genesis_ct", "masked_autoencoder_ct", "semantic_genesis_ct", "transvw_ct"),
        default="models_genesis_ct",
        help="the method; the last two discover anatomical patterns first (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    from medgenesis.demo import run_demo

    report = run_demo(args.out, args.data, args.bundle)
    logger.info("\nreport: %s", report)
