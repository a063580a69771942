"""Questions on places as parts of the study: the same figures as of the single functions, for any encoder."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.study_sets import ColumnMeans, column_encoder
from PIL import Image
from torch import nn

from medgenesis.errors import DatalistError, VolumeError
from medgenesis.transfer.controls import control
from medgenesis.transfer.dense import DenseEmbedder, RawPixels, match_landmarks, measure_compositionality
from medgenesis.transfer.dense.of_encoder import PooledEncoder, embedder_of, windows_of
from medgenesis.transfer.dense.seen_images import seen_images
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.questions.places import Places, ask_places
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


@pytest.mark.parametrize("question", ["landmarks", "locality"])
def test_a_landmark_outside_of_its_image_is_named_with_its_table(folder, tmp_path, question):
    """As one of another resolution of the image, or by a decimal comma."""
    table = tmp_path / "odd.csv"
    table.write_text((folder / "landmarks.csv").read_text().replace("2.png,two,51,29", "2.png,two,51,2900"))
    said = r"odd\.csv: a landmark must lie in its image; found 'two' of .*2\.png at x 51, y 2900\. Correct its row"
    with pytest.raises(DatalistError, match=said):
        ask_places(question, control("pixels"), xrays(folder), SETTINGS, tmp_path, landmarks=table)


def test_windows_go_through_the_network_in_batches_of_the_size_asked_for(folder, tmp_path):
    seen = []

    def network(batch):
        seen.append(len(batch))
        return ColumnMeans()(batch)

    encoder = column_encoder(network=network)
    ask_places("compositionality", encoder, xrays(folder), SETTINGS, tmp_path, batch_size=3)
    assert max(seen) == 3


def test_the_figures_are_those_of_the_functions(folder, tmp_path):
    pixels, known = control("pixels"), xrays(folder)
    figures = ask_places("landmarks", pixels, known, SETTINGS, tmp_path, landmarks=folder / "landmarks.csv")
    images = seen_images(pixels, known.records).images
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
    images = list(seen_images(one, [known.records[row] for row in rows]).images.values())
    expected = measure_compositionality(DenseEmbedder(PooledEncoder(one), 16, 32), images, patches=6)
    assert figures["4 parts"]["value"] == pytest.approx(expected[4]["mean"])
    assert figures["2 parts, difference"]["value"] == pytest.approx(expected[2]["difference"])


def test_a_network_is_asked_where_it_is_and_stays_as_it_is():
    network = torch.nn.Conv2d(1, 2, 3)
    embedder = embedder_of(Encoder("one", network, 2, 1, (8, 8)), 6)
    vectors = embedder.at(torch.rand(1, 9, 9), torch.tensor([[4.0, 4.0]]))
    assert vectors.shape == (1, 2) and embedder.size == (8, 8)
    assert embedder_of(control("handmade"), 6).embed(torch.rand(3, 1, 6, 6)).shape == (3, 39)


class Blocks(nn.Module):
    """Means of 4 blocks a side, less their mean."""

    def forward(self, x):
        pool = F.adaptive_avg_pool2d if x.ndim == 4 else F.adaptive_avg_pool3d
        means = pool(x, 4).flatten(1)
        return means - means.mean(1, keepdim=True)


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Three volumes of one pattern, moved, in files of different orientation; places are voxels of the files."""
    folder = tmp_path_factory.mktemp("volumes")
    pattern = np.kron(np.random.default_rng(1).random((9, 9, 9)), np.ones((4, 4, 4)))
    lines, records = ["image,landmark,x,y,z"], []
    for number, (flips, spacing) in enumerate(
        [((1, 1, 1), (2, 2, 2)), ((-1, 1, 1), (2, 2, 2)), ((1, -1, -1), (2, 2, 2))]
    ):
        shift = (2 * number, -2 * number, 0)
        volume = np.roll(pattern, shift, (0, 1, 2))[:24, 8:32, :20]
        marks = {name: np.array(place) + shift for name, place in SOLID.items()}
        axes = [axis for axis in range(3) if flips[axis] < 0]
        affine = np.diag([*(-f * s for f, s in zip(flips, spacing, strict=True)), 1.0]) @ np.diag([1, 1, -1, 1])
        nib.save(nib.Nifti1Image(np.flip(volume, axes).astype(np.float32), affine), folder / f"{number}.nii.gz")
        for name, place in marks.items():
            own = [volume.shape[i] - 1 - p if i in axes else p for i, p in enumerate(place)]
            lines.append(",".join(map(str, (f"{number}.nii.gz", name, *own))))
        records.append(
            {"image": str(folder / f"{number}.nii.gz"), "patient": str(number), "section": "test", "intensity": "unit"}
        )
    (folder / "landmarks.csv").write_text("\n".join(lines) + "\n")
    return StudySet("volumes", tuple(records), ()), folder / "landmarks.csv"


