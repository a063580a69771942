"""Label maps of 3D Slicer, whose headers name the segments: a label means the same in all of them."""

import html
import json

import numpy as np
import pytest
import SimpleITK as sitk

from medgenesis.cli import main
from medgenesis.data import choose_labels
from medgenesis.errors import DatalistError
from medgenesis.io.segments import segment_names

LABELS = np.zeros((6, 5, 4), np.uint8)
LABELS[1:3], LABELS[4:] = 1, 2


def write(path, voxels, *segments, layers=1):
    """A file as 3D Slicer writes it: each segment (name, label, layer); of several layers [..., layer]."""
    image = sitk.GetImageFromArray(voxels.swapaxes(0, 2), isVector=layers > 1)
    for number, values in enumerate(segments):
        for key, value in zip(("Name", "LabelValue", "Layer"), values, strict=True):
            image.SetMetaData(f"Segment{number}_{key}", str(value))
    sitk.WriteImage(image, str(path))
    return str(path)


def write_image(path, seed):
    sitk.WriteImage(sitk.GetImageFromArray(np.random.default_rng(seed).normal(0, 300, (4, 5, 6))), str(path))
    return str(path)


@pytest.fixture
def two(tmp_path):
    """Two records, whose label maps name labels 1 and 2 as given."""

    def make(*names):
        files = [
            write(tmp_path / f"{i}.seg.nrrd", LABELS, *((name, label, 0) for label, name in enumerate(pair, 1)))
            for i, pair in enumerate(names)
        ]
        return [{"image": write_image(tmp_path / f"{i}.nrrd", i), "label": file} for i, file in enumerate(files)]

    return make


def test_one_label_of_two_structures_is_refused_with_both_files(two):
    records = two(("tumour", "liver"), ("liver", "tumour"))
    found = r"label 1: must be one structure .* found 'tumour' in \S*0.seg.nrrd and 'liver' in \S*1.seg.nrrd. Give"
    for sections in ({"training": records}, {"training": records[:1], "validation": records[1:]}):
        with pytest.raises(DatalistError, match=found):
            choose_labels(sections)
    assert choose_labels({"training": records}, {1: "1-2"}).num_classes == 2, "both become one class"
    with pytest.raises(DatalistError, match="label 1: must be one structure"):
        choose_labels({"training": records}, {1: [1], 2: [2]})


def test_one_structure_of_two_labels_is_refused(tmp_path, two):
    records = two(("liver", "tumour"))
    label = write(tmp_path / "x.seg.nrrd", (LABELS == 1).astype(np.uint8), ("Tumour", 1, 0))
    records.append({"image": write_image(tmp_path / "x.nrrd", 2), "label": label})
    with pytest.raises(DatalistError, match="label 1: must be one structure"):
        choose_labels({"training": records})
    label = write(tmp_path / "x.seg.nrrd", 3 * (LABELS == 1).astype(np.uint8), ("Tumour", 3, 0))
    with pytest.raises(DatalistError, match="segment 'Tumour': must have one label .* found 2 in .* and 3 in"):
        choose_labels({"training": records})


@pytest.mark.parametrize(
    "names",
    [
        [("left lung", "Right-Lung"), ("Left_Lung", "right lung")],
        [("lesion", "lesion"), ("lesion", "lesion")],
        [("liver", "tumour"), ("Segment_1", "Segment_2")],
        [("liver", "Größe"), ("liver", "größe")],
    ],
)
def test_names_that_agree_or_say_nothing_pass(two, names):
    assert choose_labels({"training": two(*names)}).num_classes == 3


def test_a_segment_without_voxels_says_nothing(tmp_path, two):
    records = two(("liver", "tumour"))
    label = write(tmp_path / "x.seg.nrrd", (LABELS == 1).astype(np.uint8), ("liver", 1, 0), ("spleen", 2, 0))
    assert choose_labels({"training": [*records, {"label": label}]}).num_classes == 3


def test_layers_are_named_as_they_are_numbered(tmp_path):
    layers = np.stack([LABELS == 1, LABELS == 2], -1).astype(np.uint8)
    path = write(tmp_path / "a.seg.nrrd", layers, ("liver", 1, 1), ("tumour", 1, 0), layers=2)
    assert segment_names(path) == {1: "tumour", 2: "liver"}
    assert segment_names(write(tmp_path / "b.seg.nrrd", LABELS, ("x", 5, 0))) == {5: "x"}
    other = write(tmp_path / "c.seg.nrrd", layers, ("liver", 1, 0), ("tumour", 1, 1), layers=2)
    with pytest.raises(DatalistError, match="label 1: must be one structure .* found 'tumour' .* and 'liver'"):
        choose_labels({"training": [{"label": path}, {"label": other}]})


def test_layers_that_overlap_are_refused_with_a_remedy(tmp_path):
    layers = np.stack([LABELS > 0, LABELS == 2], -1).astype(np.uint8)
    label = write(tmp_path / "a.seg.nrrd", layers, ("liver", 1, 0), ("tumour", 1, 1), layers=2)
    with pytest.raises(Exception, match="must not overlap.* Export one label map"):
        choose_labels({"training": [{"label": label}]})


def test_check_says_the_names_and_where_they_disagree(two, tmp_path, capsys):
    for names, status in ([("tumour", "liver"), ("tumour", "liver")], 0), ([("tumour", "liver"), ("liver", "bone")], 1):
        records = [{**record, "patient": f"p{i}"} for i, record in enumerate(two(*names))]
        (tmp_path / "list.json").write_text(json.dumps({"training": records}))
        out = tmp_path / f"out{status}"
        assert main(["check", str(tmp_path / "list.json"), "--out", str(out), "--num-workers", "0", "-q"]) == status
        said, page = "".join(capsys.readouterr().out.split()), html.unescape((out / "check.html").read_text())
        assert "tumour" in said and "liver" in said
        assert ("Segmentsthatdisagree" in said) == ("Segments that disagree" in page) == bool(status)
        assert "1.seg.nrrd" not in page
        assert ("1.seg.nrrd" in said and "'liver' in training 2" in page) == bool(status)
