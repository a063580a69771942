"""Features computed once: the right ones, kept, and never stale."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.study_sets import ColumnMeans, column_encoder, write_images
from torch import nn

from medgenesis.errors import VolumeError
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.features import ImageReading, check_intensities, study_features
from medgenesis.transfer.geometry import Geometry
from medgenesis.transfer.study_set import open_study_set


@pytest.fixture
def study_set(tmp_path):
    return open_study_set(str(write_images(tmp_path)), tmp_path)


def test_they_are_those_of_each_image_alone_whatever_the_batch(study_set, tmp_path):
    encoder = column_encoder()
    found = study_features(encoder, study_set, tmp_path / "f", batch_size=5).vectors
    read = ImageReading(encoder)
    for row, record in enumerate(study_set.records):
        assert np.allclose(found[row], ColumnMeans()(encoder.prepared(read(record), "a")).mean(0))
    assert isinstance(found, np.memmap) and found.dtype == np.float32 and len(found) == 24


def test_they_are_computed_once_and_anew_where_anything_differs(study_set, tmp_path):
    calls = []

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, batch):
            calls.append(len(batch))
            return batch.flatten(1)[:, :4] * self.weight

    network = Counting()

    def computed(**changed):
        before = len(calls)
        encoder = Encoder("e", network, 2, 1, changed.pop("size", (16, 16)), **changed)
        study_features(encoder, study_set, tmp_path / "f")
        return len(calls) > before

    assert computed() and not computed()
    assert computed(size=(8, 8)) and not computed(size=(8, 8))
    with torch.no_grad():
        network.weight += 1
    assert computed() and not computed()
    image = study_set.records[0]["image"]
    os.utime(image, (1, 1))
    del study_set.__dict__["fingerprint"]  # as in another process
    assert computed()


def test_a_function_that_loads_other_weights_is_another_encoder(study_set, tmp_path):
    found = []
    for weight in (1.0, 1.0, 2.0):  # as in three processes: name and source stay
        encoder = column_encoder(network=lambda batch, weight=weight: [weight * batch])
        found.append((encoder.fingerprint, study_features(encoder, study_set, tmp_path / "f").vectors.mean()))
    assert found[0] == found[1] and found[2][0] != found[0][0]
    assert found[2][1] == pytest.approx(2 * found[0][1])


def test_how_images_are_shown_is_told():
    encoder = column_encoder()
    squashed = replace(encoder, geometry=Geometry("squash"), spacing_mm=[1, 1, 3])
    assert encoder.shown()["geometry 2D"]["rule"] == "crop" and encoder.shown("ct")["intensity"] == "ct"
    assert squashed.shown()["geometry 2D"]["rule"] == "squash" and squashed.shown()["spacing_mm"] == [1, 1, 3]


def test_features_that_are_not_finite_name_the_image(study_set, tmp_path):
    encoder = column_encoder(network=lambda batch: torch.full((len(batch), 2), float("nan")))
    with pytest.raises(VolumeError, match=r"p\d+\.png: its features must be finite"):
        study_features(encoder, study_set, tmp_path / "f")
    assert not list((tmp_path / "f").glob("*.npy"))


def test_images_that_features_cannot_tell_apart_are_told(study_set, tmp_path, caplog):
    encoder = column_encoder(network=lambda batch: torch.ones(len(batch), 3))
    study_features(encoder, study_set, tmp_path / "f")
    assert "the features of all 24 images are equal" in caplog.text
    caplog.clear()
    images = [record["image"] for record in study_set.records]
    Path(images[3]).write_bytes(Path(images[1]).read_bytes())
    study_features(column_encoder(), open_study_set(str(tmp_path / "list.json"), tmp_path), tmp_path / "f")
    assert "1 of 24 images have exactly the features of another" in caplog.text and "p001.png" in caplog.text


def test_an_encoder_that_gives_no_vectors_is_refused(study_set, tmp_path):
    encoder = column_encoder(network=lambda batch: batch.mean())
    with pytest.raises((ValueError, IndexError), match="must give features"):
        study_features(encoder, study_set, tmp_path / "f")


def test_a_network_is_in_evaluation_mode(study_set, tmp_path):
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten()).train()
    encoder = Encoder("norm", network, 2, 1, (8, 8))
    study_features(encoder, study_set, tmp_path / "f")
    assert not network.training and network[0].num_batches_tracked == 0


def test_intensities_that_nothing_tells_are_asked_for(tmp_path):
    listed = write_images(tmp_path)
    content = json.loads(listed.read_text())
    for record in content["training"]:
        del record["intensity"]
    listed.write_text(json.dumps(content))
    study_set = open_study_set(str(listed), tmp_path)
    with pytest.raises(VolumeError, match="its intensities must be known"):
        study_features(column_encoder(), study_set, tmp_path / "f")
    known = replace(column_encoder("known"), intensity="xray")
    check_intensities([known], study_set)
    check_intensities([known, column_encoder()], study_set, "xray")
    with pytest.raises(VolumeError, match="its intensities must be known"):  # of the second encoder
        check_intensities([known, column_encoder()], study_set)
    assert len(study_features(column_encoder(), study_set, tmp_path / "f", intensity="xray").vectors) == 24