SOLID = {"one": (8, 14, 6), "two": (12, 10, 12), "three": (6, 16, 14)}


@pytest.mark.parametrize(
    "encoder",
    [control("pixels"), Encoder("solid", Blocks(), 3, 1, (8, 8, 4)), Encoder("slabs", Blocks(), 2, 3, (8, 8))],
    ids=["pixels", "3D", "2.5D"],
)
def test_places_of_volumes_are_found_whatever_the_orientation_of_the_files(volumes, tmp_path, encoder):
    known, table = volumes
    settings = Places(window=8, stride=2, radii=(4.1,), patches=4)
    figures = ask_places("landmarks", encoder, known, settings, tmp_path, landmarks=table)
    assert figures["within 4.1 mm"]["value"] == 1
    moved = [np.sqrt(2) * 2 * 2 * abs(a - b) for a in range(3) for b in range(3) if a != b]  # 2 voxels of 2 mm
    assert figures["same place distance, mm"]["value"] == pytest.approx(np.mean(moved))
    assert figures["distance, mm"]["value"] < np.mean(moved)
    figures = ask_places("locality", encoder, known, settings, tmp_path, landmarks=table)
    assert figures["accuracy"]["value"] == 1
    figures = ask_places("compositionality", encoder, known, settings, tmp_path)
    assert all(np.isfinite(one["value"]) for one in figures.values())


def test_voxels_of_the_file_are_where_they_lie_at_another_spacing(volumes):
    known, table = volumes
    own, fine = (
        seen_images(Encoder("e", Blocks(), None, None, (), spacing_mm=mm), known.records) for mm in (None, (1, 2, 2))
    )
    marks = {record["image"]: {"one": (8.0, 14.0, 6.0)} for record in known.records}
    for name in own.images:
        (here, there) = (np.array(one.places(marks)[name]["one"]) for one in (own, fine))
        assert there == pytest.approx(here * (2, 1, 1)) and fine.spacing[name] == pytest.approx((1, 2, 2))
        assert fine.images[name].shape[1] > own.images[name].shape[1]


def test_windows_have_the_proportions_of_the_input():
    assert windows_of(Encoder("a", Blocks(), 3, 1, (64, 64, 32)), 20, 3) == (20, 20, 10)
    assert windows_of(Encoder("b", Blocks(), 2, 3, (48, 96)), 20, 2) == (10, 20)
    assert windows_of(Encoder("b", Blocks(), 2, 3, (48, 96)), 20, 3) == (20, 10, 3)  # columns first, three slices
    assert windows_of(control("handmade"), 20, 3) == (20, 20, 20)


def test_bad_input_is_named(folder, tmp_path):
    known = xrays(folder)
    with pytest.raises(ValueError, match="^question: must be one of landmarks, locality, compositionality"):
        ask_places("landmarks", control("pixels"), known, SETTINGS, tmp_path)
    with pytest.raises(VolumeError, match="must be a volume, for the encoder is 3D; found a 2D image"):
        ask_places("compositionality", Encoder("solid", ColumnMeans(), 3, 1, (8, 8, 8)), known, SETTINGS, tmp_path)
    with pytest.raises(ValueError, match="^table: must see images, to be asked about their places; found a table"):
        ask_places("compositionality", control("table"), known, SETTINGS, tmp_path)
    with pytest.raises(DatalistError, match="^xrays: must have two images or more for compositionality; found 1"):
        ask_places("compositionality", control("pixels"), xrays(folder, 1), SETTINGS, tmp_path)
    np.save(tmp_path / "v.npy", np.linspace(0, 1, 512, dtype=np.float32).reshape(8, 8, 8))
    both = [*known.records[:1], {"image": str(tmp_path / "v.npy"), "intensity": "unit"}]
    with pytest.raises(VolumeError, match="v.npy: must have as many axes as the others, 2; found 3"):
        seen_images(control("pixels"), both)
    solid = seen_images(control("pixels"), both[1:])
    with pytest.raises(DatalistError, match=r"landmarks: must be 3 numbers in this data set; found \(1.0, 2.0\)"):
        solid.places({str(tmp_path / "v.npy"): {"a": (1.0, 2.0)}})
