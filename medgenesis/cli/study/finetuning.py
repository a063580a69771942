"""The question `finetune`: its arguments, and the settings that they make."""

import argparse
from typing import TYPE_CHECKING, Any

from medgenesis.cli.study.options import common

if TYPE_CHECKING:
    from medgenesis.transfer.protocols.finetune_settings import Finetune


def add_finetuning(questions: Any) -> None:
    """Declare it."""
    one = questions.add_parser("finetune", help="all weights of the encoder and a dense layer learn the classes")
    one.add_argument("--steps", type=int, default=5000, metavar="N", help="of SGD (default 5000)")
    one.add_argument("--rate", type=float, default=1e-2, metavar="R", help="learning rate (default 0.01)")
    one.add_argument("--weight-decay", type=float, default=1e-8, metavar="W", help="default 1e-8")
    one.add_argument("--every", type=int, default=200, metavar="N", help="steps between looks at validation (200)")
    one.add_argument("--patience", type=int, default=3, metavar="N", help="worse looks that end it (default 3)")
    one.add_argument(
        "--no-early-stopping", action="store_true", help="learn from training and validation, test the last weights"
    )
    one.add_argument("--metric", default="auc", choices=("auc", "accuracy", "balanced_accuracy"), help="of validation")
    one.add_argument("--no-augmentation", action="store_true", help="no random crops and flips")
    one.add_argument("--least-share", type=float, default=0.08, metavar="S", help="of the area in a crop (0.08)")
    one.add_argument("--no-flip", action="store_true", help="no mirroring: where sides matter")
    one.add_argument("--inputs", type=int, default=4, metavar="N", help="windows or slabs of a volume at a time (4)")
    one.add_argument(
        *("--search",), type=int, nargs="?", const=2, default=0, metavar="G", help="try G rates with G + 1 decays (2)"
    )
    one.add_argument(
        "--cache", default="disk", choices=("disk", "compressed", "memory", "none"), help="of images (default disk)"
    )
    one.add_argument("--workers", type=int, default=0, metavar="N", help="processes that prepare images (default 0)")
    common(
        one, compat="validation by image, accuracy chooses, the last weights are tested", batch=(64, "images a step")
    )


def finetune_settings(args: argparse.Namespace) -> "Finetune":
    """The settings that the arguments say."""
    from medgenesis.transfer.protocols.finetune_settings import Finetune

    return Finetune(
        steps=args.steps,
        rate=args.rate,
        weight_decay=args.weight_decay,
        batch_size=args.batch_size,
        every=args.every,
        patience=None if args.no_early_stopping else args.patience,
        metric=args.metric,
        least_share=None if args.no_augmentation else args.least_share,
        flip=not args.no_flip,
        inputs=args.inputs,
        search=args.search,
        seed=args.seed,
        compat=args.compat,
    )
