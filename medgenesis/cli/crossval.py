"""Cross-validate a fine-tuning or a classifier by patient, with intervals; a stopped one continues."""

import argparse
import logging
from pathlib import Path

HELP = "cross-validate a fine-tuning or a classifier by patient"
EXAMPLE = "medgenesis crossval --bundle my_model --datalist my_labels.json --out folds --folds 5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--bundle", required=True, metavar="BUNDLE", help="its name, or the folder of a copy")
    parser.add_argument(
        "--datalist", required=True, metavar="LIST.json", help="its training and validation sections are cut into folds"
    )
    parser.add_argument("--out", required=True, metavar="OUT", help="folder for the tables, the report and the runs")
    parser.add_argument("--task", choices=("finetune", "classify"), default="finetune", help="default: finetune")
    parser.add_argument(
        "--init", metavar="FILE", help="checkpoint, NAME of one (default: models/pretrained.pt), or scratch"
    )
    parser.add_argument("--folds", type=int, default=5, metavar="N", help="number of folds (default 5)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the folds and the trainings (default 0)")
    parser.add_argument("--overlay", action="append", default=[], metavar="OVERLAY", help="of the bundle: quick, …")
    parser.add_argument("--set", action="append", default=[], metavar="ID=VALUE", help="a setting of the task")


def run(args: argparse.Namespace) -> str:
    """Cross-validate, and return the summary."""
    from medgenesis.cli.configs import find_bundle, parsed_settings
    from medgenesis.cli.configs.asked import record_asked
    from medgenesis.storage.run_folder import hold_folder
    from medgenesis.transfer import cross_validate
    from medgenesis.weights.named import check_weights

    logging.getLogger("ignite").setLevel(logging.WARNING)  # as the bundles' own logging.conf
    bundle = find_bundle(args.bundle)
    configs = bundle.files(args.task, args.overlay)
    pretrained = bundle.results / "models" / "pretrained.pt"
    init = check_weights("--init", args.init or str(pretrained))
    overrides = parsed_settings(args.set, configs)
    if init == "scratch" and pretrained.is_file():  # the same network, of the same volumes: the weights alone differ
        overrides = {"settings_from": str(pretrained.absolute()), **overrides}
    hold_folder(args.out)
    record_asked(args.out, args, configs, overrides)
    return cross_validate(
        [path.absolute() for path in configs],
        args.datalist,
        args.out,
        init=init if init == "scratch" else str(Path(init).absolute()),
        task=args.task,
        folds=args.folds,
        seed=args.seed,
        overrides=overrides,
    )
