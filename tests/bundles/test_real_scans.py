"""Short versions of `benchmarks/real_scans.py`: the bundle on real CT and MR."""

import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from medgenesis.data import join_datalists, make_datalist, preprocessing, write_datalist
from medgenesis.datasets import luna16_datalist
from medgenesis.transfer import compare_few_labels

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "real_scans.py"


@pytest.fixture
def real_scans(real_data, monkeypatch):
    monkeypatch.setenv("MEDGENESIS_DATA", str(real_data))
    monkeypatch.syspath_prepend(SCRIPT.parent)  # as where it runs as a program
    spec = importlib.util.spec_from_file_location("real_scans", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shortened(path, count):
    """Keep `count` training records of a list."""
    datalist = json.loads(path.read_text())
    datalist["training"] = datalist["training"][:count]
    path.write_text(json.dumps(datalist))


def test_pretraining_on_all_ct_together(fresh_bundle, real_scans, tmp_path):
    """Chest NRRD, torso NIfTI and DICOM series, nodule crops of a few slices, mixed by weight."""
    lists = real_scans.ct_datalists(tmp_path, with_chest=True)
    shortened(tmp_path / "nodules.json", 6)
    joined = join_datalists(lists)
    joined["validation"] = joined["validation"][:2]
    write_datalist(joined, tmp_path / "ct.json")
    fresh_bundle.run("pretrain", datalist=str(tmp_path / "ct.json"), pretrain_epochs=1, cache="memory")
    run = fresh_bundle.root / "runs" / "pretrain"
    with (run / "acceptance_training.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10 and not any(row["error"] for row in rows)
    assert {Path(row["file"]).name for row in rows} > {"ct-64.nrrd", "example_ct.nii.gz", "example_ct_dicom"}
    assert (fresh_bundle.root / "models" / "pretrained.pt").is_file()


@pytest.mark.slow
def test_hippocampus_from_few_labels(fresh_bundle, real_data, tmp_path):
    """Pre-train on MR crops, fine-tune from 2 labels, ours against scratch: the table, and no run twice."""
    folder = real_data / "mr_hippocampus"
    datalist = make_datalist(folder / "images", folder / "labels", splits=(0.6, 0.1, 0.3), modality="MR")
    datalist = {k: v[:4] if isinstance(v, list) else v for k, v in datalist.items()}
    write_datalist(datalist, tmp_path / "hippocampus.json")
    common = {"intensity": "mri_percentile", "datalist": str(tmp_path / "hippocampus.json")}
    fresh_bundle.run("pretrain", pretrain_epochs=1, cache="memory", **common)
    inits = {"pre-trained": str(fresh_bundle.root / "models" / "pretrained.pt"), "scratch": "scratch"}
    settings = dict(counts=[2], seeds=[0, 1], iterations=2)
    overrides = {
        "intensity": "mri_percentile",
        "cube_size": [16, 16, 16],
        "width": 2,
        "num_workers": 0,
        "label_merge": None,
        "device": "cpu",
    }
    configs = [fresh_bundle.config("finetune")]
    arguments = (configs, common["datalist"], inits, tmp_path / "out")
    table = compare_few_labels(*arguments, **settings, overrides=overrides)
    assert "| 2 | " in table and "95 % interval over draws and 4 test patients] of 2 draws" in table
    with (tmp_path / "out" / "cases.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 2 * 4 * 2  # frozen and fine-tuned, starts, seeds, patients, classes
    assert all(0 <= float(row["dice"]) <= 1 for row in rows)
    written = (tmp_path / "out" / "pre-trained_k2_n2_seed0" / "dice.json").stat().st_mtime_ns
    assert compare_few_labels(*arguments, **settings, overrides=overrides) == table
    assert (tmp_path / "out" / "pre-trained_k2_n2_seed0" / "dice.json").stat().st_mtime_ns == written


def test_threshold_finds_the_lungs_of_the_chest_ct(real_scans, real_data):
    """The trivial answer that a network must be shown beside: Dice 0.978 was measured by others on this scan."""
    chest = real_data / "ct_chest_cip"
    steps = preprocessing(("image",), ("label",), intensity=None)
    item = steps({"image": str(chest / "ct-64.nrrd"), "label": str(chest / "wholeLung-64.nrrd")})
    image, truth = np.asarray(item["image"][0]), np.asarray(item["label"][0]) > 0
    found = real_scans.inner_components(image < -400)
    dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    assert dice == pytest.approx(0.978, abs=0.002)


def test_published_cubes_load_as_they_are(fresh_bundle, tmp_path):
    """`bat_32_s_64x64x32_<fold>.npy`, float64 (n, 64, 64, 32): a list, then pre-training, without conversion."""
    generator = np.random.default_rng(0)
    for fold in (0, 5, 7):
        np.save(tmp_path / f"bat_32_s_64x64x32_{fold}.npy", generator.random((2, 64, 64, 32)))
    write_datalist(luna16_datalist(tmp_path), tmp_path / "list.json")
    fresh_bundle.run(
        "pretrain", datalist=str(tmp_path / "list.json"), intensity="unit", cache="none", pretrain_epochs=1
    )
    assert torch.load(fresh_bundle.root / "models" / "pretrained.pt", weights_only=True)
