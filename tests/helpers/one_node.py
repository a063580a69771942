"""One of two gloo processes that make data sets of the same volumes, saved for the test.

python -m helpers.one_node RANK FOLDER, in tests/
"""

import json
import logging
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch

from helpers.reads import counting
from medgenesis.data import PatchDataset, RandAcceptedCropd, ScreenedDataset
from medgenesis.distributed import once_a_node


def cubes(records, folder, cache, on_error="skip"):
    prepare = counting(folder / f"read_{cache}", intensity="unit")
    crop = RandAcceptedCropd("image", 8, criterion="any")
    settings = {"patches_per_image": 2, "cache": cache, "cache_dir": folder / cache, "on_error": on_error}
    settings["report"] = folder / f"{cache}.csv"
    dataset = PatchDataset(records, prepare, crop, keys=("image",), num_workers=2, **settings)
    return [dataset[1, i]["image"] for i in range(len(dataset))], dataset.data


def attempt(work):
    try:
        return work()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def slow(rank, folder):
    """Work during which the other process waits for longer than its training would."""
    if rank == 0:
        time.sleep(4)
    (folder / f"worked_{rank}").touch()
    return {"by": rank}


if __name__ == "__main__":
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO)
    init = {"init_method": f"file://{folder}/store", "timeout": timedelta(seconds=2)}
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2, **init)
    records = json.loads((folder / "records.json").read_text())
    results = {cache: cubes(records, folder, cache) for cache in ("disk", "memory", "none")}
    prepare = counting(folder / "read_held", intensity="unit")
    held = ScreenedDataset(records, prepare, on_error="skip")
    results["held"] = [item["image"].as_tensor() for item in held], held.data
    results["error"] = attempt(lambda: cubes(records, folder, "disk", "stop"))
    results["other error"] = attempt(lambda: once_a_node(lambda: 1 / 0))
    results["slow"] = once_a_node(lambda: slow(rank, folder))
    torch.save(results, folder / f"{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
