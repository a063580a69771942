"""The targets of the label app, measured with MONAI Label's own server and client.

    PYTHONPATH=.:tests .venv-label/bin/python benchmarks/label_targets.py [--epochs 100]

Prints, of the narrow network (overlay `quick`) on computed chests, from random weights, which is the harder start:
seconds until the server answers (target 15), of a segmentation of 128^3 voxels (10), of a training on five labels (300)
and the Dice that it reaches. Two threads. Wall and processor time, and the ratio of each to its target: on a busy
machine the processor's is what tells.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import psutil
from helpers.label_server import Server

from medgenesis.datasets.phantom import write_phantoms
from medgenesis.losses import hard_dice

LABELS = {"lungs": (1, 2, 7), "liver": (6,)}
SHAPE, LARGE = (64, 64, 64), (128, 128, 128)


def processor(pid: int) -> float:
    """Seconds of a process and of those that it has started, ended ones too."""
    found = 0.0
    for one in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
        times = one.cpu_times()
        found += times.user + times.system + times.children_user + times.children_system
    return found


def timed(name: str, target: float, server: Server, work: Callable[[], Any], began: tuple[float, float] | None = None):
    wall, busy = began or (time.monotonic(), processor(server.process.pid))
    found = work()
    wall, busy = time.monotonic() - wall, processor(server.process.pid) - busy
    print(
        f"{name}: {wall:.1f} s ({wall / target:.2f} of {target:g}), processor {busy:.1f} s ({busy / target:.2f})",
        flush=True,
    )
    return found


def drawn(folder: Path, number: int) -> Path:
    stored = nib.load(folder / "labels" / f"phantom_{number:03d}.nii.gz")
    truth = np.asarray(stored.dataobj)
    values = sum(value * np.isin(truth, own) for value, own in enumerate(LABELS.values(), start=1))
    path = folder / f"drawn_{number}.nii.gz"
    nib.save(nib.Nifti1Image(values.astype(np.uint8), stored.affine), path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=100)
    epochs = parser.parse_args().epochs
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_phantoms(root / "small", 6, seed=3, shape=SHAPE)
        write_phantoms(root / "large", 1, seed=4, shape=LARGE)
        (root / "studies").mkdir()
        for path in (root / "small" / "images").iterdir():
            path.rename(root / "studies" / path.name)
        next((root / "large" / "images").iterdir()).rename(root / "studies" / "large.nii.gz")
        began = time.monotonic()
        words = ["--weights", "scratch", "--overlay", "quick"]
        server = Server(root, "models_genesis_ct", list(LABELS), words, environ={"OMP_NUM_THREADS": "2"})
        try:
            timed("server up", 15, server, server.client.info, (began, 0.0))
            for number in range(5):
                server.client.save_label(f"phantom_{number:03d}", str(drawn(root / "small", number)), "", {})
            status = timed("five labels", 300, server, lambda: server.train(max_epochs=epochs))
            if status["status"] != "DONE":
                raise RuntimeError("\n".join(status["details"]))
            path, _ = timed("128^3", 10, server, lambda: server.infer("large", result_extension=".nii.gz"))
            for name, number, file in (("64^3", 5, None), ("128^3", 0, path)):
                of = root / ("large" if file else "small")
                file = file or server.infer(f"phantom_{number:03d}", result_extension=".nii.gz")[0]
                found, truth = (np.asarray(nib.load(one).dataobj) for one in (file, drawn(of, number)))
                dice = [hard_dice(found == value, truth == value) for value in range(1, 1 + len(LABELS))]
                said = ", ".join(f"{label} {one:.3f}" for label, one in zip(LABELS, dice, strict=True))
                print(f"Dice of {name}: {said}")
        finally:
            server.kill()


if __name__ == "__main__":
    main()
