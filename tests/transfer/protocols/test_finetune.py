"""Fine-tuning: a class that can be learnt is, runs go on where they stopped, and the study's rules hold."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.study_sets import LearntColumns, column_encoder, write_images

from medgenesis.errors import TrainingError, VolumeError
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.protocols import finetune as protocol
from medgenesis.transfer.protocols import finetune_runs
from medgenesis.transfer.protocols.finetune import Finetune
from medgenesis.transfer.protocols.finetune_settings import search_grid
from medgenesis.transfer.questions.finetuning import ask_finetuning
from medgenesis.transfer.results import load_arrays
from medgenesis.transfer.study_set import StudySet, open_study_set

QUICK = Finetune(steps=20, rate=0.3, batch_size=8, every=5, flip=False, least_share=0.8)


def finetune(*given, **options):
    return protocol.finetune(*given, cache="memory", **options)


def encoder(dims=2, **changes):
    size = (16,) * dims
    return Encoder("columns", LearntColumns(dims), dims, 1, size, told={"of": "test"}, **changes)


@pytest.fixture(scope="module")
def study_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return open_study_set(str(write_images(folder, per_class=15)), folder)


def volumes(folder, count=12):
    """Volumes whose class is the half, along the second axis, in which they are bright."""
    records = []
    for number in range(count):
        volume = np.full((18, 16, 20), 0.1, np.float32)
        volume[:, 8 * (number % 2) : 8 * (number % 2) + 8] += 0.6
        np.save(folder / f"v{number}.npy", volume)
        section = ("training", "training", "validation", "test")[number // 2 % 4]
        records.append({"image": str(folder / f"v{number}.npy"), "class": number % 2, "section": section})
    return StudySet("volumes", tuple({**one, "intensity": "unit"} for one in records), ("low", "high"))


def test_what_can_be_learnt_is_and_the_encoder_stays_as_it_is(study_set, tmp_path):
    one = encoder()
    before = one.fingerprint
    result = ask_finetuning(one, study_set, QUICK, tmp_path)
    assert result["figures"]["auc"]["value"] == 1 and result["figures"]["accuracy"]["value"] == 1
    assert one.fingerprint == before
    arrays = load_arrays(result)
    assert (arrays["truth"] == study_set.labels[study_set.sections == "test"]).all()
    assert np.allclose(arrays["scores"].sum(1), 1)
    (folder,) = (tmp_path / "finetune").iterdir()
    left = {path.name for path in folder.iterdir()}
    assert left == {"classifier.pt", "curve.csv", "steps.json", "tensorboard", "training.json"}
    curve = result["training"]["curve"]
    assert [row["step"] for row in curve] == [5, 10, 15, 20]
    for row in curve:  # a cosine to 0; step n is the one after n - 1
        assert row["rate"] == pytest.approx(0.3 * (1 + math.cos(math.pi * (row["step"] - 1) / 20)) / 2)
    before = (folder / "classifier.pt").stat().st_mtime_ns
    assert ask_finetuning(one, study_set, QUICK, tmp_path)["figures"] == result["figures"]
    assert (folder / "classifier.pt").stat().st_mtime_ns == before  # finished: not repeated


def test_a_volume_is_learnt_from_by_windows_and_by_slabs(tmp_path):
    known = volumes(tmp_path)
    settings = replace(QUICK, steps=12, every=12)
    for one in (encoder(3), encoder(2)):
        result = finetune(one, known, settings, tmp_path / f"{one.dims}")
        assert result.figures["auc"]["value"] == 1


def test_a_stopped_run_goes_on_to_the_same_end(study_set, tmp_path, monkeypatch):
    whole = finetune(encoder(), study_set, QUICK, tmp_path / "whole", workers=1)
    looks = []

    def score(self, *given):
        looks.append(1)
        if len(looks) == 3:
            raise KeyboardInterrupt
        return honest(self, *given)

    honest = finetune_runs.FinetuneRuns._score
    with monkeypatch.context() as patched:
        patched.setattr(finetune_runs.FinetuneRuns, "_score", score)
        with pytest.raises(KeyboardInterrupt):
            finetune(encoder(), study_set, QUICK, tmp_path / "stopped")
    assert not (tmp_path / "stopped" / "classifier.pt").exists() and (tmp_path / "stopped" / "last.pt").exists()
    after = finetune(encoder(), study_set, QUICK, tmp_path / "stopped")
    assert (after.probabilities == whole.probabilities).all() and after.training == whole.training


@pytest.mark.parametrize("compat, step", [(False, 10), (True, 25)])
def test_the_best_weights_are_tested_and_of_compat_the_last(study_set, tmp_path, monkeypatch, compat, step):
    scores = iter([0.5, 0.9, 0.8, 0.7, 0.6, 0.95])
    kept = []

    def score(self, classifier, rows, metric):
        kept.append({name: weight.clone() for name, weight in classifier.state_dict().items()})
        return next(scores)

    monkeypatch.setattr(finetune_runs.FinetuneRuns, "_score", score)
    settings = replace(QUICK, steps=60, patience=3, compat=compat)
    result = finetune(encoder(), study_set, settings, tmp_path)
    assert result.training["step"] == step and result.training["steps"] == 25 and result.training["ended_early"]
    tested = torch.load(tmp_path / "classifier.pt", weights_only=True)
    assert all((tested[name] == kept[step // 5 - 1][name]).all() for name in tested)


def test_equal_looks_are_not_worse(study_set, tmp_path, monkeypatch):
    monkeypatch.setattr(finetune_runs.FinetuneRuns, "_score", lambda *_: 0.5)
    result = finetune(encoder(), study_set, replace(QUICK, steps=10, patience=1), tmp_path)
    assert result.training["step"] == 10 and not result.training["ended_early"]


def test_without_early_stopping_all_is_learnt_from_and_a_search_takes_the_best(study_set, tmp_path):
    result = finetune(encoder(), study_set, replace(QUICK, steps=4, patience=None), tmp_path / "none")
    assert result.training["score"] is None and result.training["step"] == 4
    grid = [(0.1, 0), (0.1, 1e-5), (0.1, 1e-2), (1e-4, 0), (1e-4, 1e-2), (1e-4, 10)]
    assert np.allclose(search_grid(2), grid)
    found = finetune(encoder(), study_set, replace(QUICK, steps=2, search=2), tmp_path / "search")
    best = max(one["score"] for one in found.tried)
    assert len(found.tried) == 6 and found.training["score"] == best
    assert not (tmp_path / "search" / "classifier.pt").exists()  # that of the search is tested


def test_bad_input_is_named(study_set, tmp_path, caplog):
    with pytest.raises(ValueError, match="^columns: must have weights to be fine-tuned; found a function"):
        finetune(column_encoder(), study_set, QUICK, tmp_path)
    with pytest.raises(ValueError, match="^steps, batch_size, every"):
        finetune(encoder(), study_set, replace(QUICK, patience=0), tmp_path)
    with pytest.raises(ValueError, match="^metric, least_share, search"):
        finetune(encoder(), study_set, replace(QUICK, least_share=0.0), tmp_path)
    with pytest.raises(TrainingError, match="^loss: must be finite; found (nan|inf) at iteration"):
        finetune(encoder(), study_set, replace(QUICK, rate=1e30), tmp_path / "far")
    mixed = (*study_set.records[:30], *volumes(tmp_path).records)
    with pytest.raises(VolumeError, match="must be learnt from as the others"):
        finetune(encoder(), StudySet("mixed", mixed, ("a", "b")), replace(QUICK, batch_size=64), tmp_path / "mixed")
    one = [{**record, "class": 0 if record["section"] == "validation" else record["class"]} for record in mixed[:30]]
    with pytest.raises(ValueError, match="^metric: auc must have two classes or more in validation"):
        finetune(encoder(), StudySet("one", tuple(one), ("a", "b")), QUICK, tmp_path)
