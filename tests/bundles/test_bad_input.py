"""Bad input, as it meets the user of a bundle: what is said, when, and what is left on the disk."""

import json
import logging
import os
import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import torch

from medgenesis.datasets.phantom import write_phantoms
from medgenesis.errors import CheckpointError, DatalistError, IntensityRangeError, VolumeError, cause_of

TASKS = {"pretrain": "training", "finetune": "training", "classify": "training", "inference": "test"}
TASKS |= {"embed": "training", "restore": "validation"}


@pytest.fixture(scope="module")
def bad(tmp_path_factory, phantoms):
    """Files that cannot be used, by what is wrong with them."""
    folder = tmp_path_factory.mktemp("bad")
    record = json.loads(phantoms.read_text())["training"][0]
    image, label = (nib.load(phantoms.parent / record[key]) for key in ("image", "label"))
    voxels, labels = np.asarray(image.dataobj, dtype=np.float32), np.asarray(label.dataobj)
    hole = voxels.copy()
    hole[3, 3, 3] = np.nan
    moved = image.affine.copy()
    moved[0, 3] += 20
    arrays = {
        "nan": (hole, image.affine),
        "infinite": (np.where(np.isnan(hole), np.inf, hole), image.affine),
        "z_scored": ((voxels - voxels.mean()) / voxels.std(), image.affine),
        "constant": (np.zeros_like(voxels), image.affine),
        "label_moved": (labels, moved),
        "label_cropped": (labels[:-2], image.affine),
        "label_fractions": (labels + 0.5, image.affine),
    }
    for name, (array, affine) in arrays.items():
        nib.save(nib.Nifti1Image(array, affine), folder / f"{name}.nii.gz")
    content = (phantoms.parent / record["image"]).read_bytes()
    (folder / "truncated.nii.gz").write_bytes(content[: len(content) // 2])
    (folder / "text.nii.gz").write_text("no scan")
    (folder / "empty").mkdir()
    return folder


@pytest.fixture(scope="module")
def dicom(tmp_path_factory):
    """Folders of slices that are no volume."""
    folder = tmp_path_factory.mktemp("dicom")
    write_phantoms(folder, 2, seed=1, shape=(16, 16, 16), split=(1, 0, 0), dicom=True)
    one, other = sorted(path for path in (folder / "dicom").iterdir() if path.is_dir())
    (folder / "missing").mkdir()
    (folder / "several").mkdir()
    for number, slice_ in enumerate(sorted(one.iterdir())):
        if number != 7:
            (folder / "missing" / slice_.name).write_bytes(slice_.read_bytes())
        (folder / "several" / slice_.name).write_bytes(slice_.read_bytes())
    extra = sorted(other.iterdir())[0]
    (folder / "several" / f"other_{extra.name}").write_bytes(extra.read_bytes())
    return folder


@pytest.fixture
def listed(tmp_path, phantoms):
    """listed(section, **changes) -> a datalist whose first record of that section is changed; None takes a key away."""

    def write(section, **changes):
        datalist = json.loads(phantoms.read_text())
        for part in ("training", "validation", "test"):
            for record in datalist[part]:
                record |= {key: str(phantoms.parent / record[key]) for key in ("image", "label")}
        record = {**datalist[section][0], **changes}
        datalist[section][0] = {key: value for key, value in record.items() if value is not None}
        path = tmp_path / "list.json"
        path.write_text(json.dumps(datalist))
        return path

    return write


def settings(bundle, task, folder, **more):
    """What keeps the shared bundle's files as they are."""
    if task in ("pretrain", "finetune", "classify"):
        own = {"bundle_root": str(folder)}  # where results go
        return {**own, **({} if task == "pretrain" else {"init": "scratch"}), **more}
    weights = "model.pt" if task == "inference" else "pretrained.pt"
    return {"output_dir": str(folder / "runs"), "weights": str(bundle.root / "models" / weights), **more}


def cause(bundle, task, folder, **more):
    with pytest.raises(Exception) as error:
        bundle.run(task, kind=None, **settings(bundle, task, folder, **more))
    return cause_of(error.value)


def written(folder):
    """Files below the folder, but for the cache, the table that says which volumes are good, and what starts note."""
    files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    noted = (".running", "run.json", ".images.json")
    return [name for name in files if "/cache/" not in name and "acceptance" not in name and not name.endswith(noted)]


# volumes


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name, error", [("nan", VolumeError), ("z_scored", IntensityRangeError)])
def test_every_task_refuses_a_bad_volume_at_the_start(bundle, bad, listed, tmp_path, task, name, error):
    found = cause(bundle, task, tmp_path / "run", datalist=str(listed(TASKS[task], image=str(bad / f"{name}.nii.gz"))))
    assert isinstance(found, error) and f"{name}.nii.gz: " in str(found)
    assert written(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("infinite.nii.gz", "voxels must be finite; found NaN or infinity in 1 of 32768"),
        ("constant.nii.gz", "voxels must differ; found 0 in every one"),
        ("truncated.nii.gz", "cannot be read, truncated or damaged"),
        ("text.nii.gz", "cannot be read, truncated or damaged"),
        ("empty", "must hold DICOM slices; found no DICOM image"),
    ],
)
def test_volumes_that_cannot_be_used(bundle, bad, listed, tmp_path, name, what):
    found = cause(bundle, "pretrain", tmp_path / "run", datalist=str(listed("training", image=str(bad / name))))
    assert isinstance(found, VolumeError) and str(found).startswith(f"{bad / name}: {what}")
    assert written(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("name", "what"),
    [("missing", "slices must be evenly spaced"), ("several", "must hold one series; found 2 DICOM series")],
)
def test_dicom_folders_that_are_no_volume(bundle, dicom, listed, tmp_path, name, what):
    found = cause(bundle, "inference", tmp_path, datalist=str(listed("test", image=str(dicom / name))))
    assert isinstance(found, VolumeError) and f"{dicom / name}: {what}" in str(found)


def test_a_volume_smaller_than_the_cube(bundle, phantoms, tmp_path):
    more = {"cube_size": [16, 16, 40], "crop#pad": False, "datalist": str(phantoms)}
    found = cause(bundle, "pretrain", tmp_path / "run", **more)
    assert isinstance(found, VolumeError)
    assert "must be as large as the cube, (16, 16, 40); found (32, 32, 32). Choose a smaller cube" in str(found)


@pytest.mark.parametrize(
    ("name", "what"),
    [("label_moved", "another grid"), ("label_cropped", "another grid"), ("label_fractions", "must be whole numbers")],
)
def test_labels_that_do_not_belong_to_their_image(bundle, bad, listed, tmp_path, name, what):
    found = cause(bundle, "finetune", tmp_path, datalist=str(listed("training", label=str(bad / f"{name}.nii.gz"))))
    assert isinstance(found, VolumeError) and f"{name}.nii.gz" in str(found) and what in str(found)
    assert written(tmp_path / "models") == []


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", ["nan.nii.gz", "gone.nii.gz"])
def test_one_bad_volume_among_many_is_left_out_on_demand(bundle, bad, phantoms, tmp_path, caplog, task, name):
    """The first record of the task's section is bad, the second good."""
    datalist = json.loads(phantoms.read_text())
    section = datalist[TASKS[task]]
    for record in section:
        record |= {key: str(phantoms.parent / record[key]) for key in ("image", "label")}
    section.insert(0, {**section[0], "image": str(bad / name), "patient": "bad"})
    (tmp_path / "list.json").write_text(json.dumps({part: section for part in ("training", "validation", "test")}))
    more = {"datalist": str(tmp_path / "list.json"), "on_error": "skip", "pretrain_epochs": 1, "finetune_epochs": 1}
    with caplog.at_level(logging.WARNING):
        bundle.run(task, kind=None, **settings(bundle, task, tmp_path / "run", **more))
    assert name in caplog.text and "skipped" in caplog.text
    assert written(tmp_path / "run")


def test_labels_beyond_the_number_of_classes(bundle, phantoms, tmp_path):
    merge = {"1": "1-2", "4": "6"}
    found = cause(bundle, "finetune", tmp_path, datalist=str(phantoms), label_merge=merge, num_classes=3)
    assert isinstance(found, VolumeError) and "labels must be from 0 to 2; found 0 to 4" in str(found)


# lists and classes


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"class": None}, "class: each record must have one from 0 to 1"),
        ({"class": 7}, "(7)"),
        ({"class": "benign"}, "('benign')"),
    ],
)
def test_classes(bundle, listed, tmp_path, changes, what):
    found = cause(bundle, "classify", tmp_path, datalist=str(listed("training", **changes)))
    assert isinstance(found, DatalistError) and what in str(found)


