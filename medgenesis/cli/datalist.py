"""Make a datalist from a folder of scans, join lists with weights, or check that no test patient was trained on."""

import argparse
import inspect
import logging
from pathlib import Path
from typing import Any

HELP = "make, join or check the lists that name your scans"
EXAMPLE = "medgenesis datalist --images my_ct --out my_ct.json"

logger = logging.getLogger(__name__)

_FOLDER_SETTINGS = (
    *("labels", "splits", "seed", "few", "classes", "patient_pattern", "label_merge", "label_names"),
    *("modality", "name", "only", "channels", "intensity"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--images", metavar="DIR", help="make a list of the scans in this folder")
    task.add_argument(
        "--dataset",
        nargs=2,
        metavar=("NAME", "DIR"),
        help="make the list of a published data set",
    )
    task.add_argument("--datasets", action="store_true", help="tell which published data sets --dataset knows")
    task.add_argument("--join", nargs="+", metavar="LIST.json[:WEIGHT]", help="join lists, drawn in these proportions")
    task.add_argument(
        "--check",
        nargs=2,
        metavar=("PRETRAIN.json", "FINETUNE.json"),
        help="check that no test patient of the second was in the first",
    )
    parser.add_argument("--without-labels", action="store_true", help="with --join: leave the label maps out")
    parser.add_argument("--out", metavar="LIST.json", help="list to write (with --images, --dataset and --join)")
    parser.add_argument("--name", help="name of the list (default: as a dataset.json says, or the folder's)")
    folder = parser.add_argument_group("with --images")
    folder.add_argument(
        "--labels", metavar="DIR", help="label maps of the same names; scans without one are left for pre-training"
    )
    folder.add_argument("--few", type=int, metavar="K", help="keep the labels of K training patients alone")
    folder.add_argument(
        "--classes",
        nargs="*",
        metavar="FOLDER",
        help="folders name the classes: these, or the first below DIR in their order; each class is split by itself",
    )
    folder.add_argument("--only", metavar="GLOB", help="names of the scans, where other files lie beside them")
    folder.add_argument(
        "--splits",
        type=float,
        nargs=3,
        metavar=("TRAIN", "VAL", "TEST"),
        help="shares of the patients (default: as folders train, val, test say; else 0.8 0.1 0.1)",
    )
    folder.add_argument("--folds", type=int, metavar="N", help="cut training and validation into N folds by patient …")
    folder.add_argument("--fold", type=int, metavar="K", help="… of which fold K (from 0) is the validation section")
    folder.add_argument("--seed", type=int, metavar="S", help="of the split (default 0); also with --dataset")
    folder.add_argument(
        "--channels",
        choices=("join", "separate"),
        help="files CASE_0000, CASE_0001, … are one scan (default), or one each",
    )
    folder.add_argument("--patient-pattern", metavar="REGEX", help="finds the patient in a path below DIR")
    folder.add_argument("--label-merge", nargs="+", default=(), metavar="N=SOURCES", help="for example 1=10-14")
    folder.add_argument("--label-names", nargs="+", default=(), metavar="N=NAME", help="for example 1=lungs")
    folder.add_argument(
        "--modality", help="noted in the list (default: as a dataset.json or --intensity says, else CT)"
    )
    folder.add_argument("--intensity", metavar="PRESET", help="noted in each record, for lists that are mixed: xray, …")
    folder.add_argument(
        "--chestxray14",
        nargs="+",
        metavar="LIST.txt",
        help="the published lists of the images in DIR: training, validation, test; or one, to be split",
    )
    folder.add_argument("--layout", choices=("folder", "luna16"), help=argparse.SUPPRESS)  # of version 0.1


def run(args: argparse.Namespace) -> Path | None:
    """Make or join a list, and return its path; or check two, or tell which published data sets there are."""
    from medgenesis.data.datalists import read_datalist, with_channels, write_datalist
    from medgenesis.data.joined_lists import join_datalists
    from medgenesis.data.unseen import check_unseen
    from medgenesis.datasets import DATASETS

    if args.without_labels and not args.join:
        raise ValueError("--without-labels: must be given with --join; found another task. Leave it out.")
    if args.check:
        lists = [with_channels(read_datalist(path)) for path in args.check]
        compared = check_unseen(*lists, names=args.check)
        logger.info("no test patient of %s is in %s, by the keys (%s)", args.check[1], args.check[0], compared)
        return None
    if args.datasets:
        for name, dataset in sorted(DATASETS.items()):
            logger.info("%s: %s\n  DIR holds %s\n  from %s", name, dataset.title, dataset.holds, dataset.source)
        return None
    if args.out is None:
        raise ValueError("--out: must name the list to write; found none. Write --out LIST.json.")
    if args.layout == "luna16":
        logger.warning("--layout luna16 is now --dataset luna16 %s; the old name goes with medgenesis 0.3", args.images)
        args.dataset, args.images, args.layout = ("luna16", args.images), None, None
    if args.join:
        weighted = [_path_and_weight(text) for text in args.join]
        datalist = join_datalists(weighted, name=args.name or "joined", without_labels=args.without_labels)
    elif args.dataset:
        datalist = _published(args)
    else:
        datalist = _of_folder(args)
    write_datalist(_in_fold(datalist, args), args.out)
    return Path(args.out)


def _in_fold(datalist: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """The list of one fold, where folds are asked for."""
    from medgenesis.data.folds import in_fold

    if (args.folds is None) != (args.fold is None) or (args.folds is not None and args.few is not None):
        raise ValueError(
            "--folds: must be given with --fold, and without --few; found other options. Write --folds 5 --fold 0."
        )
    return datalist if args.folds is None else in_fold(datalist, args.folds, args.fold, args.seed or 0)


def _published(args: argparse.Namespace) -> dict[str, Any]:
    from medgenesis.datasets import get_dataset

    name, root = args.dataset
    dataset = get_dataset(name)
    taken = inspect.signature(dataset.datalist).parameters
    settings = _given(args, *_FOLDER_SETTINGS)
    others = [f"--{key.replace('_', '-')}" for key in settings if key not in taken]
    if others:
        raise ValueError(
            f"--dataset {name}: takes no {', '.join(others)}, as the publication decides; found it given. Leave it out."
        )
    return dataset(root, **settings)


def _of_folder(args: argparse.Namespace) -> dict[str, Any]:
    from medgenesis.data.folders import make_datalist
    from medgenesis.datasets import chestxray14_datalist

    if args.chestxray14:
        settings = _given(args, "splits", "seed", "name")
        others = [f"--{key.replace('_', '-')}" for key in _given(args, *_FOLDER_SETTINGS) if key not in settings]
        if others:
            raise ValueError(
                f"--chestxray14: takes no {', '.join(others)}, as the lists decide; found it given. Leave it out."
            )
        return chestxray14_datalist(args.chestxray14, args.images, **settings)
    settings = _given(args, *_FOLDER_SETTINGS)
    for key in ("label_merge", "label_names"):
        if key in settings:
            settings[key] = pairs(f"--{key.replace('_', '-')}", settings[key])
    return make_datalist(args.images, **settings)


def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    """The arguments of these names that were given."""
    return {name: getattr(args, name) for name in names if getattr(args, name) not in (None, ())}  # [] is given


def _path_and_weight(text: str) -> tuple[str, float]:
    path, colon, weight = text.rpartition(":")
    try:
        return (path, float(weight)) if colon else (text, 1.0)
    except ValueError:
        return text, 1.0  # a colon that belongs to the path


def pairs(option: str, texts: list[str]) -> dict[str, str]:
    """What was given as NUMBER=VALUE, by number.

    Raises:
        ValueError: something else was given.
    """
    given = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (equals and key.strip().isdigit() and value):
            raise ValueError(f"{option}: must be NUMBER=VALUE; found {text!r}. Write 1=10-14, for example.")
        given[key.strip()] = value
    return given
