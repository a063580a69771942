"""Write computed chest CTs with their label maps, X-rays and a datalist: data for trying everything, no download."""

import argparse
from pathlib import Path

HELP = "write computed chest CTs and X-rays with label maps and datalists"
EXAMPLE = "medgenesis phantom data --subjects 20"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "out", metavar="OUT", help="folder to write: new, empty, or written before with the same settings"
    )
    parser.add_argument("--subjects", type=int, default=10, metavar="N", help="how many thoraces (default 10)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="names the population (default 0)")
    parser.add_argument(
        "--shape",
        type=int,
        nargs=3,
        default=(128, 128, 128),
        metavar=("X", "Y", "Z"),
        help="voxels (default 128 128 128)",
    )
    parser.add_argument("--dicom", action="store_true", help="also write a DICOM series a subject")
    parser.add_argument("--overwrite", action="store_true", help="replace what other settings wrote there")


def run(args: argparse.Namespace) -> Path:
    """Write the folder and return its datalist."""
    from medgenesis.datasets.phantom import write_phantoms

    return write_phantoms(
        args.out, args.subjects, args.seed, shape=args.shape, dicom=args.dicom, overwrite=args.overwrite
    ).resolve()
