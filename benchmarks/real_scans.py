"""The path on real scans (`MEDGENESIS_DATA`, default ../shared/data): the tables of the README.

    python benchmarks/real_scans.py hippocampus OUT     few labels, pre-trained against scratch (MR, human labels)
    python benchmarks/real_scans.py ct OUT              pre-train on all CT together, segment the lungs of a chest CT

A stopped run continues. Each step is what `python -m monai.bundle run` and `medgenesis compare` do with the bundle
models_genesis_ct; the settings that differ from it stand below.
"""

import argparse
import logging
import os
from pathlib import Path

import numpy as np
from monai.bundle import run as run_bundle
from scipy import ndimage

from medgenesis import bundles
from medgenesis.data import join_datalists, make_datalist, preprocessing, write_datalist
from medgenesis.data.phantom import write_phantoms
from medgenesis.transfer import compare_few_labels

DATA = Path(os.environ.get("MEDGENESIS_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
logger = logging.getLogger("real_scans")

HIPPOCAMPUS = {
    "intensity": "mri_percentile",
    "cube_size": [32, 40, 32],
    "num_classes": 3,
    "label_merge": None,
    "width": 8,
    "num_workers": 0,
}


def hippocampus(out: Path, args: argparse.Namespace) -> None:
    """Pre-train on the MR crops of the training patients without their labels, then fine-tune from k labels."""
    bundle = _bundle(out)
    datalist = out / "hippocampus.json"
    folder = DATA / "mr_hippocampus"
    write_datalist(make_datalist(folder / "images", folder / "labels", splits=(0.6, 0.1, 0.3), modality="MR"), datalist)
    settings = {k: v for k, v in HIPPOCAMPUS.items() if k not in ("num_classes", "label_merge")}
    _pretrain(bundle, datalist, epochs=args.epochs, cube_rule="any", cubes_per_volume=1, batch_size=4, **settings)
    table = compare_few_labels(
        [bundle / "configs" / "finetune.yaml"],
        datalist,
        {"pre-trained": str(bundle / "models" / "pretrained.pt"), "scratch": "scratch"},
        out / "compare",
        counts=args.labels,
        seeds=range(args.seeds),
        iterations=args.iterations,
        overrides={**HIPPOCAMPUS, "crops_per_volume": 1, "validate#inferer#roi_size": [40, 56, 40]},
    )
    print(table)


def ct(out: Path, args: argparse.Namespace) -> None:
    """Pre-train on the torso CT (NIfTI and DICOM) and the nodule crops, fine-tune on phantoms, segment the chest CT.

    The chest CT is tested on and therefore not pre-trained on; `pretraining` in the tests takes all four together.
    """
    bundle = _bundle(out)
    lists = ct_datalists(out, with_chest=False)
    joined = out / "ct.json"
    write_datalist(join_datalists([(path, weight) for path, weight in lists]), joined)
    _pretrain(bundle, joined, epochs=args.epochs, cube_rule="any", cubes_per_volume=1, on_error="skip", **_QUICK)
    labelled = write_phantoms(out / "phantoms", 5, seed=1, shape=(96, 96, 96), split=(0.8, 0.2, 0.0))
    run_bundle(
        config_file=[str(bundle / "configs" / f"{name}.yaml") for name in ("finetune", "quick")],
        bundle_root=str(bundle),
        datalist=str(labelled),
        spacing_mm=[4.0, 4.0, 4.0],
        label_merge={"1": "1-2,7"},
        num_classes=2,
    )
    chest = DATA / "ct_chest_cip"
    run_bundle(
        config_file=[str(bundle / "configs" / f"{name}.yaml") for name in ("inference", "quick")],
        bundle_root=str(bundle),
        output_dir=str(out / "label_maps"),
        spacing_mm=[4.0, 4.0, 4.0],
        num_classes=2,
        **{"dataset#data": [{"image": str(chest / "ct-64.nrrd")}]},
    )
    steps = preprocessing(("image",), ("label", "found"), intensity=None)
    item = steps(
        {
            "image": str(chest / "ct-64.nrrd"),
            "label": str(chest / "wholeLung-64.nrrd"),
            "found": str(out / "label_maps" / "ct-64_seg.nii.gz"),
        }
    )
    image, truth, found = (np.asarray(item[key][0]) for key in ("image", "label", "found"))
    answers = {
        "pre-trained on torso CT and nodule crops, fine-tuned on 4 phantoms": found > 0,
        "the same without components at the border": inner_components(found > 0),
        "threshold -400 HU without components at the border": inner_components(image < -400),
    }
    print("| lungs of ct_chest_cip (1 patient) | Dice |\n|---|---|")
    for name, answer in answers.items():
        print(f"| {name} | {_dice(answer, truth > 0):.3f} |")


_QUICK = {"cube_size": [32, 32, 16], "width": 8, "batch_size": 8, "num_workers": 0}


def ct_datalists(out: Path, with_chest: bool) -> list[tuple[Path, float]]:
    """Lists and weights of the CT of the data folder: torso (NIfTI and the DICOM series), nodule crops, chest."""
    torso = DATA / "ct_torso_totalsegmentator"
    files = [torso / name for name in ("example_ct.nii.gz", "aorta_ct_cropped.nii.gz", "example_ct_dicom")]
    records = [{"image": str(path), "patient": path.name.split(".")[0]} for path in files]
    write_datalist({"name": "torso", "training": records, "validation": [], "test": []}, out / "torso.json")
    nodules = make_datalist(DATA / "ct_lidc_nodules" / "images", splits=(0.9, 0.1, 0.0))
    write_datalist(nodules, out / "nodules.json")
    lists = [(out / "torso.json", 1.0), (out / "nodules.json", 1.0)]
    if with_chest:
        chest = [{"image": str(DATA / "ct_chest_cip" / "ct-64.nrrd"), "patient": "ct-64"}]
        write_datalist({"name": "chest", "training": chest, "validation": [], "test": []}, out / "chest.json")
        lists.append((out / "chest.json", 1.0))
    return lists


def inner_components(mask: np.ndarray) -> np.ndarray:
    """The mask without the components that touch a side of the volume (air around the patient)."""
    components, _ = ndimage.label(mask)
    border = np.concatenate([components[[0, -1]].ravel(), components[:, [0, -1]].ravel()])
    return (components > 0) & ~np.isin(components, np.unique(border))


def _bundle(out: Path) -> Path:
    folder = out / "bundle"
    if not folder.exists():
        bundles.copy("models_genesis_ct", folder)
    return folder


def _pretrain(bundle: Path, datalist: Path, epochs: int, **settings) -> None:
    run_bundle(
        config_file=str(bundle / "configs" / "pretrain.yaml"),
        bundle_root=str(bundle),
        datalist=str(datalist),
        cache="memory",
        pretrain_epochs=epochs,
        **settings,
    )


def _dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("hippocampus", "ct"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=10, help="of pre-training")
    parser.add_argument("--labels", type=int, nargs="+", default=[3, 10, 40])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=200, help="of each fine-tuning")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args.out.mkdir(parents=True, exist_ok=True)
    {"hippocampus": hippocampus, "ct": ct}[args.what](args.out.absolute(), args)


if __name__ == "__main__":
    main()
