"""The programme of PROTOCOL.md: run what is missing, say what is there, make tables of it.

python -m benchmarks.evidence run [--set hippocampus] [--minutes 60]      goes on where it was stopped
python -m benchmarks.evidence run --set mouse --method position scratch   these alone; others may run beside
python -m benchmarks.evidence run --size full --device cuda               networks and grids of full size
python -m benchmarks.evidence status                                      how many cells of how many
python -m benchmarks.evidence tabulate                                    tables, figures, docs/evidence.md, README
"""

import argparse
import logging
from pathlib import Path

import torch

from benchmarks.evidence.found import read_found
from benchmarks.evidence.page import counted, write_page
from benchmarks.evidence.programme import Deadline, Programme
from benchmarks.evidence.protocol import METHODS
from benchmarks.evidence.readme import write_readme
from benchmarks.evidence.rows import FOLDER
from benchmarks.evidence.sets import read_set, registry
from benchmarks.evidence.size import SIZES, SMALL

WORK = Path(__file__).parent / "work"


def main(arguments: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("run", "status", "tabulate"))
    parser.add_argument("--set", choices=list(registry()), nargs="+", default=list(registry()), dest="sets")
    parser.add_argument(
        "--method",
        choices=METHODS,
        nargs="+",
        dest="methods",
        metavar="METHOD",
        help="whose cells are run, each by one process (all)",
    )
    parser.add_argument("--size", choices=SIZES, default=SMALL.name, help="of networks and grids; full takes a GPU")
    parser.add_argument("--device", default="cpu", help="cuda, for example; figures then differ a little between runs")
    parser.add_argument("--minutes", type=float, default=None, help="after which nothing new begins")
    parser.add_argument("--work", type=Path, default=WORK, help="folder for weights and cached images")
    parser.add_argument("--rows", type=Path, help="folder of the rows (default: that of the size)")
    args = parser.parse_args(arguments)
    size = SIZES[args.size]
    rows = args.rows or (FOLDER if size == SMALL else FOLDER / size.name)
    work = args.work if size == SMALL else args.work / size.name
    if size == SMALL and args.device != "cpu":
        parser.error(f"--device: must be cpu at the small size, whose rows are of processors; found {args.device}.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("ignite").setLevel(logging.CRITICAL)
    torch.set_num_threads(1)  # one order of sums: rows are the same on any number of cores
    if args.what == "tabulate":
        written = [write_page(rows), write_readme(rows)] if size == SMALL else [write_page(rows, rows, size)]
        logging.info("written: %s", ", ".join(map(str, written)))
        return
    if args.what == "status":
        for found in read_found(rows):
            logging.info("%s: %d of %d cells", found.dataset, *counted(found))
        return
    deadline = Deadline(args.minutes)
    for name in args.sets:
        study = read_set(name, work, size, args.device)
        Programme(study, work, rows, deadline, args.methods).run()


if __name__ == "__main__":
    main()
