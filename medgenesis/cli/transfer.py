"""The transfer study: how well what an encoder has learnt serves other images, with controls and paired tests.

An ENCODER is a bundle (its name or folder), a file of weights (FILE, or FILE#NAME of `medgenesis weights list`),
module:callable, random:ENCODER, or a control: pixels, handmade, table. LABEL=ENCODER names it in the tables.
A DATASET is a list (.json), a MedMNIST file (.npz), a folder with a folder for each class, or a data set that
`medgenesis datalist --datasets` tells of: NAME=DIR, or NAME below the folder MEDGENESIS_DATA.
Several of both are asked each with each. Features are computed once and kept in OUT/features; results are OUT/results
(a JSON a run), OUT/results.csv (a row a run) and OUT/comparisons.csv (paired tests between encoders).
"""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medgenesis.transfer.protocols.propagation import Propagation
    from medgenesis.transfer.study import Settings

HELP = "ask encoders how well they transfer, with controls and a report"
EXAMPLE = "medgenesis transfer linear --encoder my_model pixels --dataset my_labels.json --out study"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    questions = parser.add_subparsers(
        dest="question", required=True, metavar="QUESTION", title="questions", help="what to ask"
    )
    one = questions.add_parser("few-shot", help="nearest mean of a few labelled images, many episodes")
    one.add_argument("--ways", type=int, metavar="N", help="classes an episode (default: all, at most 5)")
    one.add_argument("--shots", type=int, default=5, metavar="N", help="labelled images a class (default 5)")
    one.add_argument("--queries", type=int, default=15, metavar="N", help="images a class that are told (default 15)")
    one.add_argument("--episodes", type=int, default=600, metavar="N", help="default 600")
    one.add_argument("--drop-small-classes", action="store_true", help="leave out classes with too few patients")
    _common(one, compat="images drawn whoever's they are, both sides resized to 1.15 of the size")
    one = questions.add_parser("linear", help="logistic regression, its strength chosen on validation")
    one.add_argument("--C", type=float, nargs="+", metavar="C", help="values to try (default: 45 from 1e-5 to 1e6)")
    one.add_argument("--metric", default="auc", choices=("auc", "accuracy", "balanced_accuracy"), help="chooses C")
    _common(one, compat="raw features, 100 steps, validation by image, warm starts, accuracy chooses")
    one = questions.add_parser("knn", help="vote of the k nearest training images")
    one.add_argument("--k", type=int, default=20, metavar="N", help="default 20")
    _common(one)
    one = questions.add_parser("propagate", help="labels of a few images, by dense features, onto all others")
    one.add_argument("--shots", type=int, default=1, metavar="K", help="labelled patients (default 1)")
    one.add_argument("--draws", type=int, default=3, metavar="N", help="of those patients (default 3)")
    one.add_argument("--method", default="linear", choices=("nearest", "linear"), help="default: linear")
    one.add_argument("--stride", type=int, default=2, metavar="N", help="voxels from place to place (default 2)")
    one.add_argument("--cases", type=int, metavar="N", help="test cases at most (default: all)")
    _common(one)
    one = questions.add_parser("report", help="one page of all results of a study")
    one.add_argument("--out", required=True, metavar="OUT", help="folder of the study; report.html is written there")
    one.add_argument("--title", default="Transfer study", help="of the page")
    _always(one)


def _common(parser: argparse.ArgumentParser, compat: str | None = None) -> None:
    parser.add_argument("--encoder", nargs="+", required=True, metavar="ENCODER", help="see above: one or several")
    parser.add_argument("--dataset", nargs="+", required=True, metavar="DATASET", help="see above: one or several")
    parser.add_argument("--out", required=True, metavar="OUT", help="folder of the study")
    parser.add_argument("--intensity", metavar="PRESET", help="of images whose record says none: ct, xray, …")
    parser.add_argument("--size", type=int, nargs="+", metavar="N", help="sides of the input (default: the training's)")
    parser.add_argument("--geometry", choices=("crop", "squash", "windows"), help="default: crop; of volumes windows")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="inputs at a time (default 32)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, … (default cpu)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of every draw (default 0)")
    parser.add_argument("--tensors-only", action="store_true", help="of a pickle with foreign objects (BYOL's)")
    if compat:
        parser.add_argument("--compat", action="store_true", help=f"as the published study: {compat}")
    _always(parser)


