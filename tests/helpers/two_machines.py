"""One of two gloo processes, each on a machine of its own name, that make a data set of the same volumes.

python -m helpers.two_machines RANK FOLDER, in tests/
"""

import json
import logging
import sys
from pathlib import Path

import torch

from helpers.one_node import attempt, cubes
from medgenesis import distributed

if __name__ == "__main__":
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO)
    distributed.socket.gethostname = lambda: f"machine{rank}"
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    records = json.loads((folder / "records.json").read_text())
    results = {cache: cubes(records, folder, cache) for cache in ("disk", "compressed", "none", "memory")}
    own = folder / f"machine{rank}"
    own.mkdir()
    results["apart"] = cubes(records, own, "disk")
    results["error"] = attempt(lambda: cubes(records, folder, "disk", "stop"))
    torch.save(results, folder / f"{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
