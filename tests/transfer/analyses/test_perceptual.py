"""Perceptual distances: recomputed by hand, LPIPS through a stand-in, tables with blanks."""

import csv
import sys
import types

import numpy as np
import pytest
import torch
from helpers.study_sets import column_encoder

from medgenesis import cli
from medgenesis.errors import DatalistError
from medgenesis.transfer.analyses import perceptual
from medgenesis.transfer.analyses.perceptual import feature_distance, lpips_distance
from medgenesis.transfer.controls import control
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.questions.perceptual import ask_perceptual
from medgenesis.transfer.results import load_arrays, save_result
from medgenesis.transfer.study_report import write_study_report


def two_maps(batch):
    return [torch.cat([batch, batch**2], 1), torch.cat([batch, 1 - batch], 1)[..., ::2]]


def by_hand(one, other):
    """Place by place."""
    total = 0.0
    for maps in zip(two_maps(one[None]), two_maps(other[None]), strict=True):
        a, b = (level[0].flatten(1).double().numpy() for level in maps)
        places = [
            ((a[:, p] / np.linalg.norm(a[:, p]) - b[:, p] / np.linalg.norm(b[:, p])) ** 2).sum()
            for p in range(a.shape[1])
        ]
        total += np.mean(places)
    return total


def test_feature_distance_by_hand_of_images_and_volumes():
    torch.manual_seed(0)
    one, other = torch.rand(2, 1, 6, 6) + 0.1
    flat = feature_distance(Encoder("maps", two_maps, 2, 1, (6, 6)))
    assert flat(one, other) == pytest.approx(by_hand(one, other), rel=1e-5)  # rows first already
    assert flat(one, one) == 0
    volumes = torch.rand(2, 1, 6, 6, 6) + 0.1
    solid = feature_distance(Encoder("maps", two_maps, 3, 1, (6, 6, 6)))
    assert solid(*volumes) == pytest.approx(by_hand(*volumes), rel=1e-5)
    slices = [by_hand(volumes[0][..., z].mT, volumes[1][..., z].mT) for z in range(6)]
    assert flat(*volumes) == pytest.approx(np.mean(slices), rel=1e-4)


def test_controls_compare_by_what_they_see():
    generator = torch.Generator().manual_seed(0)
    for shape in ((3, 30, 20), (1, 9, 10, 11)):
        one, other = torch.rand(2, *shape, generator=generator)
        for name in ("pixels", "handmade"):
            a, b = (control(name).embed(image[None])[0].double().numpy() for image in (one, other))
            expected = ((a / np.linalg.norm(a) - b / np.linalg.norm(b)) ** 2).sum()
            assert feature_distance(control(name))(one, other) == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="^table: must see images; found a table's numbers"):
        feature_distance(control("table"))


class StandIn(torch.nn.Module):
    """In the place of lpips.LPIPS: the mean difference, and what it was shown."""

    shown: list = []

    def __init__(self, net, version, verbose):
        super().__init__()
        assert (net, version) == ("alex", "0.1")

    def forward(self, one, other):
        StandIn.shown.append((tuple(one.shape), float(one.min()), float(one.max())))
        return (one - other).abs().mean()[None, None, None, None]


def test_lpips_sees_three_channels_from_minus_1_to_1(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=StandIn))
    monkeypatch.setattr(perceptual, "lpips_is_installed", lambda: True)
    distance = lpips_distance("alex")
    one, other = torch.zeros(1, 224, 224), torch.ones(1, 224, 224)
    assert distance(one, other) == pytest.approx(2)
    assert StandIn.shown[0] == ((1, 3, 224, 224), -1, -1)
    assert distance(torch.zeros(1, 8, 8, 3), torch.full((1, 8, 8, 3), 0.25)) == pytest.approx(0.5, abs=1e-5)
    assert len(StandIn.shown) == 4  # a volume's three slices
    with pytest.raises(ValueError, match="^net: must be one of alex, vgg, squeeze"):
        lpips_distance("resnet")


def test_without_lpips_or_its_weights_the_message_says_what_to_do(monkeypatch):
    monkeypatch.setattr(perceptual, "lpips_is_installed", lambda: False)
    with pytest.raises(ValueError, match="^net: must have the package lpips; found none"):
        lpips_distance("alex")

    monkeypatch.setattr(perceptual, "lpips_is_installed", lambda: True)
    for error in (OSError("no network"), RuntimeError("operator torchvision::nms does not exist")):

        def absent(error=error, **_):
            raise error

        monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=absent))
        with pytest.raises(ValueError, match="^net: must have torchvision and its weights of alex"):
            lpips_distance("alex")


PACKAGE = """
import torch

class LPIPS(torch.nn.Module):
    def __init__(self, net, version, verbose):
        super().__init__()
        self.factor = ("alex", "vgg", "squeeze").index(net) + 1

    def forward(self, one, other):
        return self.factor * (one - other).square().mean()[None, None, None, None]
"""


