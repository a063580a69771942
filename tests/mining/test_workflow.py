"""The five steps as the config mine.yaml chains them: what they leave."""

import csv
import json
import shutil
from collections import Counter

import numpy as np
import pytest
import torch
from helpers.mining_run import RESULTS, TINY, dark, mine, parsed
from monai.data import Dataset, load_decathlon_datalist
from PIL import Image

from medgenesis.data import preprocessing
from medgenesis.engines import PretextEvaluator, PretextTrainer
from medgenesis.errors import DatalistError
from medgenesis.io import LoadVolumed
from medgenesis.mining import (
    MiningRun,
    PatternTable,
    ResizeVolumed,
    VolumeFeatures,
    VolumeLoader,
    pattern_similarity,
    prepared_as,
    records_to_mine,
    volume_features,
)
from medgenesis.networks import AutoEncoder3D, UNet3D
from medgenesis.weights import load_pretrained


def test_a_table_images_and_numbers(datalist, mined):
    assert RESULTS <= {path.name for path in mined.iterdir()}
    table = PatternTable.load(mined / "patterns.json")
    for section, count in (("training", 3), ("validation", 2)):
        assert Counter(item["class"] for item in table.items(section)) == dict.fromkeys(range(3), count)
    assert len(load_decathlon_datalist(str(mined / "patterns.json"), data_list_key="training")) == 9
    assert VolumeFeatures.load(mined / "features.npz").vectors.shape == (6, 16 * TINY["width"])
    assert all(np.ptp(np.asarray(Image.open(mined / name))) > 0 for name in ("contact_sheet.png", "features.png"))
    assert prepared_as(mined / "patterns.json") == {"intensity": "ct", "spacing_mm": None}
    listed = json.loads(datalist.read_text())
    keys = {record["patient"] for section in ("training", "validation") for record in listed[section]}
    assert {volume.patient for volume in table.volumes} == keys
    assert not any(key in (mined / name).read_text() for key in keys for name in ("steps.json", "similarity.json"))


def test_the_numbers_are_those_of_both_sections(mined):
    found = json.loads((mined / "similarity.json").read_text())
    table = PatternTable.load(mined / "patterns.json")
    load = VolumeLoader(table.volumes, preprocessing())
    for section in ("training", "validation"):
        wanted = vars(pattern_similarity(table, load, section=section))
        assert found[section].keys() == wanted.keys()
        assert all(found[section][name] == pytest.approx(value) for name, value in wanted.items())


def test_undefined_numbers_are_null(datalist, described, tmp_path):
    mine(datalist, tmp_path, **described, validation_patients=1)
    found = json.loads((tmp_path / "similarity.json").read_text(), parse_constant=pytest.fail)
    assert found["validation"]["within"] is None and found["validation"]["per_class"] == [None] * 3


def test_the_features_are_those_of_the_best_auto_encoder(datalist, mined):
    network = AutoEncoder3D(width=TINY["width"])
    load_pretrained(network, mined / "autoencoder" / "pretrained.pt", skip_head="never")
    dataset = Dataset(records_to_mine(datalist), preprocessing())
    wanted = volume_features(network, dataset, TINY["volume_size"])
    found = VolumeFeatures.load(mined / "features.npz")
    assert found.volumes == wanted.volumes
    np.testing.assert_allclose(found.vectors, wanted.vectors, rtol=1e-5, atol=1e-6)
    assert found.vectors.std(axis=0).max() > 0


