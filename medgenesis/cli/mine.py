"""Discover anatomical patterns in unlabelled scans: a table of cubes with pseudo labels, images and numbers.

It runs the config mine.yaml of a bundle: index, train_autoencoder, extract_features, discover, report. Run again, it
skips finished steps and goes on with a stopped one.
"""

import argparse
from pathlib import Path

HELP = "discover anatomical patterns in unlabelled scans"
EXAMPLE = "medgenesis mine --datalist my_ct.json --out mined --classes 44"
BUNDLE = "semantic_genesis_ct"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; what they are stored as is the setting of mine.yaml."""
    sides = {"type": int, "nargs": 3, "metavar": ("X", "Y", "Z")}
    parser.add_argument(
        "--datalist", required=True, metavar="LIST.json", help="datalist with sections training and validation"
    )
    parser.add_argument("--out", required=True, dest="output_dir", metavar="OUT", help="folder for the results")
    parser.add_argument("--classes", type=int, metavar="N", help="patterns to find (default 44)")
    parser.add_argument("--train-patients", type=int, metavar="N", help="training cubes of a class (default 200)")
    parser.add_argument("--validation-patients", type=int, metavar="N", help="validation cubes of a class (default 30)")
    parser.add_argument("--cube-size", **sides, help="voxels of a cube (default 64 64 32)")
    parser.add_argument(
        "--rule",
        dest="crop_criterion",
        choices=("lung", "foreground", "any"),
        help="cubes worth a class (default foreground)",
    )
    parser.add_argument(
        "--features",
        metavar="KIND",
        help="bottleneck or unet: an auto-encoder to train; or the file of a checkpoint (default bottleneck)",
    )
    parser.add_argument("--size", dest="volume_size", **sides, help="voxels of a whole volume (default 128 128 64)")
    parser.add_argument(
        "--epochs", dest="autoencoder_epochs", type=int, metavar="N", help="of the auto-encoder (default 10000)"
    )
    parser.add_argument("--multi-resolution", action="store_true", default=None, help="also cut two other resolutions")
    parser.add_argument(
        "--coordinates", choices=("auto", "voxel", "body"), help="how places are shared by patients (default auto)"
    )
    parser.add_argument("--index", choices=("exact", "faiss"), help="how neighbours are found (default exact)")
    parser.add_argument(
        "--shard", metavar="I/N", help="2/4: read the second of four parts of the list; merge: go on when all are there"
    )
    parser.add_argument("--seed", type=int, metavar="S", help="of all draws (default 0)")
    parser.add_argument(
        "--bundle", metavar="BUNDLE", default=BUNDLE, help=f"its name, or the folder of a copy (default {BUNDLE})"
    )
    parser.add_argument("--overlay", action="append", default=[], metavar="OVERLAY", help="of the bundle: quick, …")
    parser.add_argument("--set", action="append", default=[], metavar="ID=VALUE", help="any other setting of mine.yaml")


def run(args: argparse.Namespace) -> Path:
    """What `python -m monai.bundle run --config_file <bundle>/configs/mine.yaml …` does, in this process."""
    from monai.bundle import run as run_bundle

    from medgenesis.cli.configs import find_bundle, merged_settings, parsed_settings
    from medgenesis.data.shards import shard_folder

    bundle = find_bundle(args.bundle)
    part = args.shard is not None and args.shard != "merge"
    configs = [path.absolute() for path in bundle.files("mine", [*args.overlay, *(["shard"] if part else [])])]
    ids = merged_settings(configs)
    settings = {name: value for name, value in vars(args).items() if name in ids and value is not None}
    settings |= parsed_settings(args.set, configs)
    run_bundle(config_file=[str(path) for path in configs], **settings)
    return shard_folder(args.output_dir, args.shard) / ("index.json" if part else "patterns.json")
