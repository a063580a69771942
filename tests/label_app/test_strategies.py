"""The next study is one that is there, by a score of the very file that is there."""

import os
import shutil
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("monailabel", reason="needs MONAI Label, in an environment of its own: make label-env")

from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random

from medgenesis.label_app.datastore import StudyFolder
from medgenesis.label_app.strategies import ByFeatures, ByScore, StudyScore
from medgenesis.label_app.studies import gather_studies


class Largest(StudyScore):
    """The largest value of a study."""

    name = "largest"

    def __init__(self):
        super().__init__("largest value")
        self.asked = []

    def made_with(self):
        return "x"

    def score_of(self, image):
        self.asked.append(image)
        return float(nib.load(image).get_fdata().max())


def _scan(path, value):
    nib.save(nib.Nifti1Image(np.full((3, 4, 5), value, np.int16), np.eye(4)), path)


@pytest.fixture
def world(tmp_path):
    """The user's folder of three scans, and the app's store."""
    (tmp_path / "own").mkdir()
    for value, name in enumerate("abc", start=1):
        _scan(tmp_path / "own" / f"{name}.nii.gz", value)
    gather_studies(tmp_path / "own", tmp_path / "app")
    return SimpleNamespace(own=tmp_path / "own", store=StudyFolder(tmp_path / "app", {"liver": 1}))


def test_a_scan_that_is_replaced_is_scored_again(world):
    score = Largest()
    assert score({}, world.store) == {"a": 1, "b": 2, "c": 3}
    assert score({}, world.store) == {"a": 1, "b": 2, "c": 3} and len(score.asked) == 3
    _scan(world.own / "b.nii.gz", 7)
    assert score({}, world.store, 0) == {"a": 1, "c": 3}  # nothing is scored now: no score of another scan
    assert score({}, world.store) == {"a": 1, "b": 7, "c": 3} and len(score.asked) == 4
    os.utime(world.own / "a.nii.gz", ns=(1, 1))
    assert score({}, world.store) == {"a": 1, "b": 7, "c": 3} and len(score.asked) == 5


def test_no_more_are_scored_than_there_is_time_for(world):
    score, store, fetched = Largest(), world.store, []
    said = SimpleNamespace(
        get_unlabeled_images=store.get_unlabeled_images,
        get_image_info=store.get_image_info,
        update_image_info=store.update_image_info,
        get_image_uri=lambda name: fetched.append(name) or store.get_image_uri(name),
    )
    assert len(score({}, said, 2)) == len(score.asked) == len(fetched) == 2  # what is not scored is not fetched either
    assert score({}, said, 2) == {"a": 1, "b": 2, "c": 3}


@pytest.mark.parametrize("kept", [True, False])
def test_a_scan_that_is_gone_is_not_proposed(world, kept, caplog):
    score = Largest()
    if kept:
        score({}, world.store)
    shutil.move(world.own / "c.nii.gz", world.own.parent / "away.nii.gz")
    features = SimpleNamespace(of=lambda names, file_of: {})
    for strategy in (ByScore(score), ByFeatures(features), First(), Random()):
        assert strategy({"strategy": "x"}, world.store)["id"] in ("a", "b")
    assert caplog.text.count("c: passed over, for its file is not there") == 1
    for name in ("a", "b"):
        (world.own / f"{name}.nii.gz").unlink()
    for strategy in (ByScore(score), ByFeatures(features), First(), Random()):
        assert strategy({"strategy": "x"}, world.store) is None
    shutil.move(world.own.parent / "away.nii.gz", world.own / "c.nii.gz")
    assert First()({}, world.store)["id"] == "c" and ByScore(score)({}, world.store) == {"id": "c", "weight": 3}


def test_a_study_that_does_not_come_has_no_score(tmp_path):
    for name in "ab":
        _scan(tmp_path / f"{name}.nii.gz", 1)

    class Store:
        def get_unlabeled_images(self):
            return ["a", "b", "gone"]

        def get_image_info(self, name):
            return {}

        def update_image_info(self, name, info):
            pass

        def get_image_uri(self, name):
            if name == "a":
                raise ConnectionError("no connection")
            return str(tmp_path / f"{name}.nii.gz")

    assert Largest()({}, Store()) == {"b": 1}