def test_the_auto_encoder_learns_from_whole_volumes(datalist, mined, tmp_path):
    made = parsed(datalist, tmp_path)
    (training, validation) = (made.parser.get_parsed_content(f"{name}#dataset") for name in ("train", "validate"))
    assert (len(training), len(validation)) == (4, 2)
    resize = ResizeVolumed("image", TINY["volume_size"])
    for record, sample in zip(records_to_mine(datalist)[:4], training, strict=False):
        whole = resize(preprocessing()(record))["image"].as_tensor()
        assert torch.equal(sample["image"], sample["target"]) and torch.equal(sample["image"], whole)
    with (mined / "autoencoder" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"] and float(rows[1]["loss"]) < float(rows[0]["loss"])


@pytest.mark.parametrize("features, kind", [("bottleneck", AutoEncoder3D), ("unet", UNet3D)])
def test_the_variants(datalist, tmp_path, features, kind):
    made = parsed(datalist, tmp_path, features=features)
    trainer = made.parser.get_parsed_content("train#trainer")
    assert type(trainer.method.network) is kind
    assert isinstance(trainer.lr_scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)


def test_the_bottleneck_variant_describes_too(datalist, mined, tmp_path):
    mine(datalist, tmp_path, features="bottleneck", autoencoder_epochs=1, validation_patients=0)
    vectors = VolumeFeatures.load(tmp_path / "features.npz").vectors
    assert vectors.shape == (6, 32) and not np.allclose(vectors, VolumeFeatures.load(mined / "features.npz").vectors)


def test_a_plateau_halves_the_rate(datalist, tmp_path, monkeypatch):
    evaluate = PretextEvaluator._iteration
    flat = {"loss": torch.tensor(1.0)}
    monkeypatch.setattr(PretextEvaluator, "_iteration", lambda *args: {**evaluate(*args), **flat})
    trainer = parsed(datalist, tmp_path, lr_patience=1, autoencoder_epochs=3).parser.get_parsed_content("train#trainer")
    trainer.run()
    assert trainer.optimizer.param_groups[0]["lr"] == 0.001 / 4, "the first epoch is the best, two are not better"


def test_a_checkpoint_in_place_of_an_auto_encoder(datalist, mined, described, tmp_path, monkeypatch):
    monkeypatch.setattr(PretextTrainer, "run", lambda self: pytest.fail("nothing is to be learnt"))
    made = parsed(datalist, tmp_path, **described)
    made.run()
    assert len(made.parser.get_parsed_content("train#dataset")) == 1, "one volume stands for all"
    found, wanted = (PatternTable.load(folder / "patterns.json") for folder in (tmp_path, mined))
    assert (found.training, found.validation) == (wanted.training, wanted.validation)
    assert not (tmp_path / "autoencoder" / "pretrained.pt").exists()


def test_a_volume_without_body_is_mined_by_voxels(datalist, described, tmp_path, caplog):
    copied = shutil.copytree(datalist.parent, tmp_path / "scans") / "datalist.json"
    for path in (copied.parent / "images").iterdir():
        dark(path)
    mine(copied, tmp_path / "run", **described)
    assert PatternTable.load(tmp_path / "run" / "patterns.json").num_classes == 3
    assert "shows no body" in caplog.text
    with pytest.raises(ValueError, match="index.json: .*it was made with body_threshold = 0.1, now it is 0.01"):
        mine(copied, tmp_path / "run", **described, body_threshold=0.01)
    mine(copied, tmp_path / "low", **described, body_threshold=0.01, coordinates="body")
    assert PatternTable.load(tmp_path / "low" / "patterns.json").settings["coordinates"] == "body"


def test_without_a_validation_section(datalist, described, tmp_path):
    listed = json.loads(datalist.read_text())
    listed["training"] += listed.pop("validation")
    alone = datalist.with_name("training_only.json")
    alone.write_text(json.dumps(listed))
    with pytest.raises(DatalistError, match="0 patients of section 'validation'"):
        mine(alone, tmp_path / "run")
    made = parsed(alone, tmp_path / "run", validation_patients=0)
    assert len(made.parser.get_parsed_content("validate#dataset")) == 6, "it is judged by what it learns from"
    mine(alone, tmp_path / "run", **described, validation_patients=0)
    assert PatternTable.load(tmp_path / "run" / "patterns.json").validation == []
    assert json.loads((tmp_path / "run" / "similarity.json").read_text()).keys() == {"training"}


@pytest.mark.parametrize("cache", ["disk", "memory", "none"])
def test_each_file_is_read_once_but_for_cubes(datalist, tmp_path, monkeypatch, cache):
    """Without a cache it is read again where a class is found in it, and once for all that the report shows of it."""
    read, call = Counter(), LoadVolumed.__call__

    def counted(self, record):
        read[str(record["image"])] += 1
        return call(self, record)

    monkeypatch.setattr(LoadVolumed, "__call__", counted)
    made = parsed(datalist, tmp_path, cache=cache)
    made.run()
    table = PatternTable.load(tmp_path / "patterns.json")
    found = Counter(item["image"] for item in table.references)
    shown = {item["image"] for item in table.training + table.validation}
    for image in (volume.image for volume in table.volumes):
        again = found[image] + (image in shown) if cache == "none" else 0
        others = image not in shown and cache == "none"  # it may be among those that the report draws at random
        assert read[image] in (1 + again, 1 + again + others)


def test_methods_by_their_names_of_0_1(datalist, mined, described, tmp_path):
    run = MiningRun(
        Dataset(records_to_mine(datalist), preprocessing()),
        tmp_path,
        volume_size=TINY["volume_size"],
        discovery={name: TINY[name] for name in ("classes", "train_patients", "validation_patients", "cube_size")}
        | {"rule": "any", "min_distance": 3},
        **described,
    )
    network = AutoEncoder3D(width=TINY["width"])
    load_pretrained(network, described["features"], skip_head="never")
    with pytest.warns(FutureWarning, match="MiningRun.learn is now train_autoencoder"):
        run.learn(None)
    with pytest.warns(FutureWarning, match="extract_features"):
        assert len(run.describe(network).volumes) == 6
    assert run.discover().training == PatternTable.load(mined / "patterns.json").training
    with pytest.warns(FutureWarning, match="report"):
        run.look()
    assert (tmp_path / "similarity.json").read_bytes() == (mined / "similarity.json").read_bytes()
