"""The comparison: which runs are repeated, and the table against a slow loop. Fine-tuning is a stand-in."""

import csv
import itertools
import json
import os
import signal
import unittest.mock
from contextlib import suppress
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from helpers.comparison import STARTS, cells_of, survey

from medgenesis.data.image_fingerprints import image_fingerprints
from medgenesis.errors import DatalistError, OutputError, VolumeError
from medgenesis.transfer.protocols import few_labels, last_weights
from medgenesis.weights import with_settings
from medgenesis.weights.kept import SEEN, keep


def test_finished_runs_are_repeated_only_where_something_has_changed(comparison, tmp_path):
    compare, asked = comparison
    table = compare()
    assert len(asked) == 8
    assert compare() == table and len(asked) == 8
    compare(seeds=(0, 1, 2))
    assert len(asked) == 12  # the new seed alone
    compare(iterations=(10, 20))
    assert len(asked) == 20  # the other number of steps alone
    os.utime(tmp_path / "pretrained.pt", ns=(1, 1))
    compare(iterations=20)
    assert len(asked) == 24  # the four runs from these weights
    (tmp_path / "finetune.yaml").write_text("width: 4\n")
    compare(iterations=20)
    assert len(asked) == 32


def test_files_that_are_skipped_are_replaced_before_any_is_chosen(comparison, tmp_path):
    compare, asked = comparison
    for number in range(9):
        for name in (f"{number}.nii.gz", f"{number}_seg.nii.gz"):
            nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)), tmp_path / name)
    (tmp_path / "1.nii.gz").unlink()
    for name in ("3_seg.nii.gz", "6.nii.gz"):
        (tmp_path / name).write_bytes(b"damaged")
    with pytest.raises(DatalistError, match="1.nii.gz"):
        compare(counts=(3,))
    assert "draws and 3 test patients" in compare(counts=(3,), overrides={"on_error": "skip"})
    used = {str(tmp_path / f"{number}.nii.gz") for number in (0, 2, 4)}
    assert len(asked) == 4 and all(set(images) == used for _, _, images in asked)


def test_records_that_a_run_leaves_out_stop_the_comparison():
    parser = unittest.mock.Mock()
    parser.get_parsed_content = lambda id: unittest.mock.Mock(data=[1, 2] if "train" in id else [1])
    last_weights.check_all_used(unittest.mock.Mock(parser=parser), [1, 2], [1])
    with pytest.raises(VolumeError, match="validate#dataset: .* found 1 of 2"):
        last_weights.check_all_used(unittest.mock.Mock(parser=parser), [1, 2], [1, 2])


def test_one_comparison_at_a_time_in_a_folder(comparison, tmp_path, monkeypatch):
    compare, asked = comparison
    with monkeypatch.context() as patch:
        patch.setattr("medgenesis.storage.run_folder._lock", unittest.mock.Mock(side_effect=BlockingIOError))
        with pytest.raises(OutputError, match="one run at a time"):
            compare()
    assert not asked and compare()
    assert not (tmp_path / ".running").exists()


