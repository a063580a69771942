"""Tiny runs of the bundles by an earlier commit and by this tree agree bit for bit: weights, tables, label maps.

pytest --slow tests/test_behaviour_stays.py -k caid_cxr       one bundle alone

What a change renames on purpose belongs into `RENAMED`. What it changes on purpose makes this test fail: say so in
CHANGELOG.md, then move `EARLIER` to the commit that made the change.
"""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
EARLIER = "e5d431a"
RENAMED: dict[str, str] = {}  # ids of configs, files, columns, keys and texts: earlier name -> present name
# Keys and columns that are no result: settings have tests of their own, checksums and times differ.
LEFT_OUT = {"settings", "format", "name", "description", "about", "seconds", "cubes_per_second", "patches_per_second"}
LEFT_OUT |= {"files"}  # fingerprints of what a run was trained on, in its checkpoints
RESULTS = ("models/*.pt", "runs/**/*.pt", "runs/**/*.csv", "runs/**/*.nii.gz", "runs/**/*_seg.png")
MINED = ("runs/mine/patterns.json", "runs/mine/similarity.json", "runs/mine/features.npz")
STAGED = ("--workflow_name", "medgenesis.engines.StagedWorkflow")

# tasks

CT = {"width": 2, "cube_size": [16, 16, 16], "num_workers": 0, "device": "cpu", "datalist": "datalist.json"}
LEARN = {"width": 2, "batch_size": 2, "num_workers": 0, "device": "cpu", "pretrain_epochs": 2}
CUBES = {**CT, **LEARN, "patches_per_image": 2, "crop_criterion": "foreground"}
WINDOWS = {"overlap": 0.25}
MINE = {
    **CT,
    **{"crop_criterion": "foreground", "classes": 2, "train_patients": 2, "validation_patients": 2, "min_distance": 1},
    **{"volume_size": [16, 16, 16], "autoencoder_epochs": 2, "volumes_per_batch": 2},
}
XRAY = {"backbone": "resnet18", "size": 96, "num_workers": 0, "device": "cpu", "datalist": "xray_datalist.json"}
VIEWS = {**XRAY, "batch_size": 2, "queue_size": 16, "pretrain_epochs": 2}
LEVELS = {"size": 64, "pretrain_epochs": 1, "stages": {"level_0": {"level": 0}, "level_2": {"level": 2}}}
SEGMENT = {"finetune_epochs": 2, "val_interval": 1, **WINDOWS}
CLASSIFY = {"batch_size": 2, "classify_epochs": 1}
RUNS = {  # (task, settings, what else stands on the command line)
    "models_genesis_ct": [
        ("pretrain", {**CUBES, "pretrain_epochs": 1}),
        ("pretrain", CUBES),  # which continues that run
        ("finetune", {**CT, **SEGMENT, "crops_per_volume": 2}),
        ("inference", {**CT, **WINDOWS}),
        ("embed", CT),
        ("classify", {**CT, **CLASSIFY}),
        ("restore", CT),
    ],
    "semantic_genesis_ct": [("mine", MINE), ("pretrain", LEARN)],
    "transvw_ct": [("mine", MINE), ("pretrain", LEARN)],
    "caid_cxr": [
        ("pretrain", VIEWS),
        ("finetune", {**XRAY, **SEGMENT, "batch_size": 2, "finetune_epochs": 1}),
        ("inference", {**XRAY, **WINDOWS}),
        ("embed", XRAY),
        ("classify", {**XRAY, **CLASSIFY}),
    ],
    "adam_cxr": [("pretrain", {**VIEWS, **LEVELS}, *STAGED)],
}


# trees


class Tree:
    """A tree's commands, run in `folder`, one after the other beside those of another tree."""

    def __init__(self, root, folder):
        self.folder = folder
        folder.mkdir()
        self.errors = (folder / "module_runs.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "helpers" / "module_runs.py"), str(root)],
            **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors},
            **{"cwd": folder, "text": True, "start_new_session": True},
        )

    def begin(self, commands):
        self.commands = commands
        for module, *arguments in commands:
            log = str(self.folder / "commands.log")
            self.process.stdin.write(json.dumps({"module": module, "arguments": arguments, "log": log}) + "\n")
        self.process.stdin.flush()

    def end(self):
        answers = [self.process.stdout.readline().strip() for _ in self.commands]
        for command, answer in zip(self.commands, answers, strict=True):
            if answer != "0":
                said = "".join(path.read_text()[-3000:] for path in sorted(self.folder.glob("*.log")))
                pytest.fail(f"{self.folder.name} tree: python -m {' '.join(command)}: exit status {answer}\n{said}")

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)  # with the command it may be running
        self.process.communicate()
        self.errors.close()


