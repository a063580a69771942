"""The path on real scans (`MEDGENESIS_DATA`, default ../shared/data): the tables of the README.

    python benchmarks/real_scans.py hippocampus OUT     few labels, pre-trained against scratch (MR, human labels)
    python benchmarks/real_scans.py patterns OUT        the same from discovered patterns (Semantic Genesis); retrieval
    python benchmarks/real_scans.py ct OUT              pre-train on all CT together, segment the lungs of a chest CT

A stopped run continues. Each step is what `python -m monai.bundle run` and `medgenesis compare` do with the bundle
models_genesis_ct or semantic_genesis_ct; the settings that differ from it stand below.
"""

import argparse
import logging
import os
from pathlib import Path

import nibabel as nib
import numpy as np
from monai.bundle import run as run_bundle
from retrieval import anatomy, retrieval
from scipy import ndimage

from medgenesis import bundles
from medgenesis.data import join_datalists, load_datalist, make_datalist, preprocessing, write_datalist
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.losses import hard_dice
from medgenesis.mining import VolumeFeatures
from medgenesis.transfer import compare_few_labels

DATA = Path(os.environ.get("MEDGENESIS_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
logger = logging.getLogger("real_scans")

MR = {"intensity": "mri_percentile", "width": 8, "num_workers": 0}
HIPPOCAMPUS = {"cube_size": [32, 40, 32], "num_classes": 3, "label_merge": None}
PATTERNS = {
    "classes": 12,
    "train_patients": 60,
    "validation_patients": 15,
    "cube_size": [24, 24, 24],
    "crop_criterion": "any",
    "volume_size": [16, 24, 16],
    "autoencoder_epochs": 15,
}


def hippocampus(out: Path, args: argparse.Namespace) -> None:
    """Pre-train on the MR crops of the training patients without their labels, then fine-tune from k labels."""
    bundle, datalist = _bundle("models_genesis_ct", out), _hippocampus_list(out)
    cubes = {"crop_criterion": "any", "patches_per_image": 1, "cube_size": HIPPOCAMPUS["cube_size"]}
    _pretrain(bundle, args.epochs, datalist=str(datalist), batch_size=4, **cubes, **MR)
    _compare(bundle, datalist, out, args)


def patterns(out: Path, args: argparse.Namespace) -> None:
    """Discover patterns in the MR crops, learn from them, then fine-tune from k labels: Semantic Genesis.

    Patterns are mined with both auto-encoders. Of each the retrieval is printed: whether the nearest patients by
    feature have a like hippocampus (volume and extents of its parts, which nothing was told of).
    """
    bundle, datalist = _bundle("semantic_genesis_ct", out), _hippocampus_list(out)
    labels = {r["patient"]: r["label"] for s in ("training", "validation") for r in load_datalist(datalist, s)}
    scores = {}
    for kind in ("bottleneck", "unet"):
        run_bundle(
            config_file=str(bundle / "configs" / "mine.yaml"),
            bundle_root=str(bundle),
            datalist=str(datalist),
            output_dir=str(out / f"mined_{kind}"),
            features=kind,
            cache="memory",
            **PATTERNS,
            **MR,
        )
        found = VolumeFeatures.load(out / f"mined_{kind}" / "features.npz")
        truth = [anatomy(np.asarray(nib.load(labels[volume.patient]).dataobj), (1, 2)) for volume in found.volumes]
        scores[kind] = retrieval(found.vectors, np.stack(truth), k=10)
    table = str(out / "mined_unet" / "patterns.json")
    _pretrain(bundle, args.epochs, patterns=table, batch_size=16, **MR)
    _compare(bundle, datalist, out, args)
    print(f"| {len(labels)} MR crops: features | retrieval of 10 nearest | random features, 95 % |\n|---|---|---|")
    for kind, (score, low, high) in scores.items():
        print(f"| {kind} | {score:.2f} | {low:.2f} to {high:.2f} |")


def _hippocampus_list(out: Path) -> Path:
    folder, datalist = DATA / "mr_hippocampus", out / "hippocampus.json"
    write_datalist(make_datalist(folder / "images", folder / "labels", splits=(0.6, 0.1, 0.3), modality="MR"), datalist)
    return datalist


def _compare(bundle: Path, datalist: Path, out: Path, args: argparse.Namespace) -> None:
    """Print the Dice of fine-tuning from k labels, pre-trained and from scratch."""
    table = compare_few_labels(
        [bundle / "configs" / "finetune.yaml"],
        datalist,
        {"pre-trained": str(bundle / "models" / "pretrained.pt"), "scratch": "scratch"},
        out / "compare",
        counts=args.labels,
        seeds=range(args.seeds),
        iterations=args.iterations,
        overrides={**HIPPOCAMPUS, **MR, "crops_per_volume": 1, "validate#inferer#roi_size": [40, 56, 40]},
    )
    print(table)


def ct(out: Path, args: argparse.Namespace) -> None:
    """Pre-train on the torso CT (NIfTI and DICOM) and the nodule crops, fine-tune on phantoms, segment the chest CT.

    The chest CT is tested on and therefore not pre-trained on; `pretraining` in the tests takes all four together.
    """
    bundle = _bundle("models_genesis_ct", out)
    lists = ct_datalists(out, with_chest=False)
    joined = out / "ct.json"
    write_datalist(join_datalists([(path, weight) for path, weight in lists]), joined)
    cubes = {"crop_criterion": "any", "patches_per_image": 1, "on_error": "skip"}
    _pretrain(bundle, args.epochs, datalist=str(joined), **cubes, **_QUICK)
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
        print(f"| {name} | {hard_dice(answer, truth > 0):.3f} |")


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


def _bundle(name: str, out: Path) -> Path:
    folder = out / "bundle"
    if not folder.exists():
        bundles.copy(name, folder)
    return folder


def _pretrain(bundle: Path, epochs: int, **settings) -> None:
    run_bundle(
        config_file=str(bundle / "configs" / "pretrain.yaml"),
        bundle_root=str(bundle),
        cache="memory",
        pretrain_epochs=epochs,
        **settings,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("hippocampus", "patterns", "ct"))
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=10, help="of pre-training")
    parser.add_argument("--labels", type=int, nargs="+", default=[3, 10, 40])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=200, help="of each fine-tuning")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args.out.mkdir(parents=True, exist_ok=True)
    {"hippocampus": hippocampus, "patterns": patterns, "ct": ct}[args.what](args.out.absolute(), args)


if __name__ == "__main__":
    main()
