"""What the report writes is what the single questions answer."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from medgenesis.data import preprocessing
from medgenesis.errors import VolumeError
from medgenesis.networks import ResNet25D
from medgenesis.transfer import (
    DenseEmbedder,
    RawPixels,
    embed_landmarks,
    load_xray_slabs,
    match_landmarks,
    measure_compositionality,
    measure_locality,
    report_dense_features,
    same_position_baseline,
)

pytestmark = pytest.mark.usefixtures("one_thread")

WINDOW, SIZE, STRIDE, RADII = 16, 32, 12, (6, 12)
PLACES = {"carina": (20.0, 14.0), "apex": (9.0, 25.0), "angle": (30.0, 28.0)}


@pytest.fixture(scope="module")
def images():
    generator = torch.Generator().manual_seed(0)
    noise = nn.functional.interpolate(torch.rand(1, 1, 9, 9, generator=generator), (44, 40), mode="bicubic")[0]
    return {
        f"xrays/{name}.png": noise.roll(shift, 2).expand(3, -1, -1) for name, shift in (("a", 0), ("b", 2), ("c", 5))
    }


@pytest.fixture(scope="module")
def landmarks():
    return {
        f"xrays/{name}.png": {landmark: (x + shift, y) for landmark, (x, y) in PLACES.items()}
        for name, shift in (("a", 0), ("b", 2))
    }


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    return ResNet25D("resnet18")


@pytest.fixture(scope="module")
def report(images, landmarks, backbone, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dense") / "new"
    weights = folder.parent / "photographs.pth"
    torch.manual_seed(1)
    torch.save(ResNet25D("resnet18").state_dict(), weights)
    settings = {"window": WINDOW, "size": SIZE, "stride": STRIDE, "radii": RADII, "patches": 6, "seed": 3}
    return folder, report_dense_features(backbone, images, folder, landmarks, imagenet=weights, **settings)


def rows_of(path):
    with path.open(newline="") as file:
        return {row.pop("backbone"): row for row in csv.DictReader(file)}


def test_each_row_holds_the_answers_to_the_single_questions(report, images, landmarks, backbone):
    folder, rows = report
    assert list(rows) == ["trained", "random init", "raw pixels", "ImageNet", "same place"]
    marked = {name: images[name] for name in landmarks}
    for name, network in (("trained", backbone), ("raw pixels", RawPixels())):
        embedder = DenseEmbedder(network, WINDOW, SIZE)
        found = match_landmarks(embedder, marked, landmarks, stride=STRIDE)
        expected = {"within 6 px": found.hit_rate(6), "within 12 px": found.hit_rate(12)}
        expected |= {
            "mean distance, px": found.mean_distance,
            **measure_locality(*embed_landmarks(embedder, marked, landmarks)),
        }
        for count, figures in measure_compositionality(embedder, list(images.values()), patches=6, seed=3).items():
            expected |= {f"{count} parts": figures["mean"], f"{count} parts, difference": figures["difference"]}
        assert rows[name] == pytest.approx(expected, abs=1e-6)
    blind = same_position_baseline(marked, landmarks)
    assert rows["same place"]["mean distance, px"] == pytest.approx(blind.mean_distance) == pytest.approx(2)
    assert rows["random init"] != rows["trained"] != rows["ImageNet"]


def test_the_table_is_what_is_returned(report):
    folder, rows = report
    table = rows_of(folder / "dense.csv")
    assert list(table) == list(rows)
    for name, row in rows.items():
        filled = {column: float(text) for column, text in table[name].items() if text}
        assert filled == pytest.approx(row, rel=1e-5)


def test_dense_maps_and_images(report, images, backbone):
    folder, rows = report
    names = ["trained", "random_init", "raw_pixels", "ImageNet"]
    drawings = {f"landmarks_{name}.png" for name in names}
    assert {path.name for path in folder.iterdir()} == {*drawings, "dense.csv", "maps"}
    assert np.asarray(Image.open(folder / "landmarks_trained.png")).std() > 0
    assert sorted(path.name for path in (folder / "maps").iterdir()) == ["000_a.npz", "001_b.npz", "002_c.npz"]
    field = DenseEmbedder(backbone, WINDOW, SIZE).map(images["xrays/c.png"], STRIDE)
    with np.load(folder / "maps" / "002_c.npz") as saved:
        np.testing.assert_allclose(saved["vectors"], field.vectors, atol=1e-5)
        assert (
            saved["vectors"].shape == (512, len(saved["y"]), len(saved["x"])) and saved["vectors"].dtype == np.float32
        )
        np.testing.assert_array_equal(saved["x"], field.x)
        np.testing.assert_array_equal(saved["y"], field.y)


def test_without_landmarks_and_with_sizes_by_the_xray(images, backbone, tmp_path):
    rows = report_dense_features(backbone, images, tmp_path, size=32, patches=3, maps=False)
    assert list(rows) == ["trained", "random init", "raw pixels"]
    assert [path.name for path in tmp_path.iterdir()] == ["dense.csv"]
    expected = measure_compositionality(
        DenseEmbedder(backbone, 10, 32), list(images.values()), patches=3
    )  # a quarter of 40
    assert rows["trained"]["4 parts"] == pytest.approx(expected[4]["mean"], abs=1e-6)


def test_landmarks_of_other_images(images, backbone, tmp_path):
    with pytest.raises(ValueError, match=r"landmarks: must be of two of the images or more; found 0 of 3.*x.png"):
        report_dense_features(backbone, images, tmp_path / "none", {"x.png": PLACES})
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("count", "place", "window", "words"),
    [
        (1, (20.0, 14.0), 16, "images: must be two or more; found 1"),
        (3, (39.6, 14.0), 16, r"found 'carina' of xrays/b.png at x 39.6, y 14, outside 40 x 44 pixels"),
        (3, (20.0, -0.6), 16, "'carina' of xrays/b.png at x 20, y -0.6"),
        (3, (20.0, 14.0), 41, r"window: must be .* found 41, and xrays/a.png of 40 x 44 pixels"),
    ],
)
def test_what_cannot_be_asked_is_known_before_anything_is_written(
    images, landmarks, backbone, tmp_path, count, place, window, words
):
    some = dict(list(images.items())[:count])
    marks = {**landmarks, "xrays/b.png": {"carina": place}}
    with pytest.raises(ValueError, match=words):
        report_dense_features(backbone, some, tmp_path / "none", marks, window=window, size=32)
    assert not (tmp_path / "none").exists()


def test_more_landmarks_than_there_are_colours(images, backbone, tmp_path):
    many = {name: {f"point {i}": (float(i), 20.0) for i in range(36)} for name in images}
    report_dense_features(backbone, images, tmp_path, many, window=8, size=32, stride=40, patches=3, maps=False)
    assert (tmp_path / "landmarks_trained.png").is_file()


def test_xrays_become_slabs_those_that_come_first_first(tmp_path):
    records = []
    for i, grey in enumerate((40, 80, 120)):
        records.append({"image": str(tmp_path / f"{i}.png")})
        pixels = np.full((6, 8), grey, dtype=np.uint8)
        pixels[0, 0] = 255
        Image.fromarray(pixels).save(records[-1]["image"])
    xrays = load_xray_slabs(records, preprocessing(intensity="xray"), slices=5, count=2, first=[records[2]["image"]])
    assert list(xrays) == [records[2]["image"], records[0]["image"]]
    (third, first) = xrays.values()
    assert third.shape == (5, 6, 8) and third[:, 3, 3].tolist() == pytest.approx([120 / 255] * 5)
    assert first[0, 0, 0] == 1 and first[4, 5, 7] == pytest.approx(40 / 255)


def test_a_volume_is_no_xray():
    with pytest.raises(VolumeError, match=r"scan.nii.gz: must be an X-ray, .* found shape \(1, 4, 4, 4\)"):
        load_xray_slabs([{"image": "scan.nii.gz"}], lambda record: {"image": torch.zeros(1, 4, 4, 4)})
