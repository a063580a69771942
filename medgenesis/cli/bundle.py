"""Copy one of the bundles that come with medgenesis to a folder of one's own, to run and change it there."""

import argparse
import logging

HELP = "copy a bundle to a folder of one's own"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the bundle, models_genesis_ct say")
    parser.add_argument("out", help="a new folder")


def run(args: argparse.Namespace) -> None:
    from medgenesis import bundles

    folder = bundles.copy(args.name, args.out)
    logger.info("%s\nnext: python -m monai.bundle run --config_file %s/configs/pretrain.yaml", folder, folder)
