"""One of two gloo processes, each on a machine of its own name, that make a data set of the same volumes.

python -m helpers.two_machines RANK FOLDER, in tests/
"""

import json
import logging
import sys
import time
from pathlib import Path

import torch
from monai.transforms import Transform

from helpers.one_node import attempt, cubes
from helpers.reads import counting
from medgenesis import distributed
from medgenesis.data import ScreenedDataset
from medgenesis.data.pipeline import Preprocessing
from medgenesis.distributed import Flag


class SaysSo(Flag):
    """The flag of the machine that finds the bad volume: all know by a file when it is raised."""

    def set(self):
        super().set()
        told.touch()


class AfterTheFlag(Transform):
    """The second machine reads when the first has raised the flag."""

    def __call__(self, item):
        while rank == 1 and not told.exists():
            time.sleep(0.01)
        return item


if __name__ == "__main__":
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO)
    distributed.socket.gethostname = lambda: f"machine{rank}"
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    records = json.loads((folder / "records.json").read_text())
    results = {cache: cubes(records, folder, cache) for cache in ("disk", "compressed", "none", "memory")}
    own, told = folder / f"machine{rank}", folder / "told"
    own.mkdir()
    results["apart"] = cubes(records, own, "disk")
    results["error"] = attempt(lambda: cubes(records, folder, "disk", "stop"))
    distributed.Flag = SaysSo
    steps = Preprocessing([AfterTheFlag(), *counting(own / "read_stopped", intensity="unit").transforms])
    bad_first = sorted(records, key=lambda record: "bad" not in record["image"])
    settings = {"cache": "none", "cache_dir": folder / "stopped"}
    results["stopped"] = attempt(lambda: ScreenedDataset(bad_first, steps, **settings))
    torch.save(results, folder / f"{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