def test_a_record_without_label(bundle, listed, tmp_path):
    found = cause(bundle, "finetune", tmp_path, datalist=str(listed("training", label=None)))
    assert isinstance(found, DatalistError) and "must have 'label'" in str(found)


def test_no_datalist_where_one_is_expected(bundle, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = cause(bundle, "pretrain", tmp_path, datalist="data/datalist.json")
    assert isinstance(found, DatalistError) and f"found no file, looked for from {tmp_path}" in str(found)


# checkpoints and disks


@pytest.mark.parametrize("task", ["inference", "embed", "restore", "finetune", "pretrain"])
@pytest.mark.parametrize(
    ("content", "what"),
    [(None, "no such file"), (b"text", "cannot be read as one"), ({"a": torch.zeros(2)}, "another network")],
)
def test_checkpoints(bundle, phantoms, tmp_path, task, content, what):
    path = tmp_path / "weights.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    name = "init" if task in ("finetune", "pretrain") else "weights"
    found = cause(bundle, task, tmp_path / "run", datalist=str(phantoms), **{name: str(path)})
    assert isinstance(found, CheckpointError) and what in str(found) and str(path) in str(found)


@pytest.mark.parametrize("task", ["finetune", "classify", "inference", "embed", "restore", "pretrain"])
def test_absent_weights_are_named_before_volumes_that_do_not_fit(bundle, bad, listed, tmp_path, task):
    """Without their settings the volumes are read by those of the bundle, which they need not fit."""
    name = "init" if task in ("finetune", "classify", "pretrain") else "weights"
    mistyped = "experiment-hippocampus-mr-region-prompt"
    datalist = listed(TASKS[task], image=str(bad / "z_scored.nii.gz"))
    found = cause(bundle, task, tmp_path / "run", datalist=datalist, **{name: mistyped})
    assert isinstance(found, CheckpointError) and f"Nearest: {mistyped}s" in str(found)
    assert not list(tmp_path.rglob("run.json"))


def test_a_network_of_another_task_is_never_used_with_a_new_head(bundle, phantoms, tmp_path):
    pretrained = str(bundle.root / "models" / "pretrained.pt")
    for names, setting in ((["inference"], "weights"), (["finetune", "evaluate"], "init")):
        more = {"datalist": str(phantoms), "output_dir": str(tmp_path), setting: pretrained}
        with pytest.raises(RuntimeError) as error:
            bundle.run(*names, kind=None, **more)
        assert isinstance(cause_of(error.value), CheckpointError)


@pytest.mark.parametrize("setting", ["output_dir", "weights"])
def test_folders_that_cannot_be_made_are_known_before_the_first_epoch(bundle, phantoms, tmp_path, setting):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / ("run" if setting == "output_dir" else "pretrained.pt")
    found = cause(bundle, "pretrain", tmp_path / "run", datalist=str(phantoms), **{setting: str(path)})
    assert isinstance(found, (CheckpointError, OSError)) and str(tmp_path / "file") in str(found)
    assert not list(tmp_path.rglob("metrics.csv"))


# as typed


@pytest.mark.slow
def test_the_last_line_that_a_user_sees_is_the_cause(fresh_bundle, bad, listed, tmp_path):
    datalist = listed("training", image=str(bad / "nan.nii.gz"))
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", fresh_bundle.config("pretrain")]
    command += ["--datalist", str(datalist), "--output_dir", str(tmp_path / "run"), "--width", "2"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode != 0
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("VolumeError: ")
    assert "nan.nii.gz: voxels must be finite; found NaN or infinity in 1 of 32768" in last
