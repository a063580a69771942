"""Invariance and views against NumPy and SciPy, and encoders that are invariant by construction."""

import numpy as np
import pytest
import torch
from scipy.ndimage import rotate
from scipy.spatial.distance import mahalanobis

from medgenesis.errors import DatalistError
from medgenesis.transfer.analyses.changes import CHANGES, family, means
from medgenesis.transfer.analyses.invariance import FeatureStatistics, invariance, similarity
from medgenesis.transfer.analyses.multiview import multiview, view_pairs
from medgenesis.transfer.encoder import Encoder


def test_similarity_and_distance_are_those_of_an_explicit_inverse():
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(60, 5)) @ generator.normal(size=(5, 5)) + 3
    one, other = vectors[:8], vectors[8:16]
    statistics = FeatureStatistics.of(vectors, compat=True)
    inverse = np.linalg.inv(np.cov(vectors, rowvar=False) + 1e-6 * np.eye(5))
    cosine, distance = similarity(one, other, statistics)
    for i in range(8):
        a, b = one[i] - vectors.mean(0), other[i] - vectors.mean(0)
        assert cosine[i] == pytest.approx(a @ inverse @ b / np.sqrt((a @ inverse @ a) * (b @ inverse @ b)))
        assert distance[i] == pytest.approx(mahalanobis(one[i], other[i], inverse))


def test_shrinkage_is_the_default_and_works_with_few_images():
    vectors = np.random.default_rng(1).normal(size=(10, 40))
    statistics = FeatureStatistics.of(vectors)
    assert 0 < statistics.shrinkage <= 1 and statistics.samples == 10
    assert np.isfinite(similarity(vectors, vectors[::-1], statistics)[0]).all()
    assert np.isnan(similarity(statistics.mean[None], vectors[:1], statistics)[0]).all()
    with pytest.raises(ValueError, match="^vectors: must be finite"):
        FeatureStatistics.of(vectors[:1])


def test_constant_features_are_refused_by_the_encoder_with_a_remedy_that_is_one():
    for value in (0.0, 0.1, 1e3 / 3):
        with pytest.raises(ValueError, match=r"^mine: features must differ .*; found the same of all 7\. Look at"):
            FeatureStatistics.of(np.full((7, 3), value), name="mine")
    assert FeatureStatistics.of(np.full((7, 3), 0.1), compat=True).shrinkage is None  # the study's ridge


def images(count=12, side=24):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(1, side, side, generator=generator) for _ in range(count)]


def test_an_encoder_that_is_invariant_by_construction():
    def sorted_values(batch):  # mirroring moves values, and changes none
        return batch.flatten(1).sort(1)[0][:, ::64]

    shown = images()
    encoder = Encoder("sorted", sorted_values, 2, 1, (24, 24))
    statistics = FeatureStatistics.of(np.stack([encoder.embed(one[None])[0].numpy() for one in shown]))
    one = family("flip")
    rows = invariance(encoder, iter(shown), {"flip": (one.change, one.parameters)}, statistics)["flip"]
    assert all(row["similarity"] == pytest.approx(1) and row["distance"] == pytest.approx(0, abs=1e-5) for row in rows)
    pixels = Encoder("pixels", lambda batch: batch.flatten(1)[:, ::64], 2, 1, (24, 24))
    statistics = FeatureStatistics.of(np.stack([pixels.embed(one[None])[0].numpy() for one in shown]))
    rows = invariance(pixels, shown, {"flip": (one.change, one.parameters)}, statistics)["flip"]
    found = means([dict(row) for row in rows], one.identity)
    assert rows[0]["similarity"] == pytest.approx(1) and found["similarity"] < 0.5
    assert found["similarity_with_identity"] == pytest.approx((1 + 2 * found["similarity"]) / 3)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", CHANGES)
def test_the_identity_changes_nothing_and_others_do(name, dims):
    image = torch.rand(1, *(12, 10, 8)[:dims], generator=torch.Generator().manual_seed(3))
    one = CHANGES[name]
    for parameter in one.parameters:
        changed = one.change(image, parameter)
        assert changed.shape == image.shape and torch.isfinite(changed).all()
        assert torch.allclose(changed, image, atol=1e-5) == (parameter == one.identity), parameter


def test_a_turn_is_about_the_middle():
    image = torch.zeros(1, 21, 21)
    image[:, 4:9, 8:12] = 1
    for degrees in (30, 90):
        expected = rotate(image[0].numpy(), -degrees, reshape=False, order=1)
        found = CHANGES["rotation"].change(image, degrees)[0].numpy()
        assert (
            min(
                np.abs(found - expected).mean(),
                np.abs(found - rotate(image[0].numpy(), degrees, reshape=False, order=1)).mean(),
            )
            < 0.01
        )
    moved = CHANGES["translation"].change(image, 3 / 21)[0]
    assert torch.allclose(moved[3:], image[0, :-3], atol=1e-5)


def test_features_of_another_length_are_named():
    uneven = Encoder("uneven", lambda batch: batch.flatten(1)[:, : 2 + int(batch.mean() > 0.5)], 2, 1, (4, 4))
    statistics = FeatureStatistics.of(np.random.default_rng(0).random((5, 2)))
    with pytest.raises(ValueError, match="^uneven: must give as many features for every image, 2; found 3"):
        invariance(uneven, [torch.ones(1, 4, 4)], {}, statistics)


def test_patients_that_multiview_leaves_out_are_counted(caplog):
    caplog.set_level("INFO")
    records = [{"image": str(row), "patient": "abbcdd"[row]} for row in range(6)]
    pairs = view_pairs(records)
    assert sorted(pairs) == [(1, 2), (4, 5)]
    assert caplog.text.count("multiview: 2 of 4 patients left out: no two views of theirs") == 1
    vectors = np.random.default_rng(0).normal(size=(6, 3))
    statistics = FeatureStatistics.of(vectors)
    caplog.clear()
    multiview(vectors, pairs, statistics)
    assert not caplog.text
    vectors[pairs[0][0]] = statistics.mean  # has no direction
    multiview(vectors, pairs, statistics)
    assert "multiview: of 2 patients left out" in caplog.text and len(caplog.records) == 1
    assert "1 of similarity, 1 of similarity_of_others, 1 of difference" in caplog.text


def test_views_of_one_patient_are_more_alike():
    generator = np.random.default_rng(0)
    people = generator.normal(size=(20, 6))
    vectors = np.repeat(people, 2, axis=0) + 0.1 * generator.normal(size=(40, 6))
    records = [{"image": str(row), "patient": str(row // 2), "view": "ab"[row % 2]} for row in range(40)]
    pairs = view_pairs(records)
    assert sorted(pairs) == [(2 * i, 2 * i + 1) for i in range(20)]
    figures = multiview(vectors, pairs, FeatureStatistics.of(vectors))
    assert figures["retrieval"]["value"] == 1 and figures["similarity"]["value"] > 0.95
    assert figures["difference"]["low"] > 0.5 > abs(figures["similarity_of_others"]["value"])
    eyes = [
        {"image": str(i), "patient": "1", "view": "lr"[i % 2], "class": int(i > 2), "study": i // 2} for i in range(4)
    ]
    assert view_pairs(eyes) == [(0, 1)]  # 2 and 3 differ in grade, others are of different studies
    with pytest.raises(DatalistError, match="must hold two views of a patient"):
        view_pairs([{"image": "a", "patient": "1", "view": "a"}, {"image": "b", "patient": "1", "view": "a"}])
    with pytest.raises(ValueError, match="^change: must be one of rotation"):
        family("melt")
