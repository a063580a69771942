"""Fine-tune from few labels, pre-trained against scratch, and tabulate the Dice of unseen patients."""

import argparse
import ast
import logging
from typing import Any

HELP = "fine-tune from few labels: pre-trained against scratch"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", required=True, help="folder of a bundle (with configs/finetune.yaml)")
    parser.add_argument("--datalist", required=True, help="datalist with labelled sections training and test")
    parser.add_argument("--pretrained", help="checkpoint (default: models/pretrained.pt of the bundle)")
    parser.add_argument(
        "--out", required=True, help="folder for the table and the runs; a stopped comparison continues"
    )
    parser.add_argument("--labels", type=int, nargs="+", default=[3, 10, 40], metavar="K", help="labelled patients")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--iterations", type=int, default=400, help="optimizer steps of each run")
    parser.add_argument("--overlay", action="append", default=[], help="config overlay of the bundle, quick say")
    parser.add_argument("--set", action="append", default=[], metavar="ID=VALUE", help="a setting of the configs")


def run(args: argparse.Namespace) -> None:
    from pathlib import Path

    from medgenesis.transfer import compare_few_labels

    bundle = Path(args.bundle).absolute()
    configs = [bundle / "configs" / f"{name}.yaml" for name in ("finetune", *args.overlay)]
    pretrained = Path(args.pretrained or bundle / "models" / "pretrained.pt").absolute()
    table = compare_few_labels(
        configs,
        args.datalist,
        {"pre-trained": str(pretrained), "scratch": "scratch"},
        args.out,
        counts=args.labels,
        seeds=range(args.seeds),
        iterations=args.iterations,
        overrides=dict(setting(text) for text in args.set),
    )
    logger.info("%s\n%s", Path(args.out) / "table.md", table)


def setting(text: str) -> tuple[str, Any]:
    """`id=value` as the bundle's command line reads it: a Python literal where it is one, else a string."""
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"--set {text}: must be ID=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value
