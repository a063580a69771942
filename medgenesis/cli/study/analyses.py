"""The questions without a class: saliency, inversion, perceptual, invariance, multiview, cka."""

import argparse
from typing import Any

from medgenesis.cli.study.options import always, checked_sets, common, opened

ANALYSES = ("saliency", "inversion", "perceptual", "invariance", "multiview", "cka")


def add_analyses(questions: Any) -> None:
    """Declare them."""
    one = questions.add_parser("saliency", help="where the features hang on: windows of the image covered in turn")
    one.add_argument("--images", type=int, default=3, metavar="N", help="how many (default 3)")
    one.add_argument("--window", type=int, metavar="N", help="side (default 10 pixels; of volumes an eighth)")
    one.add_argument("--stride", type=int, metavar="N", help="default 1; of volumes half the window")
    said = "batch norms take the statistics of the single image"
    common(one, said, (64, "windows at a time"), geometry=False)
    one = questions.add_parser("inversion", help="images reconstructed from their features alone")
    one.add_argument("--images", type=int, default=1, metavar="N", help="how many (default 1)")
    one.add_argument("--steps", type=int, default=1000, metavar="N", help="of Adam (default 1000; published: 3000)")
    one.add_argument("--rate", type=float, default=1e-3, metavar="R", help="learning rate (default 0.001)")
    one.add_argument(
        "--layer", metavar="NAME", help="default: the last map; pooled, the number of a map, or a module's dotted name"
    )
    common(one, "without the encoders' own input normalisation, and one step more", batch=None)
    one = questions.add_parser("perceptual", help="how far the reconstructions of inversion are from their originals")
    one.add_argument("--out", required=True, metavar="OUT", help="folder of the study, where inversion was asked")
    one.add_argument("--net", nargs="+", choices=("alex", "vgg", "squeeze"), help="of LPIPS (default: all, if there)")
    one.add_argument("--by", nargs="+", default=[], metavar="ENCODER", help="compare by features of these: not LPIPS")
    one.add_argument("--device", default="cpu", help="cpu, cuda, … (default cpu)")
    always(one)
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
    from medgenesis.report.text import figure_text
    from medgenesis.transfer.questions import analyses as asking

    if args.question == "perceptual":
        return _perceptual(args)
    encoders, rows = opened(args), []
    options: dict[str, Any] = {"intensity": args.intensity}
    if args.question != "inversion":
        options["batch_size"] = args.batch_size
    if args.question not in ("cka", "inversion"):
        options["seed"] = args.seed
    own = {"saliency": ("images", "window", "stride", "compat"), "invariance": ("changes", "images", "compat")}
    own["multiview"] = ("pairs", "compat")
    options |= {name: getattr(args, name) for name in own.get(args.question, ())}
    for study_set in checked_sets(args, False, encoders):
        if args.question == "cka":
            rows += [
                {"dataset": study_set.name, **row} for row in asking.ask_cka(encoders, study_set, args.out, **options)
            ]
            continue
        if args.question == "inversion":
            rows += _inversion(args, encoders, study_set, options)
            continue
        ask = {"saliency": asking.ask_saliency, "invariance": asking.ask_invariance, "multiview": asking.ask_multiview}
        for encoder in encoders:
            figures = ask[args.question](encoder, study_set, args.out, **options)
            cells = {name: figure_text(figure) for name, figure in figures.items()}
            rows.append({"dataset": study_set.name, "encoder": encoder.name, **cells})
    return text_table(list(rows[0]), [list(row.values()) for row in rows]) + f"\n\nwritten: {args.out}"


def _inversion(args: argparse.Namespace, encoders: list, study_set: Any, options: dict[str, Any]) -> list[dict]:
    from medgenesis.report.text import figure_text
    from medgenesis.transfer.analyses.inversion import Inversion
    from medgenesis.transfer.questions.inversion import ask_inversion

    settings = Inversion(args.steps, args.rate, args.layer, args.seed, args.compat)
    rows = []
    for encoder in encoders:
        figures = ask_inversion(encoder, study_set, settings, args.out, images=args.images, **options)
        cells = {name: figure_text(figure) for name, figure in figures.items()}
        rows.append({"dataset": study_set.name, "encoder": encoder.name, **cells})
    return rows


def _perceptual(args: argparse.Namespace) -> str:
    import logging

    from medgenesis.cli.configs.asked import record_asked
    from medgenesis.report import text_table
    from medgenesis.report.text import figure_text
    from medgenesis.transfer.analyses.perceptual import LPIPS_NETS, lpips_is_installed
    from medgenesis.transfer.named_encoder import open_encoder
    from medgenesis.transfer.questions.perceptual import ask_perceptual

    named, nets = list(args.by), list(args.net or ())
    if not nets and not named:
        nets = list(LPIPS_NETS) if lpips_is_installed() else []
        named = [] if nets else ["random:resnet18"]
        if named:
            logging.getLogger(__name__).warning(
                "lpips is not installed: compared are the features of an untrained ResNet-18, which is not LPIPS"
            )
    by = [open_encoder(one, device=args.device) for one in named]
    results = ask_perceptual(args.out, nets=nets, by=by, device=args.device)
    record_asked(args.out, args)
    measures = list(dict.fromkeys(name for one in results for name in one["figures"]))
    rows = [
        [
            one["dataset"]["dataset"],
            one["encoder"]["name"],
            *(figure_text(one["figures"][name]) if name in one["figures"] else "" for name in measures),
        ]
        for one in results
    ]
    return text_table(["dataset", "encoder", *measures], rows) + f"\n\nwritten: {args.out}"
