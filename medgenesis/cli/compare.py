"""Fine-tune from few labels, pre-trained against scratch, and tabulate the Dice of unseen patients."""

import argparse
import logging
from pathlib import Path

HELP = "fine-tune from few labels, pre-trained against scratch"
EXAMPLE = "medgenesis compare --bundle my_model --datalist my_labels.json --out compared --labels 3 10 40"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--bundle", required=True, metavar="BUNDLE", help="its name, or the folder of a copy")
    parser.add_argument(
        "--datalist", required=True, metavar="LIST.json", help="datalist with labelled sections training and test"
    )
    parser.add_argument(
        "--pretrained", metavar="FILE", help="checkpoint, or NAME of one (default: models/pretrained.pt)"
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="OUT",
        help="folder for the table, the report and the runs; a stopped comparison continues",
    )
    parser.add_argument("--labels", type=int, nargs="+", default=[3, 10, 40], metavar="K", help="labelled patients")
    parser.add_argument(
        "--seeds",
        type=int,
        default=5,
        metavar="N",
        help="draws of the labelled patients (default 5; five different sets of patients are the least for a verdict)",
    )
    parser.add_argument(
        "--iterations",
        type=int,
        nargs="+",
        default=[400],
        metavar="N",
        help="optimizer steps of each run (default 400); several: each a training of its own",
    )
    parser.add_argument(
        "--frozen",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="a linear classifier on the network as it is, too, each start without fine-tuning (default: yes)",
    )
    parser.add_argument("--overlay", action="append", default=[], metavar="OVERLAY", help="of the bundle: quick, …")
    parser.add_argument("--set", action="append", default=[], metavar="ID=VALUE", help="a setting of finetune.yaml")


def run(args: argparse.Namespace) -> str:
    """Compare, and return the table."""
    from medgenesis.cli.configs import find_bundle, parsed_settings
    from medgenesis.cli.configs.asked import record_asked
    from medgenesis.storage.run_folder import hold_folder
    from medgenesis.transfer import compare_few_labels
    from medgenesis.weights.named import check_weights

    logging.getLogger("ignite").setLevel(logging.WARNING)  # as the bundles' own logging.conf
    bundle = find_bundle(args.bundle)
    configs = bundle.files("finetune", args.overlay)
    if args.pretrained == "scratch":
        raise ValueError(
            "--pretrained: must be weights; found 'scratch', which they are compared with anyway. Give a file, or a "
            "name of `medgenesis weights list`."
        )
    pretrained = check_weights("--pretrained", args.pretrained or bundle.results / "models" / "pretrained.pt")
    overrides = parsed_settings(args.set, configs)
    hold_folder(args.out)
    record_asked(args.out, args, configs, overrides)
    return compare_few_labels(
        [path.absolute() for path in configs],
        args.datalist,
        {"pre-trained": str(Path(pretrained).absolute()), "scratch": "scratch"},
        args.out,
        counts=args.labels,
        seeds=range(args.seeds),
        iterations=args.iterations,
        frozen=args.frozen,
        overrides=overrides,
    )
