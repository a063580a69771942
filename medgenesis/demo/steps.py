"""The steps of the demonstration, each a command of the bundle."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from monai.bundle import run as run_bundle

from medgenesis import bundles
from medgenesis.data import load_datalist, make_datalist, preprocessing, screen_volumes, write_datalist
from medgenesis.data.splits import split_patients
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.demo.layout import ORGANS, SPACING_MM, Demo
from medgenesis.demo.report import write_report
from medgenesis.losses import hard_dice
from medgenesis.storage.atomic import write_text
from medgenesis.storage.fingerprints import file_fingerprint
from medgenesis.storage.steps import Step, Steps

logger = logging.getLogger(__name__)

SHAPE = (96, 96, 96)
SUBJECTS = 16
SPLIT = (0.5, 0.125, 0.375)  # 8 to learn from, 2 to validate on, 6 never seen
LABELLED = 3  # of the training subjects; a fourth chooses the checkpoint


def run_demo(folder: str | Path, scans: str | Path | None = None, method: str = "models_genesis_ct") -> Path:
    """Run the demonstration and return the path of its `report.html`.

    Args:
        folder: receives everything: new, empty, or of an earlier demonstration; one that was stopped in pre-training
            continues it there.
        scans: a folder of CT to pre-train on; None takes the phantoms. Fine-tuning is on the phantoms either way.
        method: the bundle to show: models_genesis_ct, masked_autoencoder_ct, or one that discovers patterns first,
            semantic_genesis_ct or transvw_ct.

    Raises:
        VolumeError, DatalistError: the scans cannot be used.
        ValueError: the folder holds other files, or a demonstration of another method or version.
    """
    demo = Demo(Path(folder).absolute(), method)
    _take_bundle(demo)
    logging.getLogger("ignite").setLevel(logging.WARNING)
    if scans is not None:  # first, so that an error does not wait for the phantoms
        _timed(demo, "reading the scans", lambda demo: _list_scans(demo, scans))
    for name, step in {
        "phantoms": _make_phantoms,
        **({"discovery": _mine} if demo.discovers else {}),
        "pre-training": _pretrain,
        "fine-tuning": _finetune,
        "segmentation": _segment,
    }.items():
        _timed(demo, name, step)
    demo.dice = _measure(demo)
    return write_report(demo)


def _timed(demo: Demo, name: str, step: Callable[[Demo], None]) -> None:
    logger.info("— %s", name)
    began = time.perf_counter()
    step(demo)
    demo.seconds[name] = time.perf_counter() - began
    logger.info("— %s: %.0f s", name, demo.seconds[name])


def _take_bundle(demo: Demo) -> None:
    """Copy the bundle, unless it is there already, from this very version."""
    metadata = Path("configs", "metadata.json")
    steps = Steps(demo.folder, {"bundle": Step((f"{demo.bundle.name}/{metadata}",))})
    source = file_fingerprint(bundles.path(demo.method) / metadata)
    settings = {"method": demo.method, "metadata of the bundle (fingerprint)": source}
    if demo.folder.is_dir() and any(demo.folder.iterdir()) and steps.settings_of("bundle") is None:
        raise ValueError(
            f"folder: must be new, empty, or of an earlier demonstration; found other files, in {demo.folder}. Name "
            "another folder."
        )
    if not steps.done("bundle", settings):
        with steps.doing("bundle", settings):
            bundles.copy(demo.method, demo.bundle)


def _make_phantoms(demo: Demo) -> None:
    write_phantoms(demo.phantoms, SUBJECTS, seed=0, shape=SHAPE, split=SPLIT)
    _choose_labels(demo)


def _list_scans(demo: Demo, scans: str | Path) -> None:
    """Make the list of the scans that can be used, a fifth of the patients for validation."""
    every = make_datalist(scans, splits=(1.0, 0.0, 0.0))
    usable = screen_volumes(every["training"], preprocessing(intensity="ct"), on_error="skip")
    section_of = split_patients((record["patient"] for record in usable), (0.8, 0.2, 0.0))
    lists = {name: [r for r in usable if section_of[r["patient"]] == name] for name in ("training", "validation")}
    demo.scans = demo.folder / "scans.json"
    write_datalist({**every, **lists}, demo.scans)


def _choose_labels(demo: Demo) -> None:
    datalist = json.loads((demo.phantoms / "datalist.json").read_text())
    datalist["training"] = datalist["training"][:LABELLED]
    datalist["validation"] = datalist["validation"][:1]
    write_text(demo.few_labels_list, json.dumps(datalist, indent=1))


def _configs(demo: Demo, *names: str) -> list[str]:
    return [str(demo.bundle / "configs" / f"{name}.yaml") for name in names]


def _run(demo: Demo, *names: str, **settings) -> None:
    """What `python -m monai.bundle run --config_file …` does, in this process."""
    run_bundle(config_file=_configs(demo, *names), **settings)


def _mine(demo: Demo) -> None:
    _run(demo, "mine", "quick", spacing_mm=SPACING_MM, datalist=str(demo.pretraining_list))


def _pretrain(demo: Demo) -> None:
    source = {} if demo.discovers else {"datalist": str(demo.pretraining_list)}  # else the discovered patterns
    _run(demo, "pretrain", "quick", spacing_mm=SPACING_MM, **source)  # it comes with the weights to what follows


def _finetune(demo: Demo) -> None:
    _run(demo, "finetune", "quick", datalist=str(demo.few_labels_list))


def _segment(demo: Demo) -> None:
    _run(demo, "inference", "quick", datalist=str(demo.few_labels_list), output_dir=str(demo.label_maps))


def _measure(demo: Demo) -> np.ndarray:
    """Dice of each test subject and organ, from the files on the input's own grid."""
    rows = []
    for record in load_datalist(demo.few_labels_list, "test"):
        truth, found = nib.load(record["label"]), nib.load(demo.segmentation_of(record))
        if found.shape != truth.shape or not np.allclose(found.affine, truth.affine):
            raise RuntimeError(
                f"{demo.segmentation_of(record)}: must lie on the grid of {record['image']}; found another. Remove the "
                "demo's folder, run it again."
            )
        truth, found = np.asarray(truth.dataobj), np.asarray(found.dataobj)
        rows.append([hard_dice(found == value, np.isin(truth, own)) or 0.0 for value, (_, own) in ORGANS.items()])
    return np.array(rows)
