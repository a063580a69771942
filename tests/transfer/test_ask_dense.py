"""Questions on places as parts of the study: the same figures as of the single functions, for any encoder."""

import json

import numpy as np
import pytest
import torch
from helpers.study_sets import ColumnMeans, column_encoder
from PIL import Image

from medgenesis.errors import DatalistError, VolumeError
from medgenesis.transfer.ask_dense import Places, ask_places
from medgenesis.transfer.controls import control
from medgenesis.transfer.dense import DenseEmbedder, RawPixels, match_landmarks, measure_compositionality
from medgenesis.transfer.dense.of_encoder import PooledEncoder, embedder_of, xrays_of
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.study_set import StudySet

SETTINGS = Places(window=16, stride=2, radii=(3.0,), patches=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four images of three patients: one pattern, moved; its landmarks move with it."""
    folder = tmp_path_factory.mktemp("xrays")
    pattern = np.kron(np.random.default_rng(0).integers(40, 255, (12, 12)), np.ones((8, 8)))
    lines = ["image,landmark,x,y"]
    for number in range(4):
        image = np.roll(pattern, (2 * number, 3 * number), (0, 1))[:64, :80]
        Image.fromarray(image.astype(np.uint8)).save(folder / f"{number}.png")
        lines += [f"{number}.png,{name},{x + 3 * number},{y + 2 * number}" for name, x, y in PLACES]
    (folder / "landmarks.csv").write_text("\n".join(lines) + "\n")
    return folder


PLACES = (("one", 20, 20), ("two", 45, 25), ("three", 30, 40))


def xrays(folder, count=4):
    records = [
        {"image": str(folder / f"{i}.png"), "patient": f"p{i // 2 + i // 3}", "section": "test", "intensity": "xray"}
        for i in range(count)
    ]
    return StudySet("xrays", tuple(records), ())


def test_the_figures_are_those_of_the_functions(folder, tmp_path):
    pixels, known = control("pixels"), xrays(folder)
    figures = ask_places("landmarks", pixels, known, SETTINGS, tmp_path, landmarks=folder / "landmarks.csv")
    images = xrays_of(pixels, known.records)
    assert next(iter(images.values())).shape == (1, 64, 80)  # rows first
    marks = {name: {mark: (x + 3 * i, y + 2 * i) for mark, x, y in PLACES} for i, name in enumerate(images)}
    found = match_landmarks(DenseEmbedder(RawPixels(), 16), images, marks, stride=2)
    assert figures["within 3 px"]["value"] == pytest.approx(found.hit_rate(3)) == 1
    assert figures["distance, px"]["value"] == pytest.approx(found.mean_distance)
    assert 0 < figures["distance, px"]["low"] <= figures["distance, px"]["high"]
    moved = [np.hypot(3 * (a - b), 2 * (a - b)) for a in range(4) for b in range(4) if a != b]
    assert figures["same place distance, px"]["value"] == pytest.approx(np.mean(moved))
    (path,) = (tmp_path / "results" / "landmarks").glob("*.json")
    table = (tmp_path / "landmarks" / path.stem / "landmarks.csv").read_text()
    assert sorted(table.splitlines()) == ["landmark,within 3 px", "one,1", "three,1", "two,1"]
    result = json.loads(path.read_text())
    assert result["settings"]["landmarks (fingerprint)"] and str(folder) not in path.read_text()


def test_locality_and_compositionality_of_a_function(folder, tmp_path):
    one, known = column_encoder(), xrays(folder)
    figures = ask_places("locality", one, known, SETTINGS, tmp_path, landmarks=folder / "landmarks.csv")
    assert figures["accuracy"]["value"] == 1 and figures["distance ratio"]["value"] < 0.5
    (picture,) = (tmp_path / "locality").glob("*/landmarks.png")
    assert Image.open(picture).size[0] > 100
    figures = ask_places("compositionality", one, known, SETTINGS, tmp_path)
    rows = np.random.default_rng(0).permutation(4)
    images = list(xrays_of(one, [known.records[row] for row in rows]).values())
    expected = measure_compositionality(DenseEmbedder(PooledEncoder(one), 16, 32), images, patches=6)
    assert figures["4 parts"]["value"] == pytest.approx(expected[4]["mean"])
    assert figures["2 parts, difference"]["value"] == pytest.approx(expected[2]["difference"])


def test_a_network_is_asked_where_it_is_and_stays_as_it_is():
    network = torch.nn.Conv2d(1, 2, 3)
    embedder = embedder_of(Encoder("one", network, 2, 1, (8, 8)), 6)
    vectors = embedder.at(torch.rand(1, 9, 9), torch.tensor([[4.0, 4.0]]))
    assert vectors.shape == (1, 2) and embedder.size == 8
    assert embedder_of(control("handmade"), 6).embed(torch.rand(3, 1, 6, 6)).shape == (3, 39)


def test_bad_input_is_named(folder, tmp_path):
    known = xrays(folder)
    with pytest.raises(ValueError, match="^question: must be one of landmarks, locality, compositionality"):
        ask_places("landmarks", control("pixels"), known, SETTINGS, tmp_path)
    for encoder in (Encoder("solid", ColumnMeans(), 3, 1, (8, 8, 8)), control("table")):
        with pytest.raises(ValueError, match=f"^{encoder.name}: must see square 2D images"):
            ask_places("compositionality", encoder, known, SETTINGS, tmp_path)
    with pytest.raises(DatalistError, match="^xrays: must have two images or more for compositionality; found 1"):
        ask_places("compositionality", control("pixels"), xrays(folder, 1), SETTINGS, tmp_path)
    np.save(tmp_path / "v.npy", np.linspace(0, 1, 512, dtype=np.float32).reshape(8, 8, 8))
    with pytest.raises(VolumeError, match="v.npy: must be an X-ray, for its places are asked about"):
        xrays_of(control("pixels"), [{"image": str(tmp_path / "v.npy"), "intensity": "unit"}])
