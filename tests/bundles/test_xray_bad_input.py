"""What the chest X-ray bundles refuse, before anything is trained."""

import json

import numpy as np
import pytest
from helpers.xray_bundle import cause, records_of
from PIL import Image

from medgenesis.errors import DatalistError, VolumeError


def test_an_xray_that_is_not_there(adam, xrays, tmp_path):
    records = records_of(xrays, "training")
    datalist = {"training": [{**records[0], "image": "gone.png"}, *records[1:]], "validation": records}
    (tmp_path / "list.json").write_text(json.dumps(datalist))
    found = cause(adam, "pretrain", datalist=str(tmp_path / "list.json"))
    assert isinstance(found, DatalistError) and "gone.png" in str(found)


def test_a_choice_that_there_is_not(adam, caid):
    for bundle, setting, choices in (
        (adam, "pretrain_optimizer", "SGD, AdamW"),
        (caid, "discriminator", "MomentumContrast, SimSiam, BarlowTwins"),
    ):
        found = cause(bundle, "pretrain", **{setting: "Best"})
        assert isinstance(found, ValueError) and f"{setting}: must be one of {choices}; found 'Best'" in str(found)


def test_a_queue_that_batches_do_not_fill(adam):
    found = cause(adam, "pretrain", queue_size=15)
    assert isinstance(found, ValueError) and "15" in str(found) and "batch" in str(found)
    assert not list(adam.root.rglob("last.pt"))


def test_a_grid_finer_than_the_xray(adam):
    found = cause(adam, "pretrain", level=8, init="scratch")
    assert isinstance(found, VolumeError) and ".png: volume: a cell of level 8" in str(found)
    assert not list(adam.root.rglob("last.pt"))


def test_an_xray_too_small_for_context(caid, xrays, tmp_path):
    records = [{"image": record["image"]} for record in records_of(xrays, "training")]
    Image.fromarray(np.asarray(Image.open(records[0]["image"]))[:31]).save(tmp_path / "strip.png")
    datalist = {"training": records, "validation": [*records, {"image": str(tmp_path / "strip.png")}]}
    (tmp_path / "list.json").write_text(json.dumps(datalist))
    found = cause(caid, "pretrain", datalist=str(tmp_path / "list.json"))
    assert (
        isinstance(found, VolumeError) and "strip.png: volume: each side" in str(found) and "least_side" in str(found)
    )
    assert not list(caid.root.rglob("tensorboard"))


@pytest.mark.parametrize("stage", [{"mode": "caid"}, {"mode": "id"}])
def test_a_size_that_does_not_divide_is_known_in_the_first_stage(caid, stage):
    """Instance discrimination alone could be trained at this size, and the stage after it could not."""
    found = cause(caid, "pretrain", size=100, **stage)
    assert isinstance(found, ValueError) and "size: must divide by 32" in str(found) and "96 or 128" in str(found)
    assert not list(caid.root.rglob("tensorboard"))


@pytest.mark.parametrize(("config", "kind"), [("finetune", "train"), ("inference", "infer")])
def test_a_size_that_does_not_divide_is_known_before_an_xray_is_shown(adam, config, kind):
    found = cause(adam, config, kind=kind, size=100, init="scratch")
    assert isinstance(found, ValueError) and "size: must divide by 32" in str(found)


def test_a_view_too_small_for_the_distortion(caid):
    found = cause(caid, "pretrain", size=64)
    assert isinstance(found, ValueError) and 'in mode "caid" be at least 81' in str(found)
    assert "Give 96, for example" in str(found)


def test_findings_that_do_not_fit(adam):
    found = cause(adam, "classify", init="scratch", num_classes=14)
    assert isinstance(found, DatalistError) and "classes: each record must have 14 numbers" in str(found)
