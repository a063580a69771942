"""Probabilities and AUC of a classifier, against the network asked by hand."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer
from sklearn.metrics import roc_auc_score

from medgenesis.data import StreamedDataset
from medgenesis.errors import DatalistError, VolumeError
from medgenesis.inference import classify_volumes
from medgenesis.storage.tables import read_table


def network(classes):
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(8, classes), torch.nn.BatchNorm1d(classes))


def items(key, truths):
    rng = np.random.default_rng(0)
    for i, truth in enumerate(truths):
        meta = {"filename_or_obj": f"/somewhere/scan_{i}.nii"}
        image = MetaTensor(torch.from_numpy(rng.random((1, 2, 2, 2), dtype=np.float32)), meta=meta)
        yield {"image": image, "patient": f"secret {i // 2}"} | ({} if truth is None else {key: truth})


def test_probabilities_are_those_of_the_network(tmp_path):
    net, truths = network(3), [0, 1, 2, None, 1, 0, 2, 0]
    images = torch.stack([one["image"].as_tensor() for one in items("class", truths)])
    expected = net.eval()(images).softmax(1).detach().numpy()
    net.train()
    found = classify_volumes(net, items("class", truths), SimpleInferer(), tmp_path)
    assert found == pytest.approx(expected, abs=1e-6) and net.training
    rows = read_table(tmp_path / "predictions.csv")
    assert [row["image"] for row in rows] == [f"scan_{i}" for i in range(8)]
    assert [row["truth"] for row in rows] == ["" if truth is None else str(truth) for truth in truths]
    assert float(rows[1]["error"]) == pytest.approx(max(1 - expected[1][1], *expected[1][[0, 2]]), abs=1e-5)
    assert rows[3]["error"] == ""
    known = [i for i, truth in enumerate(truths) if truth is not None]
    for row in read_table(tmp_path / "auc.csv"):
        truth = [truths[i] == int(row["class"]) for i in known]
        assert float(row["auc"]) == pytest.approx(roc_auc_score(truth, expected[known, int(row["class"])]), abs=1e-4)
        assert float(row["low"]) <= float(row["auc"]) <= float(row["high"]) and row["records"] == "7"
    assert "secret" not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_the_table_has_every_digit_of_the_answers(tmp_path):
    """Answers above 0.9999995 were 1 alike, and the AUC that cross-validation reads from them another one."""
    net = network(2)
    net[2].weight.data *= 40
    found = classify_volumes(net, items("class", [0, 1] * 20), SimpleInferer(), tmp_path)
    rows = read_table(tmp_path / "predictions.csv")
    read = np.array([[row["p_0"], row["p_1"]] for row in rows], dtype=np.float32)
    assert np.array_equal(read, found) and (found > 0.9999995).any()


def test_findings_are_judged_each_by_itself(tmp_path):
    truths = [[0, 1], [1, 1], [1, 1], [0, 1]]
    found = classify_volumes(network(2), items("classes", truths), SimpleInferer(), tmp_path, multi_label=True)
    rows = read_table(tmp_path / "auc.csv")
    assert float(rows[0]["auc"]) == pytest.approx(roc_auc_score([0, 1, 1, 0], found[:, 0]), abs=1e-4)
    assert rows[1]["auc"] == rows[1]["low"] == "" and rows[1]["with"] == "4"  # all have it: no AUC
    assert found.sum(1).max() != pytest.approx(1)


def test_of_two_classes_one_auc_is_told_and_new_images_have_none(tmp_path):
    classify_volumes(network(2), items("class", [0, 1, 1]), SimpleInferer(), tmp_path / "known")
    assert [row["class"] for row in read_table(tmp_path / "known" / "auc.csv")] == ["1"]
    classify_volumes(network(2), items("class", [None, None]), SimpleInferer(), tmp_path / "new")
    assert read_table(tmp_path / "new" / "auc.csv")[0]["auc"] == ""


@pytest.mark.parametrize(
    "key, value", [("class", -1), ("class", 2), ("class", 0.7), ("class", "1"), ("classes", [1]), ("classes", [0, 2])]
)
def test_a_class_that_the_network_cannot_answer_is_refused(tmp_path, key, value):
    multi_label = key == "classes"
    truths = [[0, 1] if multi_label else 1, value]
    with pytest.raises(DatalistError, match=r"^/somewhere/scan_1.nii: what is known .* must fit the 2 (cl|fi)"):
        classify_volumes(network(2), items(key, truths), SimpleInferer(), tmp_path, multi_label=multi_label)
    assert not list(tmp_path.iterdir())


def test_a_record_has_its_number_in_the_list_where_others_are_skipped(tmp_path):
    known = {f"/somewhere/scan_{i}.nii": one for i, one in enumerate(items("class", [0, 1, 1, 0]))}

    def read(record):
        if record["image"] == "/somewhere/scan_1.nii":
            raise VolumeError("no volume")
        return known[record["image"]]

    volumes = StreamedDataset([{"image": name} for name in known], read, "skip")
    classify_volumes(network(2), volumes, SimpleInferer(), tmp_path)
    told = [(row["record"], row["image"]) for row in read_table(tmp_path / "predictions.csv")]
    assert told == [("1", "scan_0"), ("3", "scan_2"), ("4", "scan_3")]
