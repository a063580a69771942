"""The questions on labelled images: few-shot, linear, knn, finetune, propagate."""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from medgenesis.cli.study.finetuning import add_finetuning, finetune_settings
from medgenesis.cli.study.options import checked_sets, common, opened, study_sets

if TYPE_CHECKING:
    from medgenesis.transfer.protocols.propagation import Propagation
    from medgenesis.transfer.questions.classes import Settings


def add_protocols(questions: Any) -> None:
    """Declare them."""
    one = questions.add_parser("few-shot", help="nearest mean of a few labelled images, many episodes")
    one.add_argument("--ways", type=int, metavar="N", help="classes an episode (default: all, at most 5)")
    one.add_argument("--shots", type=int, default=5, metavar="N", help="labelled images a class (default 5)")
    one.add_argument("--queries", type=int, default=15, metavar="N", help="images a class that are told (default 15)")
    one.add_argument("--episodes", type=int, default=600, metavar="N", help="default 600")
    one.add_argument("--drop-small-classes", action="store_true", help="leave out classes with too few patients")
    common(one, compat="images drawn whoever's they are, both sides resized to 1.15 of the size")
    one = questions.add_parser("linear", help="logistic regression, its strength chosen on validation")
    one.add_argument("--C", type=float, nargs="+", metavar="C", help="values to try (default: 45 from 1e-5 to 1e6)")
    one.add_argument("--metric", default="auc", choices=("auc", "accuracy", "balanced_accuracy"), help="chooses C")
    common(one, compat="raw features, 100 steps, validation by image, warm starts, accuracy chooses")
    one = questions.add_parser("knn", help="vote of the k nearest images of training and validation")
    one.add_argument("--k", type=int, default=20, metavar="N", help="default 20")
    common(one)
    add_finetuning(questions)
    one = questions.add_parser("propagate", help="labels of a few images, by dense features, onto all others")
    one.add_argument("--shots", type=int, default=1, metavar="K", help="labelled patients (default 1)")
    one.add_argument("--draws", type=int, default=3, metavar="N", help="of those patients (default 3)")
    one.add_argument("--method", default="linear", choices=("nearest", "linear"), help="default: linear")
    one.add_argument("--stride", type=int, default=2, metavar="N", help="voxels from place to place (default 2)")
    one.add_argument("--cases", type=int, metavar="N", help="test cases at most (default: all)")
    common(one, batch=None, geometry=False)


def ask_protocol(args: argparse.Namespace) -> str:
    """Ask every encoder on every data set, and return the tables."""
    from medgenesis.report import text_table
    from medgenesis.report.text import figure_text, p_text
    from medgenesis.transfer.comparisons import compare
    from medgenesis.transfer.results import load_results

    by_class = args.question != "propagate"
    settings, encoders = _SETTINGS[args.question](args), opened(args)
    results, rows = [], []
    # propagation takes unknown intensities as they are
    for study_set in checked_sets(args, True, encoders) if by_class else study_sets(args, False):
        for encoder in encoders:
            result = _ask(args, encoder, study_set, settings)
            results.append(result)
            figures = {name: figure_text(figure) for name, figure in results[-1]["figures"].items()}
            rows.append({"dataset": study_set.name, "encoder": encoder.name, **figures})
    tables = [text_table(list(rows[0]), [list(row.values()) for row in rows])]
    own = {result["path"].relative_to(args.out).as_posix() for result in results}
    pairs = compare(load_results(args.out), args.out)  # the table is of all, said are those of now
    pairs = [pair for pair in pairs if {pair["one_file"], pair["other_file"]} <= own]
    if pairs:
        headings = ["dataset", "measure", "one", "other", "difference", "p"]
        cells = [
            [
                pair["dataset"],
                pair["measure"],
                pair["one"],
                pair["other"],
                figure_text({**pair, "value": pair["difference"]}),
                p_text(pair["p"]),
            ]
            for pair in pairs
        ]
        tables.append(text_table(headings, cells))
    return "\n\n".join([*tables, f"written: {args.out}/results.csv"])


def _ask(args: argparse.Namespace, encoder: Any, study_set: Any, settings: Any) -> dict[str, Any]:
    from medgenesis.transfer.questions.classes import ask
    from medgenesis.transfer.questions.finetuning import ask_finetuning
    from medgenesis.transfer.questions.propagation import ask_propagation

    how = {"intensity": args.intensity}
    if args.question == "propagate":
        return ask_propagation(encoder, study_set, settings, args.out, **how)
    if args.question == "finetune":
        return ask_finetuning(encoder, study_set, settings, args.out, cache=args.cache, workers=args.workers, **how)
    compat = getattr(args, "compat", False)
    return ask(encoder, study_set, settings, args.out, batch_size=args.batch_size, compat=compat, **how)


def _few_shot(args: argparse.Namespace) -> "Settings":
    from medgenesis.transfer.protocols.few_shot import FewShot

    numbers = (args.ways, args.shots, args.queries, args.episodes, args.seed)
    return FewShot(*numbers, by_patient=not args.compat, drop_small_classes=args.drop_small_classes)


def _linear(args: argparse.Namespace) -> "Settings":
    from medgenesis.transfer.protocols.linear import GRID, Linear

    grid = tuple(args.C or GRID)
    return Linear.as_published(grid) if args.compat else Linear(grid, args.metric, seed=args.seed)


def _knn(args: argparse.Namespace) -> "Settings":
    from medgenesis.transfer.protocols.knn import Knn

    return Knn(args.k, seed=args.seed)


def _propagation(args: argparse.Namespace) -> "Propagation":
    from medgenesis.transfer.protocols.propagation import Propagation

    return Propagation(args.shots, args.draws, args.method, args.stride, cases=args.cases, seed=args.seed)


_SETTINGS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "few-shot": _few_shot,
    "linear": _linear,
    "knn": _knn,
    "finetune": finetune_settings,
    "propagate": _propagation,
}
