"""What a comparison refuses before its first run."""

import json

import pytest

from medgenesis.errors import DatalistError
from medgenesis.transfer.protocols import last_weights


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"counts": (0, 2)}, "must be at least one number each"),
        ({"seeds": ()}, "0 seeds"),
        ({"overrides": {"steps": 5, "seed": 1}}, "--set: must leave alone .* found steps, seed"),
    ],
)
def test_what_cannot_be_compared_is_refused(comparison, wrong, said):
    compare, asked = comparison
    with pytest.raises(ValueError, match=said):
        compare(**wrong)
    assert not asked


def test_more_labels_than_records_are_refused(comparison):
    compare, asked = comparison
    with pytest.raises(ValueError, match="6 labelled patients asked for; found 5"):
        compare(counts=(3, 6))
    assert not asked


@pytest.mark.parametrize("shared", ["patient", "image"])
def test_what_is_learnt_from_is_no_test(comparison, tmp_path, shared):
    compare, asked = comparison
    lists = json.loads((tmp_path / "list.json").read_text())
    for number, record in enumerate(lists["training"] + lists["test"]):
        record["patient"] = f"p{number}"
    lists["test"][1][shared] = lists["training"][2][shared]
    (tmp_path / "list.json").write_text(json.dumps(lists))
    with pytest.raises(DatalistError, match="found 1 patient.s. in both training and test"):
        compare()
    assert not asked


@pytest.mark.parametrize("setting", [{"schedule": "plateau"}, {"patience": 10}])
def test_what_would_follow_the_answered_records_is_refused(tmp_path, setting):
    (tmp_path / "task.yaml").write_text(
        "schedule: cosine\npatience: null\ntrain: {dataset: {}}\nvalidate: {dataset: {}}\n"
    )
    (tmp_path / "overlay.yaml").write_text(json.dumps(setting))
    arguments = {"init": "scratch", "seed": 0}
    with pytest.raises(ValueError, match="must not follow a validation"):
        last_weights.prepare_training(
            [tmp_path / n for n in ("task.yaml", "overlay.yaml")], [], [], tmp_path, **arguments
        )
    with pytest.raises(ValueError, match="must not follow a validation"):
        last_weights.prepare_training([tmp_path / "task.yaml"], [], [], tmp_path, **arguments, overrides=setting)
    last_weights.prepare_training([tmp_path / "task.yaml"], [], [], tmp_path, **arguments)
