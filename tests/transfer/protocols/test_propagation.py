"""Label propagation where the right answer is known, and its parts against slow ones."""

import json

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image

from medgenesis.errors import DatalistError
from medgenesis.transfer.controls import control
from medgenesis.transfer.dense.places import features_at, grid_of
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.protocols.propagation import Propagation, _same_place, propagate
from medgenesis.transfer.questions.propagation import ask_propagation
from medgenesis.transfer.study_set import open_study_set


def write_volumes(folder, dims=3, count=4):
    """Bright boxes at different places, which are the label."""
    generator = np.random.default_rng(0)
    sections = {"training": [], "test": []}
    for number in range(count):
        side = (24,) * dims
        label = np.zeros(side, np.uint8)
        corner = generator.integers(1, 12, dims)
        label[tuple(slice(start, start + 10) for start in corner)] = 1
        image = (60 + 120 * label + generator.integers(0, 30, side)).astype(np.uint8)
        names = [f"{kind}{number}.{'png' if dims == 2 else 'nii.gz'}" for kind in ("image", "label")]
        for name, array in zip(names, (image, label), strict=True):
            if dims == 2:
                Image.fromarray(array).save(folder / name)
            else:
                nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), folder / name)
        record = {"image": names[0], "label": names[1], "patient": str(number), "intensity": "xray"}
        sections["training" if number < 2 else "test"].append(record)
    (folder / "list.json").write_text(json.dumps({"name": "boxes", **sections}))
    return open_study_set(str(folder / "list.json"), folder, labelled=False)


def smooth(batch):
    """Two levels: the image, and its means over cells of 2."""
    pool = torch.nn.functional.avg_pool3d if batch.ndim == 5 else torch.nn.functional.avg_pool2d
    return [batch[:, :1], pool(batch[:, :1], 2)]


@pytest.mark.parametrize("method", ["nearest", "linear"])
@pytest.mark.parametrize("dims, network_dims", [(2, 2), (3, 3), (3, 2)])
def test_what_is_bright_is_found_with_one_label(tmp_path, dims, network_dims, method):
    study_set = write_volumes(tmp_path, dims)
    encoder = Encoder("smooth", smooth, network_dims, 1, (24,) * network_dims)
    cases = propagate(encoder, study_set, Propagation(draws=1, method=method, stride=1, samples=600))
    assert len(cases) == 2 and all(case.label == 1 for case in cases)
    assert min(case.dice for case in cases) > 0.9 > max(case.same_place for case in cases)


def test_features_are_read_at_the_middles_of_cells():
    maps = [torch.rand(1, 3, 4, 5, 6), torch.rand(1, 2, 2, 5, 3)]
    found = features_at(maps, grid_of((4, 5, 6)))
    assert torch.allclose(found[:, :3], maps[0][0].flatten(1).T, atol=1e-5)
    coarse = torch.nn.functional.interpolate(maps[1], (4, 5, 6), mode="trilinear")
    assert torch.allclose(found[:, 3:], coarse[0].flatten(1).T, atol=1e-5)


def test_the_trivial_answer_is_the_commonest_label_at_a_place():
    one, other = torch.zeros(4, 4).long(), torch.zeros(4, 4).long()
    one[1:3, 1:3], other[1:3, 1:] = 1, 1
    known = [[(None, one)], [(None, one)], [(None, other)]]
    assert torch.equal(_same_place(known, [(None, one)], [0, 1])[0], one)
    volume = one[..., None].expand(4, 4, 5)
    assert torch.equal(_same_place([[(None, volume)]], [(None, volume)], [0, 1])[0], volume)


def test_the_result_is_kept_with_its_cases(tmp_path):
    study_set = write_volumes(tmp_path)
    result = ask_propagation(
        control("pixels"), study_set, Propagation(draws=2, stride=4, samples=300), tmp_path / "study"
    )
    assert 0.5 < result["figures"]["dice"]["value"] <= 1 and result["settings"]["draws"] == 2
    told = result["encoder"]  # as it saw them, not as it was opened
    assert told["size"] == [48, 48, 48] and told["geometry 3D"]["rule"] == told["geometry 2D"]["rule"] == "squash"
    assert told["encoder (fingerprint)"] == control("pixels").fingerprint
    lines = result["path"].with_suffix(".csv").read_text().splitlines()
    assert lines[0] == "case,draw,label,dice,same_place" and len(lines) == 5
    values = np.load(result["path"].with_suffix(".npz"))["values"]
    assert values.mean() == pytest.approx(result["figures"]["dice"]["value"])


def test_what_cannot_be_propagated_is_refused(tmp_path):
    study_set = write_volumes(tmp_path)
    encoder = Encoder("smooth", smooth, 3, 1, (24, 24, 24))
    with pytest.raises(ValueError, match="^method: must be one of nearest, linear"):
        propagate(encoder, study_set, Propagation(method="guess"))
    with pytest.raises(ValueError, match="^shots: must be at most the labelled patients of training, 2; found 3"):
        propagate(encoder, study_set, Propagation(shots=3))
    with pytest.raises(ValueError, match="handmade: must give feature maps"):
        propagate(control("handmade"), study_set, Propagation())
    records = [{key: one[key] for key in one if key != "label"} for one in study_set.records]
    object.__setattr__(study_set, "records", tuple(records))
    with pytest.raises(DatalistError, match="must have label maps in training and test; found none in training"):
        propagate(encoder, study_set, Propagation())


def _without_foreground(study_set, row):
    path = study_set.records[row]["label"]
    Image.fromarray(np.zeros((24, 24), np.uint8)).save(path)


def test_labelled_patients_without_foreground_are_left_out_and_named(tmp_path, caplog):
    study_set = write_volumes(tmp_path, 2)
    encoder = Encoder("smooth", smooth, 2, 1, (24, 24))
    settings = Propagation(draws=4, stride=1, samples=600)
    _without_foreground(study_set, 0)
    cases = propagate(encoder, study_set, settings)
    assert len(cases) == 8 and min(case.dice for case in cases) > 0.9  # 0 in the draws of the first patient
    told = [one.message for one in caplog.records if "without any foreground" in one.message]
    assert told == [f"labels: left out of the draws, without any foreground: {tmp_path / 'label0.png'}"]
    with pytest.raises(DatalistError, match="2 labelled patients of training with a foreground; found 1 of 2"):
        propagate(encoder, study_set, Propagation(shots=2))
    _without_foreground(study_set, 1)
    with pytest.raises(DatalistError, match="found 0 of 2, none in .*label[01].png, .*label[01].png"):
        propagate(encoder, study_set, settings)
