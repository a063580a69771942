"""Look at what a list will teach, before hours are spent: every scan is read once, and what is wrong is listed.

A table goes to standard output; a page with a contact sheet, and records.csv, into the folder --out. The page names
records by section and number alone. Exit status: 0, all records can be used; 1, some cannot, a scan or a patient is in
two sections, or names of segments disagree; 2, the list or an argument is wrong.
"""

import argparse
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medgenesis.errors import DatalistError

HELP = "look at what a list will teach: scans, labels, duplicates, files that cannot be read"
EXAMPLE = "medgenesis check my_ct.json --out my_ct_check"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("list", metavar="LIST.json", help="the list to check")
    parser.add_argument(
        "--out", metavar="OUT", help="folder that receives check.html and records.csv (default: LIST_check)"
    )
    parser.add_argument("--bundle", metavar="BUNDLE", help="check what its tasks will do: its name, or a copy's folder")
    parser.add_argument("--task", default="pretrain", metavar="TASK", help="of the bundle (default pretrain)")
    parser.add_argument("--overlay", action="append", default=[], metavar="OVERLAY", help="of the bundle: quick, …")
    settings = parser.add_argument_group(
        "settings, as a bundle's settings.yaml has them; each goes before the bundle's"
    )
    settings.add_argument(
        "--intensity", metavar="PRESET", help="ct, mri, mri_percentile, xray, unit (default: of LIST)"
    )
    settings.add_argument("--spacing-mm", type=float, nargs="+", metavar="MM", help="one number, or one an axis")
    settings.add_argument("--cube-size", type=int, nargs="+", metavar="N", help="also draw cubes of this size")
    settings.add_argument("--crop-criterion", metavar="NAME", help="which cubes count: lung, foreground, any")
    settings.add_argument("--label-merge", nargs="+", metavar="N=SOURCES", help="1=10-14, … (default: of LIST)")
    parser.add_argument(
        "--drawn", type=int, default=24, metavar="N", help="records a section in the contact sheet (24)"
    )
    parser.add_argument("--num-workers", type=int, metavar="N", help="processes that read (default: up to 4)")


def run(args: argparse.Namespace) -> tuple[str, int]:
    """Check the list; return the tables as text, and the exit status."""
    from medgenesis.cli.checking import all_tables, find, write_page, write_records
    from medgenesis.report import text_table

    folder = Path(args.out or f"{Path(args.list).stem}_check")
    workers = min(4, os.cpu_count() or 1) if args.num_workers is None else args.num_workers
    found = find(args.list, _settings(args), drawn=args.drawn, num_workers=workers)
    write_records(found, folder / "records.csv")
    page = write_page(found, folder / "check.html")
    said = [f"{table.caption}\n{text_table(table.headers, table.rows)}\n" for table in all_tables(found, named=True)]
    usable = f"{len(found.usable())} of {len(found.records)} records can be used ({found.settings.in_words()})"
    status = 0 if found.all_right else 1
    return "\n".join([f"{args.list}: {usable}", "", *said, f"written: {page}, {folder / 'records.csv'}"]), status


def _settings(args: argparse.Namespace):
    from medgenesis.cli.checking import Settings, bundle_settings, list_settings
    from medgenesis.cli.configs import find_bundle
    from medgenesis.cli.datalist import pairs
    from medgenesis.data.datalists import datalist_header

    header = datalist_header(args.list)
    values = list_settings(header)
    if args.bundle is not None:
        of_bundle = bundle_settings(find_bundle(args.bundle), args.task, args.overlay)
        merge = of_bundle.get("label_merge") or values.get("label_merge")  # as tasks choose it
        values = {**of_bundle, "label_merge": merge}
    _check_plan(args, header, values.get("plan"))
    given = {"intensity": args.intensity, "crop_criterion": args.crop_criterion}
    given["spacing_mm"] = args.spacing_mm if args.spacing_mm is None or len(args.spacing_mm) > 1 else args.spacing_mm[0]
    given["cube_size"] = args.cube_size if args.cube_size is None or len(args.cube_size) > 1 else args.cube_size * 3
    given["label_merge"] = None if args.label_merge is None else pairs("--label-merge", args.label_merge)
    return Settings(**{**values, **{name: value for name, value in given.items() if value is not None}})


def _check_plan(args: argparse.Namespace, header: Mapping[str, Any], plan: Mapping[str, Any] | None) -> None:
    """Refuse nnU-Net's arrays without its plans, whose values fit no preset, and words that go against plans."""
    if plan is None and header.get("preprocessed"):
        raise DatalistError(
            f"{args.list}: must be checked by nnU-Net's plans, for it lists what they preprocessed "
            f"({header['preprocessed']}); found none. Give --bundle of their plans: `medgenesis nnunet plan2bundle` "
            "makes it."
        )
    for option, value in (("--intensity", args.intensity), ("--spacing-mm", args.spacing_mm)):
        if plan is not None and value is not None:
            raise ValueError(f"{option}: must be left to the plans of {args.bundle}; found {value}. Leave it out.")
