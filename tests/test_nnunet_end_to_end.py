"""With the real nnU-Net: raw data, its plans and arrays, our pre-training, a fold that starts from it, and back.

nnU-Net is looked for in this environment, or in that of the interpreter that MEDGENESIS_NNUNET_PYTHON names.
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch

from medgenesis import cli
from medgenesis.data.nnunet import nnunet_preprocessing, plan_of, read_plans
from medgenesis.storage.checkpoint import read_checkpoint

pytestmark = pytest.mark.slow

PYTHON = sys.executable if importlib.util.find_spec("nnunetv2") else os.environ.get("MEDGENESIS_NNUNET_PYTHON")
TRAINER = """
import os

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer


class nnUNetTrainer_oneStep(nnUNetTrainer):
    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = self.num_iterations_per_epoch = self.num_val_iterations_per_epoch = 1

    def on_train_start(self):
        super().on_train_start()
        torch.save(self.network.state_dict(), os.environ["STARTED_FROM"])

    def perform_actual_validation(self, save_probabilities=False):
        pass
"""


@pytest.fixture(scope="module")
def nnunet(tmp_path_factory):
    """A folder with a planned and preprocessed data set, and how to run nnU-Net's commands in it."""
    pytest.importorskip("dynamic_network_architectures")
    pytest.importorskip("blosc2")
    if not PYTHON:
        pytest.skip("nnunetv2 is not installed here, and MEDGENESIS_NNUNET_PYTHON names no interpreter that has it")
    root = tmp_path_factory.mktemp("nnunet")
    (root / "trainers").mkdir()
    (root / "trainers" / "nnUNetTrainer_oneStep.py").write_text(TRAINER)
    raw = root / "raw" / "Dataset001_Balls"
    write_raw(raw)
    places = {f"nnUNet_{name}": str(root / name) for name in ("raw", "preprocessed", "results")}
    settings = {
        "nnUNet_extTrainer": str(root / "trainers"),
        "nnUNet_compile": "f",
        "STARTED_FROM": str(root / "began.pt"),
    }
    environment = {**os.environ, **places, **settings, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)

    def run(command, *words, workers="1"):
        line = [str(Path(PYTHON).parent / command), *map(str, words)]
        done = subprocess.run(
            line,
            env={**environment, "nnUNet_n_proc_DA": workers},
            cwd=root,
            capture_output=True,
            text=True,
            timeout=550,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout

    run("nnUNetv2_plan_and_preprocess", "-d", 1, "-c", "3d_fullres", "-np", 1, "-npfp", 1)
    return root, run


def write_raw(folder, count=6):
    """Balls in noise, one spacing of three, axes that grow to other sides."""
    rng = np.random.default_rng(0)
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        shape = rng.integers(20, 27, 3)
        places = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
        ball = np.linalg.norm(places - shape // 2, axis=-1) < 6
        image = (rng.normal(100, 10, shape) + 60 * ball).astype(np.float32)
        image[:2] = 0
        affine = np.diag([-1.0 if number % 2 else 1.0, 1.0, (1.0, 1.3, 1.0)[number % 3], 1.0])
        for array, path in ((image, f"imagesTr/b{number}_0000"), (ball.astype(np.uint8), f"labelsTr/b{number}")):
            nibabel.save(nibabel.Nifti1Image(array, affine), folder / f"{path}.nii.gz")
    said = {"channel_names": {"0": "MRI"}, "labels": {"background": 0, "ball": 1}}
    (folder / "dataset.json").write_text(json.dumps({**said, "numTraining": count, "file_ending": ".nii.gz"}))


def test_raw_images_become_what_nnunet_makes_of_them(nnunet):
    root, _ = nnunet
    dataset = root / "preprocessed" / "Dataset001_Balls"
    steps = nnunet_preprocessing(plan_of(read_plans(dataset / "nnUNetPlans.json"), source="plans"))
    for number in range(6):
        raw = steps({"image": str(root / "raw" / "Dataset001_Balls" / "imagesTr" / f"b{number}_0000.nii.gz")})
        array = steps({"image": str(dataset / "nnUNetPlans_3d_fullres" / f"b{number}.b2nd")})
        assert raw["image"].shape == array["image"].shape
        torch.testing.assert_close(raw["image"].as_tensor(), array["image"].as_tensor(), atol=1e-4, rtol=1e-4)


def test_a_fold_starts_from_our_weights_and_comes_back(nnunet, capsys):
    root, run = nnunet
    dataset = root / "preprocessed" / "Dataset001_Balls"
    bundle, listed, start = root / "bundle", root / "list.json", root / "start.pth"
    tiny = ["--pretrain_epochs", "1", "--patches_per_image", "1", "--num_workers", "0", "--device", "cpu"]
    for words in (
        ["nnunet", "plan2bundle", dataset / "nnUNetPlans.json", "--out", bundle],
        ["nnunet", "datalist", dataset / "nnUNetPlans_3d_fullres", "--out", listed],
        ["run", bundle, "pretrain", "--datalist", listed, *tiny],
        ["nnunet", "export", bundle / "models" / "pretrained.pt", "--out", start],
    ):
        assert cli.main(list(map(str, words))) in (0, None), capsys.readouterr().err
    train = ("nnUNetv2_train", 1, "3d_fullres", 0, "-tr", "nnUNetTrainer_oneStep", "-device", "cpu")
    said = run(*train, "-pretrained_weights", start, workers="0")
    assert "Loading pretrained weights from file" in said
    ours, began = read_checkpoint(start)["network_weights"], read_checkpoint(root / "began.pt")
    wanted = {key for key in began if ".seg_layers." not in key}
    assert set(re.findall(r"^(\S+) shape torch.Size", said, flags=re.MULTILINE)) == wanted == set(ours)
    assert all(torch.equal(began[key], ours[key]) for key in wanted)
    fold = root / "results" / "Dataset001_Balls" / "nnUNetTrainer_oneStep__nnUNetPlans__3d_fullres" / "fold_0"
    assert cli.main(["nnunet", "import", str(fold), "--out", str(root / "back")]) == 0
    trained = read_checkpoint(fold / "checkpoint_final.pth")["network_weights"]
    back = read_checkpoint(root / "back" / "models" / "pretrained.pt")
    assert back.keys() == trained.keys() and all(torch.equal(back[key], trained[key]) for key in trained)
