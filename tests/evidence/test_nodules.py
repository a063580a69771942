"""Thin CT crops as cases: all nodules of a patient on one side of the split, and air beyond a crop."""

import csv

import nibabel as nib
import numpy as np
import pytest

from benchmarks.evidence import sets

DEPTH = (2, 3, 40)  # slices of 1.5 mm of a patient's nodules; the last is deeper than the grid


@pytest.fixture
def study(tmp_path, monkeypatch):
    """24 patients with three nodules each, all of them in every slice: crops end where the nodule is cut."""
    folder = tmp_path / "data" / "ct_lidc_nodules"
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True)
    rows = []
    for patient in range(24):
        for nodule, depth in enumerate(DEPTH):
            mask = np.zeros((20, 20, depth), np.uint8)
            mask[8:12, 8:12] = 1
            file = f"P-{patient:02d}_R_{nodule}.nii.gz"
            affine = np.diag([0.75, 0.75, 1.5, 1])
            nib.save(nib.Nifti1Image(np.where(mask, 100, -800).astype(np.int16), affine), folder / "images" / file)
            nib.save(nib.Nifti1Image(mask, affine), folder / "masks" / file)
            rows.append({"patient_id": f"P-{patient:02d}", "nodule_id": nodule, "diameter_mm": 4, "Diagnosis_value": 0})
    with (folder / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    monkeypatch.setenv("MEDGENESIS_DATA", str(tmp_path / "data"))
    return sets.read_set("nodules", tmp_path / "work")


def test_thin_crops_end_in_air_and_patients_stay_together(study):
    owners = {section: [case.patient for case in study.cases[section]] for section in sets.SECTIONS}
    assert sum(map(len, owners.values())) == 72
    assert all(own.count(patient) == 3 for own in owners.values() for patient in own)  # read_set: each in one section
    assert len(study.labelled(1, 0)) == 3 and study.unlabelled == study.cases["training"]
    depths = [case.sides[2] for case in study.cases["training"]][:3]
    assert sorted(depths) == [2, 3, 16]
    for case in study.cases["training"]:
        assert case.image.shape == (1, 24, 24, 16) and case.label.shape == (1, 48, 48, 32)
        inside = case.label[0].bool().any(0).any(0)  # slices of 0.75 mm
        assert int(inside.sum()) == {2: 3, 3: 5, 16: 32}[case.sides[2]]  # from the first slice's middle to the last's
        beyond = np.flatnonzero(~inside.view(-1, 2).any(1).numpy())  # network slices without any of the crop
        assert float(case.image[..., beyond].abs().sum()) == 0
        assert float(case.image.max()) == pytest.approx(0.55, abs=0.01)  # 100 HU, on the scale from -1000 to 1000
