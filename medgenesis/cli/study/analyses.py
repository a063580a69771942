"""The questions without a class: saliency, invariance, multiview, cka."""

import argparse
from typing import Any

from medgenesis.cli.study.options import common, opened, said

ANALYSES = ("saliency", "invariance", "multiview", "cka")


def add_analyses(questions: Any) -> None:
    """Declare them."""
    one = questions.add_parser("saliency", help="where the features hang on: windows of the image covered in turn")
    one.add_argument("--images", type=int, default=3, metavar="N", help="how many (default 3)")
    one.add_argument("--window", type=int, metavar="N", help="side (default 10 pixels; of volumes an eighth)")
    one.add_argument("--stride", type=int, metavar="N", help="default 1; of volumes half the window")
    common(one)
    one = questions.add_parser("invariance", help="how alike an image and its changed copy are")
    one.add_argument(
        *("--change", "--changes"),
        dest="changes",
        nargs="+",
        default=["rotation", "flip", "brightness", "blur"],
        metavar="NAME",
        help="rotation, translation, scale, shear, flip, brightness, contrast, gamma, blur, posterise, invert",
    )
    one.add_argument("--images", type=int, default=100, metavar="N", help="how many (default 100)")
    common(one, compat="covariance with 1e-6 on its diagonal in place of shrinkage")
    one = questions.add_parser("multiview", help="how alike two views of one patient are, beside those of two")
    one.add_argument("--pairs", type=int, default=100, metavar="N", help="patients at most (default 100)")
    common(one, compat="covariance with 1e-6 on its diagonal in place of shrinkage")
    common(questions.add_parser("cka", help="how alike the features of encoders are, pair by pair"))


def ask_analysis(args: argparse.Namespace) -> str:
    """Ask every encoder on every data set, and return the table."""
    from medgenesis.report import text_table
    from medgenesis.transfer import ask_analyses as asking
    from medgenesis.transfer.study_set import open_study_set

    encoders, rows = opened(args), []
    options: dict[str, Any] = {"intensity": args.intensity, "batch_size": args.batch_size}
    if args.question != "cka":
        options["seed"] = args.seed
    own = {"saliency": ("images", "window", "stride"), "invariance": ("changes", "images", "compat")}
    own["multiview"] = ("pairs", "compat")
    options |= {name: getattr(args, name) for name in own.get(args.question, ())}
    for named in args.dataset:
        study_set = open_study_set(
            named, args.out, seed=args.seed, labelled=False, reference=getattr(args, "reference_split", False)
        )
        if args.question == "cka":
            rows += [
                {"dataset": study_set.name, **row} for row in asking.ask_cka(encoders, study_set, args.out, **options)
            ]
            continue
        ask = {"saliency": asking.ask_saliency, "invariance": asking.ask_invariance, "multiview": asking.ask_multiview}
        for encoder in encoders:
            figures = ask[args.question](encoder, study_set, args.out, **options)
            cells = {name: said(figure) for name, figure in figures.items()}
            rows.append({"dataset": study_set.name, "encoder": encoder.name, **cells})
    return text_table(list(rows[0]), [list(row.values()) for row in rows]) + f"\n\nwritten: {args.out}"