def test_the_command_compares_by_all_networks_of_the_package_where_it_is(tmp_path, monkeypatch, capsys):
    (tmp_path / "packages" / "lpips").mkdir(parents=True)
    (tmp_path / "packages" / "lpips" / "__init__.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.delitem(sys.modules, "lpips", raising=False)
    place = inverted(tmp_path / "study", "swav", "bach", (3, 224, 224), {"steps": 3000, "compat": True})
    pair = np.load(place / "001.npz")
    expected = 4 * ((pair["original"] - pair["reconstruction"]) ** 2).mean()
    try:
        assert cli.main(["transfer", "perceptual", "--out", str(tmp_path / "study")]) == 0
    finally:
        sys.modules.pop("lpips", None)
    for factor, net in enumerate(("alex", "vgg", "squeeze"), 1):
        with (tmp_path / "study" / f"perceptual_{net}.csv").open() as file:
            (row,) = csv.DictReader(file)
        assert float(row["bach"]) == pytest.approx(factor * expected, rel=1e-4)
    page = write_study_report(tmp_path / "study").read_text()
    assert "lpips_squeeze of ours" in page and "0.8330" in page  # the published distance by VGG


def inverted(folder, encoder, dataset, shape, settings=None):
    told = {"name": encoder, "encoder (fingerprint)": "f"}
    data = {"dataset": dataset, "images": 1, "patients": 1, "classes": [], "split": "list"}
    data["images by section and class"] = {}
    path = save_result(folder, "inversion", told, data, settings or {"steps": 1}, {"ssim": {"value": 1.0}})
    place = folder / "inversion" / path.stem
    place.mkdir(parents=True)
    pair = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    np.savez(place / "001.npz", original=pair[0], reconstruction=pair[1])
    return place


def test_all_reconstructions_of_a_study_are_compared_and_gaps_are_blank(tmp_path):
    inverted(tmp_path, "a", "images", (1, 32, 32))
    inverted(tmp_path, "b", "volumes", (1, 8, 8, 8))
    by = [column_encoder("columns"), Encoder("solid", two_maps, 3, 1, (8, 8, 8), told={"of": "test"})]
    results = ask_perceptual(tmp_path, by=by)
    assert {name for one in results for name in one["figures"]} == {
        *("features of columns", "features of solid", "ssim", "mse")
    }
    with (tmp_path / "perceptual_features-of-solid.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["model"] == "b" and row["images"] == "" and float(row["volumes"]) > 0
    with (tmp_path / "perceptual_features-of-columns.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], bool(row["images"]), bool(row["volumes"])) for row in rows] == [
        *(("a", True, False), ("b", False, True))
    ]


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(DatalistError, match="must hold reconstructions; found none"):
        ask_perceptual(tmp_path, by=[column_encoder()])
    place = inverted(tmp_path, "a", "images", (1, 32, 32))
    with pytest.raises(ValueError, match="^nets, by: must name one"):
        ask_perceptual(tmp_path)
    (place / "001.npz").write_bytes(b"PK")
    with pytest.raises(DatalistError, match=r"001.npz: cannot be read as a pair"):
        ask_perceptual(tmp_path, by=[column_encoder()])
    (place / "001.npz").unlink()
    with pytest.raises(DatalistError, match="must hold the pairs of its inversion; found none"):
        ask_perceptual(tmp_path, by=[column_encoder()])


def test_damaged_and_missing_pairs_are_refused_by_name(tmp_path):
    place = inverted(tmp_path, "a", "images", (1, 32, 32), {"steps": 1, "images": 1})
    pair = place / "001.npz"
    whole = pair.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole.replace(b"original", b"anything")):
        pair.write_bytes(damaged)
        with pytest.raises(DatalistError, match=r"001.npz: cannot be read as a pair \(.+\). Ask for inversion"):
            ask_perceptual(tmp_path, by=[column_encoder()])
    pair.write_bytes(whole)
    assert ask_perceptual(tmp_path, by=[column_encoder()])
    place = inverted(tmp_path, "b", "images", (1, 32, 32), {"steps": 1, "images": 2})
    with pytest.raises(DatalistError, match="must hold the pairs of all 2 images of its inversion; found 1"):
        ask_perceptual(tmp_path, by=[column_encoder()])


def test_damaged_arrays_of_a_result_are_refused_by_name(tmp_path):
    path = tmp_path / "one.json"
    assert load_arrays({"path": path}) == {}
    for damaged in (b"", b"PK"):
        path.with_suffix(".npz").write_bytes(damaged)
        with pytest.raises(DatalistError, match=r"one.npz: cannot be read as .* Remove it and one.json, and run again"):
            load_arrays({"path": path})