def _always(parser: argparse.ArgumentParser) -> None:
    """What every command has, also behind the question."""
    parser.add_argument("-q", "--quiet", action="store_true", default=argparse.SUPPRESS)
    parser.add_argument("--traceback", action="store_true", default=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> str:
    """Ask every encoder on every data set, and return the tables; or write the page."""
    if args.question == "report":
        from medgenesis.transfer.study_report import write_study_report

        return f"written: {write_study_report(args.out, args.title)}"
    return _asked(args)


def _asked(args: argparse.Namespace) -> str:
    from medgenesis.report import text_table
    from medgenesis.transfer.ask_propagation import ask_propagation
    from medgenesis.transfer.study import ask, compare
    from medgenesis.transfer.study_set import open_study_set

    by_class = args.question != "propagate"
    settings, encoders = _SETTINGS[args.question](args), opened(args)
    results, rows = [], []
    for named in args.dataset:
        study_set = open_study_set(named, args.out, seed=args.seed, labelled=by_class)
        for encoder in encoders:
            if by_class:
                options = {"batch_size": args.batch_size, "compat": getattr(args, "compat", False)}
                result = ask(encoder, study_set, settings, args.out, intensity=args.intensity, **options)
            else:
                result = ask_propagation(encoder, study_set, settings, args.out, intensity=args.intensity)
            results.append(result)
            figures = {name: _said(figure) for name, figure in results[-1]["figures"].items()}
            rows.append({"dataset": study_set.name, "encoder": encoder.name, **figures})
    tables = [text_table(list(rows[0]), [list(row.values()) for row in rows])]
    pairs = compare(results, args.out, seed=args.seed)
    if pairs:
        headings = ["dataset", "measure", "one", "other", "difference", "p"]
        cells = [
            [
                pair["dataset"],
                pair["measure"],
                pair["one"],
                pair["other"],
                _said({**pair, "value": pair["difference"]}),
                f"{pair['p']:.3f}",
            ]
            for pair in pairs
        ]
        tables.append(text_table(headings, cells))
    return "\n\n".join([*tables, f"written: {args.out}/results.csv"])


def opened(args: argparse.Namespace) -> list[Any]:
    """The encoders of the command line, each with its own name.

    Raises:
        ValueError: two of one name, or a number of sides that no input has.
    """
    from dataclasses import replace

    from medgenesis.transfer.geometry import Geometry
    from medgenesis.transfer.open_encoder import open_encoder

    if args.size and len(args.size) > 3:
        raise ValueError(f"--size: must be one to three sides; found {len(args.size)}. Write --size 64 64 32.")
    encoders = []
    for named in args.encoder:
        encoder = open_encoder(named, seed=args.seed, device=args.device, tensors_only=args.tensors_only)
        if args.size and encoder.dims:
            sides = tuple(args.size) * encoder.dims if len(args.size) == 1 else tuple(args.size)
            if len(sides) != encoder.dims:
                raise ValueError(
                    f"--size: must be one side, or {encoder.dims} for {encoder.name}; found {len(sides)}. Give one."
                )
            encoder = replace(encoder, size=sides)
        if args.geometry and encoder.dims:
            encoder = replace(encoder, geometry=Geometry(args.geometry))
        encoders.append(encoder)
    names = [encoder.name for encoder in encoders]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"--encoder: names must differ; found {twice!r} twice. Write LABEL=ENCODER.")
    return encoders


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
    "propagate": _propagation,
}


def _said(figure: dict[str, float]) -> str:
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"
