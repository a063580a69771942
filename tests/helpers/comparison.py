"""A comparison of few labels whose runs are stand-ins, and its table as text."""

import json

import numpy as np

from medgenesis.transfer import compare_few_labels
from medgenesis.transfer.protocols import few_labels
from medgenesis.transfer.protocols.label_survey import LabelSurvey

STARTS = ("pre-trained", "scratch")


def survey(configs, draws, test, *_, frozen):
    """A stand-in: 0.25, whatever is labelled."""
    return LabelSurvey(
        3, {name: np.full((len(test), 1), 0.25) for name in draws}, has_levels=frozen, counted=[True] * len(test)
    )


def made_comparison(tmp_path, monkeypatch):
    """A comparison whose fine-tuning draws Dice values, and the list of the runs that were asked for."""
    records = [{"image": f"{i}.nii.gz", "label": f"{i}_seg.nii.gz"} for i in range(9)]
    for record in records:
        for name in record.values():
            (tmp_path / name).touch()
    (tmp_path / "list.json").write_text(json.dumps({"training": records[:5], "test": records[5:]}))
    (tmp_path / "finetune.yaml").write_text("width: 2\n")
    (tmp_path / "pretrained.pt").write_bytes(b"weights")
    asked = []

    def stand_in(configs, training, test, folder, *, init, seed, iterations, overrides):
        asked.append((init, seed, [record["image"] for record in training]))
        dice = np.random.default_rng([len(init), seed, len(training)]).random((len(test), 2))
        dice[0, 1] = np.nan  # a class that this patient lacks
        return dice

    def frozen(configs, training, test, folder, *, init, seed, overrides):
        return stand_in(configs, training, test, folder, init=init, seed=seed, iterations=0, overrides=overrides) / 2

    monkeypatch.setattr(few_labels, "dice_after_finetuning", stand_in)
    monkeypatch.setattr(few_labels, "dice_of_frozen", frozen)
    monkeypatch.setattr(few_labels, "survey_labels", survey)

    def compare(**settings):
        settings = {"counts": (2, 4), "seeds": (0, 1), "iterations": 10, "frozen": False, **settings}
        inits = dict(zip(STARTS, (str(tmp_path / "pretrained.pt"), "scratch"), strict=True))
        return compare_few_labels([tmp_path / "finetune.yaml"], tmp_path / "list.json", inits, tmp_path, **settings)

    return compare, asked


def cells_of(text):
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
