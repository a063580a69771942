"""caid_cxr and adam_cxr on real chest X-rays, and on slabs of real CT and MR: short, to see that the path holds."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest
import torch

from medgenesis.data import make_datalist, write_datalist

TINY = {"backbone": "resnet18", "size": 96, "queue_size": 16, "pretrain_epochs": 1, "finetune_epochs": 1}


@pytest.fixture
def xrays(real_data, tmp_path):
    """Six X-rays of 1024 x 1024, some with four colours; those of pneumonia against the others."""
    files = [sorted(folder.glob("*.png"))[:4] for folder in sorted((real_data / "cxr_nih").iterdir())[:2]]
    records = [
        {"image": str(file), "patient": file.stem.partition("_")[0], "classes": [label, 1 - label]}
        for label, group in enumerate(files)
        for file in group
    ]
    sections = {"training": records[::2], "validation": records[1::2]}
    (tmp_path / "xrays.json").write_text(json.dumps(sections))
    return tmp_path / "xrays.json"


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "settings"),
    [pytest.param("caid_cxr", {}, marks=SLOW), ("adam_cxr", {"level": 4, "init": "scratch"})],
)
def test_chest_xrays(copied, xrays, tmp_path, name, settings):
    """Published X-rays are cut to cells of level 4, restored, classified and embedded as they are."""
    bundle = copied(name, tmp_path / name)
    common = {**TINY, "datalist": str(xrays)}
    bundle.run("pretrain", **common, **settings)
    with (bundle.root / "runs" / "pretrain" / "acceptance_training.csv").open() as file:
        shapes = {row["shape"] for row in csv.DictReader(file)}
    assert shapes == ({"512x512"} if name == "caid_cxr" else {"1024x1024"})
    bundle.run("classify", **common, num_classes=2)
    assert torch.load(bundle.root / "models" / "classifier.pt", weights_only=True)
    bundle.run("embed", kind=None, **common, output_dir=str(tmp_path))
    assert len((tmp_path / "embeddings.csv").read_text().splitlines()) == 1 + 4


@SLOW
def test_slabs_of_the_hippocampus(copied, real_data, tmp_path):
    """Two parts of it, slice by slice; the label map of a scan lies on the scan."""
    folder = real_data / "mr_hippocampus"
    datalist = make_datalist(folder / "images", folder / "labels", splits=(0.6, 0.1, 0.3), modality="MR")
    write_datalist({k: v[:3] if isinstance(v, list) else v for k, v in datalist.items()}, tmp_path / "mr.json")
    bundle = copied("adam_cxr", tmp_path / "adam_cxr")
    common = {**TINY, "size": 64, "datalist": str(tmp_path / "mr.json"), "intensity": "mri_percentile"}
    bundle.run(
        "pretrain", "slabs", **common, cache="memory", axis="random", slabs_per_image=2, **{"views#least_side": 16}
    )
    bundle.run("finetune", "slabs", **common, label_merge="$None", slabs_per_image=2)
    bundle.run("inference", "slabs", kind="infer", **common)
    written = sorted(bundle.root.rglob("*_seg.nii.gz"))
    for record, path in zip(sorted(datalist["test"][:3], key=lambda r: r["image"]), written, strict=True):
        scan, found = nib.load(record["image"]), nib.load(path)
        assert found.shape == scan.shape and set(np.unique(found.dataobj)) <= {0, 1, 2}
        np.testing.assert_allclose(found.affine, scan.affine, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        pytest.param("caid_cxr", {"size": 96, "axis": "random"}, marks=SLOW),
        ("adam_cxr", {"size": 64, "axis": 2, "level": 2}),
    ],
)
def test_slabs_of_ct(copied, real_data, tmp_path, name, settings):
    """Scans of two collections and formats, in slabs of five slices 5 mm apart."""
    torso = real_data / "ct_torso_totalsegmentator"
    scans = [torso / "example_ct_sm.nii.gz", real_data / "ct_chest_cip" / "ct-64.nrrd"]
    sections = {"training": scans, "validation": [torso / "aorta_ct_cropped.nii.gz"]}
    records = {name: [{"image": str(s), "patient": s.name} for s in files] for name, files in sections.items()}
    (tmp_path / "ct.json").write_text(json.dumps(records))
    bundle = copied(name, tmp_path / name)
    common = {**TINY, **settings, "datalist": str(tmp_path / "ct.json"), "slices": 5, "step_mm": 5.0}
    start = {"init": "scratch"} if name == "adam_cxr" else {}
    bundle.run("pretrain", "slabs", **common, **start, slabs_per_image=6, batch_size=8, **{"views#least_side": 16})
    network = torch.load(bundle.root / "models" / "pretrained.pt", weights_only=True)
    stem = next(value for key, value in network.items() if key.endswith("conv1.weight"))
    assert stem.shape == (64, 5, 7, 7) and all(value.isfinite().all() for value in network.values())
    bundle.run("embed", "slabs", kind=None, **{**common, "axis": 2}, output_dir=str(tmp_path))
    with (tmp_path / "embeddings.csv").open() as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows[1:]] == [
        "/".join((scan.parent.name, scan.name.split(".")[0])) for scan in scans
    ] and len(rows[1]) == 1 + 512
