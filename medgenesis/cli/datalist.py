"""Make a datalist from a folder of scans, join lists with weights, or check that no test patient was trained on."""

import argparse
import logging

HELP = "make, join or check the lists that name your scans"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--images", metavar="DIR", help="make a list of the scans in this folder")
    task.add_argument("--join", nargs="+", metavar="LIST.json[:WEIGHT]", help="join lists, drawn in these proportions")
    task.add_argument(
        "--check",
        nargs=2,
        metavar=("PRETRAIN.json", "FINETUNE.json"),
        help="check that no test patient of the second was in the first",
    )
    parser.add_argument("--out", metavar="LIST.json", help="list to write (with --images and --join)")
    parser.add_argument("--name", help="name of the list (default: the folder's)")
    folder = parser.add_argument_group("with --images")
    folder.add_argument("--labels", metavar="DIR", help="label maps of the same names")
    folder.add_argument(
        "--only", default="*", metavar="GLOB", help="names of the scans, where other files lie beside them"
    )
    folder.add_argument(
        "--splits",
        type=float,
        nargs=3,
        default=(0.8, 0.1, 0.1),
        metavar=("TRAIN", "VAL", "TEST"),
        help="shares of the patients (default 0.8 0.1 0.1)",
    )
    folder.add_argument("--seed", type=int, default=0, help="of the split (default 0)")
    folder.add_argument("--patient-pattern", metavar="REGEX", help="finds the patient in a path below DIR")
    folder.add_argument("--label-merge", nargs="+", default=(), metavar="N=SOURCES", help="for example 1=10-14")
    folder.add_argument("--label-names", nargs="+", default=(), metavar="N=NAME", help="for example 1=lungs")
    folder.add_argument("--modality", default="CT", help="noted in the list (default CT)")
    folder.add_argument(
        "--intensity", metavar="PRESET", help="noted in each record, for lists that are mixed: xray, for example"
    )
    folder.add_argument(
        "--chestxray14",
        nargs="+",
        metavar="LIST.txt",
        help="the published lists of the images in DIR: training, validation, test; or one, to be split",
    )
    folder.add_argument(
        "--layout", choices=("folder", "luna16"), default="folder", help="luna16: the published folds decide the split"
    )


def run(args: argparse.Namespace) -> None:
    """Make, join or check."""
    from medgenesis.data.datalists import join_datalists, read_datalist, write_datalist
    from medgenesis.data.folders import make_datalist
    from medgenesis.data.splits import check_disjoint
    from medgenesis.datasets.chestxray14 import chestxray14_datalist

    if args.check:
        check_disjoint(*(read_datalist(path) for path in args.check))
        logger.info("no test patient of %s is in %s", args.check[1], args.check[0])
        return
    if args.out is None:
        raise ValueError("--out is needed: the list to write")
    if args.join:
        datalist = join_datalists([_path_and_weight(text) for text in args.join], name=args.name or "joined")
    elif args.chestxray14:
        if args.labels or args.patient_pattern or args.layout != "folder":
            raise ValueError("--chestxray14 takes no --labels, --patient-pattern or --layout: the lists say it all")
        name = {} if args.name is None else {"name": args.name}
        datalist = chestxray14_datalist(args.chestxray14, args.images, splits=args.splits, seed=args.seed, **name)
    else:
        datalist = make_datalist(
            args.images,
            args.labels,
            splits=args.splits,
            seed=args.seed,
            patient_pattern=args.patient_pattern,
            label_merge=_pairs(args.label_merge),
            label_names=_pairs(args.label_names),
            modality=args.modality,
            name=args.name,
            layout=args.layout,
            only=args.only,
            intensity=args.intensity,
        )
    write_datalist(datalist, args.out)
    logger.info("wrote %s", args.out)


def _path_and_weight(text: str) -> tuple[str, float]:
    path, colon, weight = text.rpartition(":")
    try:
        return (path, float(weight)) if colon else (text, 1.0)
    except ValueError:
        return text, 1.0  # a colon that belongs to the path


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (equals and key.strip().isdigit() and value):
            raise ValueError(f"{text!r}: write NUMBER=VALUE, 1=10-14 for example")
        pairs[key.strip()] = value
    return pairs
