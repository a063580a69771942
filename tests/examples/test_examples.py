"""Each example runs from another folder, and gives what its text promises."""

import ast
import logging
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from medgenesis.networks import UNet3D
from medgenesis.weights import initialise

EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").glob("*.py"))
PRETRAIN = {"models_genesis": "pretrained.pt", "semantic_genesis": "semantic_genesis.pt", "transvw": "transvw.pt"}
MASKED = {"masked_autoencoder": "masked_autoencoder.pt", "region_prompts": "region_prompts.pt"}
CONTRASTED = {"dense_contrast": "dense_contrast.pt"}
SLABS = {"caid": "caid.pt", "adam": "adam.pt"}


def trained(names, weights):
    """The method trained to its last epoch, its loss is finite, and the file holds the network."""
    trainer, state = names["trainer"], torch.load(weights, weights_only=True)
    assert trainer.state.epoch == trainer.state.max_epochs and np.isfinite(trainer.state.metrics["loss"])
    own = names["method"].network.state_dict()
    assert state.keys() == own.keys() and all(torch.equal(state[key], own[key]) for key in own)


def transvw(names):
    initialise(UNet3D(width=4), "transvw.pt", skip_head="never")


def monai_pipeline(names):
    assert np.mean(names["losses"][-4:]) < names["losses"][0] / 2


def few_labels(names):
    assert names["dice"].keys() == {"pre-trained", "scratch"} and max(names["dice"].values()) > 0.4


def embeddings(names):
    assert list(names["found"]) == list(range(6))


def published_weights(names):
    assert names["weights"].report.complete
    torch.testing.assert_close(names["three"], names["five"], rtol=1e-4, atol=1e-4)


def restore_volume(names):
    corrupted, restored = names["errors"]
    assert restored < corrupted
    assert {path.suffix for path in Path("restored").iterdir()} - {".json", ""} == {".gz", ".png"}


def landmarks(names):
    assert names["networks"].keys() == {"random init", "raw pixels"} and 0 <= names["blind"].hit_rate(8) <= 1


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=pytest.mark.slow) if path.stem == "few_labels" else path for path in EXAMPLES],
    ids=lambda path: path.stem,
)
def test_example(path, tmp_path, monkeypatch, one_thread):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging, "basicConfig", lambda **settings: None)
    names = runpy.run_path(str(path), run_name="__main__")
    weights = {**PRETRAIN, **MASKED, **CONTRASTED, **SLABS}.get(path.stem)
    if weights is not None:
        trained(names, weights)
    check = globals().get(path.stem)
    assert weights is not None or check is not None, "an example needs a check of its own here"
    if check is not None:
        check(names)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_short_and_begin_with_their_title(path):
    lines = path.read_text().splitlines()
    assert lines[0] == "# %% [markdown]" and lines[1].startswith("# # ")
    assert len(lines) <= 62


def test_examples_that_share_a_folder_of_phantoms_make_the_same_ones():
    """Phantoms of other settings are refused, so that only the first of two such examples would run in a folder."""
    made = {}
    for path in EXAMPLES:
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "write_phantoms":
                folder, *given = map(ast.unparse, call.args)
                settings = *given, *sorted((one.arg, ast.unparse(one.value)) for one in call.keywords)
                made.setdefault(folder, {}).setdefault(settings, []).append(path.stem)
    assert sum(len(names) for each in made.values() for names in each.values()) >= 13
    assert all(len(each) == 1 for each in made.values()), made