def in_both(trees, *commands):
    """Run in each tree its own list of commands, or the one there is."""
    for tree, own in zip(trees, commands * (2 // len(commands)), strict=True):
        tree.begin(own)
    for tree in trees:
        tree.end()


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """The tree of the earlier commit, and this one."""
    git = ["git", "-C", str(ROOT)]
    if not hasattr(os, "fork") or shutil.which("git") is None:
        pytest.skip("comparing with an earlier commit needs git and os.fork")
    if subprocess.run([*git, "cat-file", "-e", f"{EARLIER}^{{commit}}"], capture_output=True).returncode:
        pytest.skip(f"commit {EARLIER} is not in this history: no checkout, or a shallow one")
    folder = tmp_path_factory.mktemp("behaviour")
    archive = subprocess.run([*git, "archive", "--format=tar", EARLIER], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as file:
        file.extractall(folder / "source", filter="data")
    trees = [Tree(folder / "source", folder / "earlier"), Tree(ROOT, folder / "present")]
    yield trees
    for tree in trees:
        tree.close()


@pytest.fixture(scope="module")
def phantoms(trees):
    """The folder of six phantoms that each tree has written."""
    in_both(trees, [["medgenesis", "phantom", "phantoms", "--subjects", "6", "--shape", "32", "32", "32"]])
    return [tree.folder / "phantoms" for tree in trees]


@pytest.fixture(scope="module")
def data(phantoms, tmp_path_factory):
    """The earlier phantoms, for both trees; in the lists two a section, with classes."""
    folder = shutil.copytree(phantoms[0], tmp_path_factory.mktemp("data") / "phantoms")
    for path in (folder / "datalist.json", folder / "xray_datalist.json"):
        datalist = json.loads(path.read_text())
        records = datalist["training"] + datalist["validation"] + datalist["test"]
        for number, record in enumerate(records):
            record |= {"class": number % 2, "classes": [number % 2, 1 - number % 2, number % 2, 0]}
        datalist |= {"training": records[:2], "validation": records[2:4], "test": records[4:]}
        path.write_text(json.dumps(datalist))
    return folder


def command(bundle, data, task, settings, *options):
    """The command line of a task; its ids by the names that they have in this copy of the bundle."""
    known = {id for path in (bundle / "configs").glob("*.yaml") for id in yaml.safe_load(path.read_text())}
    words = ["monai.bundle", "run", *options, "--config_file", f"{bundle.name}/configs/{task}.yaml"]
    for id, value in settings.items():
        name = RENAMED[id] if RENAMED.get(id) in known else id
        if name not in known:
            pytest.fail(f"{name}: no config of {bundle} has this id; write into RENAMED what it is called now")
        words += [f"--{name}", str(data / value if id == "datalist" else value)]
    return words


# results


def contents(path):
    """What a file says, as {place in it: value}; values that may be renamed by their present names."""
    read = {
        ".pt": lambda: torch.load(path, weights_only=True),
        ".npz": lambda: dict(np.load(path)),
        ".csv": lambda: list(csv.DictReader(io.StringIO(path.read_text()))),
        ".json": lambda: json.loads(path.read_text()),
        ".png": lambda: np.asarray(Image.open(path)),
        ".gz": lambda: {"voxels": np.asarray(nib.load(path).dataobj), "affine": nib.load(path).affine},
    }
    return dict(flat(read[path.suffix]()))


def flat(value, place=""):
    if isinstance(value, dict):
        for key, one in value.items():
            if key not in LEFT_OUT:
                yield from flat(one, f"{place}/{RENAMED.get(key, key)}")
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            yield from flat(one, f"{place}/{number}")
    elif isinstance(value, torch.Tensor | np.ndarray):
        array = value.numpy() if isinstance(value, torch.Tensor) else value
        yield place, (str(array.dtype), array.shape, array.tobytes())
    else:
        yield place, repr(RENAMED.get(value, value) if isinstance(value, str) else value)


def differences(earlier, present):
    """Places in which two files differ, or that one of them lacks."""
    earlier, present = contents(earlier), contents(present)
    return [place for place in {**earlier, **present} if earlier.get(place) != present.get(place)]


def agree(earlier, present, patterns):
    """Fail, naming files and places, unless all that the earlier tree has written is written now."""
    files = {path.relative_to(earlier) for pattern in patterns for path in earlier.glob(pattern)}
    files = sorted(file for file in files if "cache" not in file.parts)
    assert files
    lines = []
    for file in files:
        renamed = present.joinpath(*(RENAMED.get(part, part) for part in file.parts))
        other = renamed if renamed.exists() else present / file
        found = differences(earlier / file, other) if other.exists() else ["no such file now"]
        lines += [f"{file}: {len(found)} differ: {', '.join(found[:4])}"] if found else []
    if lines:
        pytest.fail("\n".join([f"{earlier} and {present} differ:", *lines]), pytrace=False)


@pytest.mark.slow
def test_phantoms_stay(phantoms):
    agree(*phantoms, ["*datalist.json", "*.csv", "*/*.nii.gz", "*/*.png"])


@pytest.mark.slow
@pytest.mark.parametrize("bundle", RUNS)
def test_runs_stay(trees, data, bundle):
    in_both(trees, [["medgenesis", "bundle", bundle, bundle]])
    copies = [tree.folder / bundle for tree in trees]
    in_both(trees, *([command(copy, data, *run) for run in RUNS[bundle]] for copy in copies))
    mined = MINED if any(task == "mine" for task, *_ in RUNS[bundle]) else ()
    assert all((copies[0] / file).exists() for file in ("models/pretrained.pt", *mined))
    agree(*copies, [*RESULTS, *mined])


@pytest.mark.parametrize("changed", [{"w": torch.tensor([1.0, -0.0])}, {"w": torch.tensor([1, 0])}, {"v": 1}, {}])
def test_every_difference_is_seen(tmp_path, changed):
    torch.save({"w": torch.tensor([1.0, 0.0]), "settings": 1}, tmp_path / "earlier.pt")
    torch.save({**changed, "settings": 2}, tmp_path / "present.pt")
    assert "/w" in differences(tmp_path / "earlier.pt", tmp_path / "present.pt")
    assert differences(tmp_path / "earlier.pt", tmp_path / "earlier.pt") == []
