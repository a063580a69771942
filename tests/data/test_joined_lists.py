"""Datalists joined: weights, classes by their names, label maps of one meaning, patients spelt in two ways."""

from pathlib import Path

import pytest
from helpers.lists import write_list

from medgenesis.data import join_datalists
from medgenesis.errors import DatalistError


def test_data_sets_are_drawn_by_their_weights_whatever_their_sizes(tmp_path):
    small = write_list(
        tmp_path / "a.json", training=[{"image": f"a{i}"} for i in range(3)], validation=[{"image": "av"}]
    )
    large = write_list(
        tmp_path / "b/b.json",
        training=[{"image": f"b{i}", "patient": f"b{i}", "weight": 1 + i % 2} for i in range(10)],
        modality="MR",
    )
    joined = join_datalists([(small, 3.0), (large, 1.0)], name="mix")
    weights = {Path(record["image"]).name: record["weight"] for record in joined["training"]}
    total = sum(weights.values())
    assert total == pytest.approx(13)  # mean 1
    assert sum(weights[f"a{i}"] for i in range(3)) / total == pytest.approx(0.75)
    assert weights["b1"] == pytest.approx(2 * weights["b0"])  # a list's own weights stay in proportion
    assert joined["validation"][0]["weight"] == 1 and joined["test"] == []
    assert joined["name"] == "mix" and "modality" not in joined
    assert joined["training"][-1]["image"] == str(tmp_path / "b/b9")


def test_joining_refuses_leaks_and_bad_weights(tmp_path):
    one = write_list(tmp_path / "a.json", training=[{"image": "x", "patient": "p"}])
    other = write_list(tmp_path / "b.json", test=[{"image": "y", "patient": "p"}])
    with pytest.raises(DatalistError, match="training and test"):
        join_datalists([(one, 1), (other, 1)])
    with pytest.raises(DatalistError, match="one above 0"):
        join_datalists([(one, 0)])


def _of_classes(path, names, key="class", **header):
    """A list with two records a class, whose files are called by it."""
    value = {"class": lambda i: i, "classes": lambda i: [int(i == k) for k in range(len(names))]}[key]
    training = [
        {"image": f"{path.stem}_{name}{j}.png", key: value(i)} for i, name in enumerate(names) for j in range(2)
    ]
    return write_list(path, class_names=names, training=training) if not header else write_list(path, training=training)


def _joined(*paths):
    return join_datalists([(path, 1) for path in paths])


def test_classes_are_renumbered_by_their_names(tmp_path, caplog):
    one = _of_classes(tmp_path / "a.json", ["normal", "pneumonia"])
    other = _of_classes(tmp_path / "b.json", ["covid", "Normal"])
    unlabelled = write_list(tmp_path / "c.json", training=[{"image": "c.png"}])
    joined = _joined(one, unlabelled, other)
    assert joined["class_names"] == ["normal", "pneumonia", "covid"]
    for record in joined["training"]:
        name = Path(record["image"]).stem
        said = joined["class_names"][record["class"]] if "class" in record else "c"
        assert said in name.lower()
    assert "renumbered by their names: 0 normal, 1 pneumonia, 2 covid" in caplog.text


def test_classes_of_the_same_names_stay(tmp_path, caplog):
    one, other = (_of_classes(tmp_path / f"{name}.json", ["x", "y"]) for name in "ab")
    joined = _joined(one, write_list(tmp_path / "c.json", training=[{"image": "c.png"}]), other)
    assert joined["class_names"] == ["x", "y"] and "renumbered" not in caplog.text
    assert [record.get("class") for record in joined["training"]] == [0, 0, 1, 1, None, 0, 0, 1, 1]


def test_classes_that_no_names_make_the_same_are_refused(tmp_path):
    named = _of_classes(tmp_path / "a.json", ["x", "y"])
    nameless = _of_classes(tmp_path / "b.json", ["x", "y"], nameless=True)
    with pytest.raises(DatalistError, match=r"class_names: .*found \['x', 'y'\] \(.*a.json\); none \(.*b.json\)"):
        _joined(named, nameless)
    findings = [_of_classes(tmp_path / f"f{i}.json", names, "classes") for i, names in enumerate(["xy", "yx"])]
    with pytest.raises(DatalistError, match="class_names: .*f0.json.*f1.json"):
        _joined(*findings)
    strange = write_list(tmp_path / "s.json", class_names=["y", "z"], training=[{"image": "s.png", "class": 2}])
    with pytest.raises(DatalistError, match="s.json: `class` must be the number of one of 2 class_names; found 2"):
        _joined(named, strange)


def _of_labels(path, **header):
    return write_list(path, **header, training=[{"image": f"{path.stem}.nii", "label": f"{path.stem}_seg.nii"}])


@pytest.mark.parametrize(
    "key, one, other",
    [
        ("label_merge", {"1": [10, 11]}, {"1": [2]}),
        ("label_merge", {"1": [10, 11]}, None),
        ("labels", {"1": "lung", "2": "liver"}, {"1": "liver", "2": "lung"}),
        ("labels", {"1": "lung"}, None),
    ],
)
def test_label_maps_of_two_meanings_are_refused(tmp_path, key, one, other):
    lists = [_of_labels(tmp_path / "a.json", **{key: one}), _of_labels(tmp_path / "b.json", **{key: other})]
    with pytest.raises(DatalistError) as raised:
        _joined(*lists)
    assert str(raised.value).startswith(f"{key}: ") and all(
        str(said or "none") in str(raised.value) for said in (one, other)
    )


def test_label_maps_of_two_meanings_are_left_out_for_pretraining(tmp_path, caplog):
    caplog.set_level("INFO")
    header = {"label_merge": {"1": [2]}}
    one = _of_labels(tmp_path / "a.json", labels={"1": "lung"}, **header)
    other = _of_labels(tmp_path / "b.json", labels={"1": "liver"}, **header)
    with pytest.raises(DatalistError, match="--without-labels"):
        _joined(one, other)
    joined = join_datalists([(one, 1), (other, 1)], without_labels=True)
    assert not {"labels", "label_merge"} & joined.keys() and "label maps are left out" in caplog.text
    assert joined["training"] == [{"image": str(tmp_path / f"{name}.nii"), "weight": 1.0} for name in "ab"]


def test_label_maps_of_one_meaning_keep_it_beside_scans_without_label(tmp_path):
    one = _of_labels(tmp_path / "a.json", labels={"0": "background", "1": "lung"}, label_merge={"1": [11, 10]})
    other = _of_labels(tmp_path / "b.json", labels={"lung": 1}, label_merge={"1": "10-11"})
    joined = _joined(write_list(tmp_path / "c.json", training=[{"image": "c.nii"}]), one, other)
    assert joined["labels"] == {"0": "background", "1": "lung"} and joined["label_merge"] == {"1": [11, 10]}


@pytest.mark.parametrize("section", ["training", "validation", "unlabeled"])
def test_a_patient_spelt_in_two_ways_is_one(tmp_path, section):
    one = write_list(tmp_path / "a.json", **{section: [{"image": "x", "patient": "liver_002"}]})
    other = write_list(tmp_path / "b.json", test=[{"image": "y", "patient": "Liver_2"}])
    with pytest.raises(DatalistError, match=f"in both {section} and test, the first liver_2"):
        _joined(one, other)
