"""The questions on the places of images and volumes: landmarks, locality, compositionality."""

import argparse
from typing import Any

from medgenesis.cli.study.options import checked_sets, common, opened

QUESTIONS = ("landmarks", "locality", "compositionality")


def add_places(questions: Any) -> None:
    """Declare them."""
    helps = (
        "are the landmarks of one image found in another by the nearest features?",
        "has each landmark a place of its own among the features?",
        "are the features of a whole those of its parts together?",
    )
    for name, text in zip(QUESTIONS, helps, strict=True):
        one = questions.add_parser(name, help=text)
        one.add_argument(
            "--window", type=int, metavar="N", help="longest side around a place (default: a quarter of the side)"
        )
        one.add_argument("--images", type=int, default=20, metavar="N", help="at most (default 20)")
        if name == "compositionality":
            one.add_argument("--patches", type=int, default=200, metavar="N", help="at least (default 200)")
        else:
            one.add_argument(
                "--landmarks", required=True, metavar="FILE", help="table: image, landmark, x, y, of volumes z"
            )
        if name == "landmarks":
            one.add_argument(
                "--stride", type=int, metavar="N", help="from place to place (default: window / 8, of volumes / 2)"
            )
            one.add_argument(
                "--radius",
                type=float,
                nargs="+",
                metavar="R",
                help="of hits, pixels (default: window / 8, / 4); of volumes mm",
            )
        common(one, batch=(64, "windows at a time"))


def ask_about_places(args: argparse.Namespace) -> str:
    """Ask every encoder on every data set, and return the table."""
    from medgenesis.report import text_table
    from medgenesis.report.text import figure_text
    from medgenesis.transfer.questions.places import Places, ask_places

    radii = tuple(args.radius) if getattr(args, "radius", None) else None
    patches, stride = getattr(args, "patches", 200), getattr(args, "stride", None)
    settings = Places(args.window, stride, radii, args.images, patches, args.seed)
    encoders, rows = opened(args), []
    for study_set in checked_sets(args, False, encoders):
        for encoder in encoders:
            options = {"intensity": args.intensity, "batch_size": args.batch_size}
            options["landmarks"] = getattr(args, "landmarks", None)
            figures = ask_places(args.question, encoder, study_set, settings, args.out, **options)
            cells = {name: figure_text(figure) for name, figure in figures.items()}
            rows.append({"dataset": study_set.name, "encoder": encoder.name, **cells})
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return text_table(columns, [[row.get(name, "") for name in columns] for row in rows]) + f"\n\nwritten: {args.out}"