@pytest.mark.parametrize(
    "number, ended, status", [(signal.SIGINT, KeyboardInterrupt, ()), (signal.SIGTERM, SystemExit, (143,))]
)
def test_one_signal_ends_the_comparison_also_where_a_run_swallows_it(
    comparison, tmp_path, monkeypatch, caplog, number, ended, status
):
    """As Python does with what is raised in the `__del__` of a data loader."""
    compare, asked = comparison
    run = few_labels.dice_after_finetuning

    def swallowing(*args, **settings):
        if len(asked) == 2:
            with suppress(ended):
                signal.raise_signal(number)
        return run(*args, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(few_labels, "dice_after_finetuning", swallowing)
        with pytest.raises(ended) as raised:
            compare()
    assert raised.value.args == status and len(asked) == 3
    assert f"finished runs are kept in {tmp_path}: the same command continues" in caplog.text
    assert "pre-trained" in compare() and len(asked) == 8  # the five that were left


def test_what_runs_take_from_files_counts_as_settings(comparison, tmp_path):
    """The labels' merge in the list's header; from scratch too, the settings that came with the pre-trained weights."""
    compare, asked = comparison
    compare()
    listed = json.loads((tmp_path / "list.json").read_text())
    (tmp_path / "list.json").write_text(json.dumps({**listed, "label_merge": {"1": [1], "2": [6]}}))
    compare()
    assert len(asked) == 16
    (tmp_path / "list.json").write_text(json.dumps({**listed, "label_merge": {"1": [6], "2": [1]}}))
    compare()
    assert len(asked) == 24
    torch.save(with_settings({"weight": torch.zeros(1)}, {"width": 4}), tmp_path / "pretrained.pt")
    compare()
    assert len(asked) == 32 and compare() and len(asked) == 32


def test_starts_learn_from_the_same_patients_and_fewer_are_among_more(comparison):
    compare, asked = comparison
    compare()
    chosen = {}
    for _init, seed, images in asked:
        assert chosen.setdefault((seed, len(images)), images) == images
    for seed in (0, 1):
        assert set(chosen[seed, 2]) < set(chosen[seed, 4])
    assert chosen[0, 4] != chosen[1, 4]


def test_the_table_is_of_means_over_draws_patients_and_classes(comparison, tmp_path):
    compare, _ = comparison
    cells = cells_of(compare(iterations=(10, 20)))
    with (tmp_path / "cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 2 * 2 * 4 * 2
    assert {row["test record"] for row in rows} == set("1234")  # as the runs' tables and pages number them
    for count, steps in itertools.product((2, 4), (10, 20)):
        means = {}
        for start in STARTS:
            own = [
                r for r in rows if (r["labelled patients"], r["steps"], r["start"]) == (str(count), str(steps), start)
            ]
            dice = {}
            for row in own:
                if row["dice"] != "nan":
                    dice.setdefault((row["seed"], row["test record"]), []).append(float(row["dice"]))
            means[start] = np.mean([np.mean(values) for values in dice.values()])
            (line,) = [cell for cell in cells if cell[:3] == [str(count), str(steps), start]]
            assert float(line[3].split(" ")[0]) == pytest.approx(means[start], abs=2e-3)
        (line,) = [cell for cell in cells if cell[:3] == [str(count), str(steps), "pre-trained"]]
        assert float(line[4].split(" ")[0]) == pytest.approx(means["pre-trained"] - means["scratch"], abs=2e-3)
        assert line[-1] == "no verdict: 2 sets of labelled patients and 4 test patients, five are needed"
        assert line[5] == "–"
    assert [cell for cell in cells if len(cell) == 2][-2:] == [
        ["2", "0.250"],
        ["4", "0.250"],
    ]


def test_frozen_features_stand_in_a_table_of_their_own(comparison, tmp_path):
    compare, asked = comparison
    tuned = compare()
    text = compare(frozen=True)
    assert len(asked) == 16 and (tmp_path / "scratch_k2_frozen_seed1").is_dir()
    told = [line for line in tuned.splitlines() if line.strip("|-")]
    assert [line for line in text.splitlines() if line in told] == told  # all else is the same
    rows = {(cell[0], cell[1]): cell[2:] for cell in cells_of(text) if len(cell) == 5}
    halves = {(cell[0], cell[2]): float(cell[3].split(" ")[0]) / 2 for cell in cells_of(tuned) if cell[1:2] == ["10"]}
    for count in "24":
        ours, untrained = rows[count, "pre-trained"], rows[count, "untrained network (scratch)"]
        values = [float(ours[0].split(" ")[0]), float(untrained[0].split(" ")[0])]
        assert values == pytest.approx([halves[count, start] for start in STARTS], abs=1e-3)
        assert float(ours[1].split(" ")[0]) == pytest.approx(values[0] - values[1], abs=2e-3) and untrained[1] == "–"
        assert float(ours[2].split(" ")[0]) == pytest.approx(values[0] - 2 * values[1], abs=3e-3)
        (said,) = [line for line in text.splitlines() if f"frozen, {count} labelled patients" in line]
        assert f"against the untrained network, {ours[2]} against scratch fine-tuned with 10 steps" in said
        assert ("below the answer that looks at no image" in said) == (values[0] < 0.25)
    with (tmp_path / "cases.csv").open(newline="") as file:
        assert {row["steps"] for row in csv.DictReader(file)} == {"0", "10"}


def test_a_network_without_known_maps_is_compared_without_frozen_features(comparison, monkeypatch):
    compare, asked = comparison
    tuned = compare()
    monkeypatch.setattr(
        few_labels, "survey_labels", lambda *given, **asked: replace(survey(*given, **asked), has_levels=False)
    )
    text = compare(frozen=True)
    said = "- Frozen features are left out: where the maps of this network are is not known.\n"
    assert text.replace(said, "") == tuned and said in text and len(asked) == 8


def test_weights_that_have_seen_the_test_section_are_said(comparison, tmp_path, caplog):
    compare, _ = comparison
    seen = image_fingerprints({"image": str(tmp_path / "7.nii.gz")})  # all stand-ins are alike
    torch.save(keep(with_settings({"w": torch.zeros(1)}, {}), SEEN, seen), tmp_path / "pretrained.pt")
    compare()
    assert "was trained on 4 of the 4 scans of 'test'" in caplog.text


@pytest.mark.parametrize("patients, empty, number", [(5, 0, None), (5, 1, 4), (1, 0, 1), (9, 4, None)])
def test_too_few_test_patients_are_said_before_the_first_run(
    comparison, tmp_path, monkeypatch, caplog, patients, empty, number
):
    """Two records of each; the last patients have none of the classes."""
    compare, asked = comparison
    test = [{"image": "7.nii.gz", "label": "7_seg.nii.gz", "patient": f"t{i // 2}"} for i in range(2 * patients)]
    training = json.loads((tmp_path / "list.json").read_text())["training"]
    (tmp_path / "list.json").write_text(json.dumps({"training": training, "test": test}))
    counted = [i // 2 < patients - empty for i in range(2 * patients)]
    monkeypatch.setattr(few_labels, "survey_labels", lambda *a, **b: replace(survey(*a, **b), counted=counted))
    monkeypatch.setattr(few_labels, "run_made_with", unittest.mock.Mock(side_effect=InterruptedError))
    with pytest.raises(InterruptedError):  # of the first run
        compare()
    said = [message for message in caplog.messages if "test patient" in message and "--splits" in message]
    assert len(said) == (number is not None) and not asked
    if said:
        start = f"{number} test patient{'s' * (number > 1)} with any of the classes: no verdict will be given"
        assert said[0].startswith(start) and "crossval" in said[0]


def test_a_number_typed_twice_counts_once(comparison):
    compare, asked = comparison
    once = compare(counts=(2,), iterations=10)
    assert compare(counts=(2, 2), seeds=(0, 1, 0), iterations=(10, 10)) == once and len(asked) == 4


def test_numbers_of_settings_yaml_count_as_settings(tmp_path):
    """They stand beside the config, which only refers to them."""
    config, settings = tmp_path / "finetune.yaml", tmp_path / "settings.yaml"
    config.write_text("width: $@settings['width']")
    made_with = []
    for text in (None, "width: 8", "width: 16", "width: 8"):
        if text is not None:
            settings.write_text(text)
        made_with.append(few_labels.run_made_with([config], [], [], {}, "scratch", None))
    assert made_with[1] == made_with[3] and all(made_with[i] != made_with[j] for i, j in ((0, 1), (1, 2), (0, 2)))


@pytest.fixture
def by_patient(comparison, tmp_path, monkeypatch):
    """Two records of each of three patients to learn from; ten of each of four to test on, one without an answer."""
    compare, asked = comparison
    training = [{"image": f"{i}.nii.gz", "label": f"{i}_seg.nii.gz", "patient": f"p{i // 2}"} for i in range(6)]
    test = [{"image": "7.nii.gz", "label": "7_seg.nii.gz", "patient": f"t{i // 10}"} for i in range(41)]
    (tmp_path / "list.json").write_text(json.dumps({"training": training, "test": test}))

    def stand_in(configs, training, test, folder, **settings):
        asked.append([record["image"].rsplit("/")[-1][0] for record in training])
        dice = np.repeat([0.2, 0.4, 0.6, 0.8, np.nan], 10)[:41, None]
        return dice + (0.1 if settings["init"] != "scratch" else 0)

    monkeypatch.setattr(few_labels, "dice_after_finetuning", stand_in)
    return compare, asked


def test_labelled_patients_are_patients(by_patient):
    compare, asked = by_patient
    compare(counts=(2,))
    assert all(len(images) == 4 and len({int(i) // 2 for i in images}) == 2 for images in asked)
    with pytest.raises(ValueError, match="4 labelled patients asked for; found 3"):
        compare(counts=(4,))


def test_patients_weigh_alike_and_cases_without_classes_are_said(by_patient):
    compare, _ = by_patient
    text = compare(counts=(2,), seeds=(0,))
    rows = {cell[2]: cell[3:5] for cell in cells_of(text) if len(cell) == 8}
    assert rows["pre-trained"] == ["0.600", "+0.100"] and rows["scratch"] == ["0.500", "–"]  # one draw: no interval
    assert "over draws and 4 test patients" in text and "1 test records have none of the classes" in text
