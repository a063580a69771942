"""The answer that looks at no image, against what can be seen by eye."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch

from medgenesis import bundles
from medgenesis.errors import DatalistError
from medgenesis.transfer.protocols.folds_with_labels import have_foreground
from medgenesis.transfer.protocols.label_survey import _at_most, survey_labels
from medgenesis.transfer.protocols.place_answer import place_answer


def test_the_commonest_label_of_a_place():
    maps = [torch.tensor(rows) for rows in ([[1, 1], [0, 2]], [[1, 0], [0, 2]], [[0, 0], [1, 2]])]
    assert place_answer(maps, (2, 2), (0, 1, 2)).tolist() == [[1, 0], [0, 2]]
    wide = place_answer(maps, (2, 8), (0, 1, 2))  # of the same place in an image of other sides
    assert wide[:, 0].tolist() == [1, 0] and wide[:, -1].tolist() == [0, 2]
    solid = torch.zeros(4, 4, 4, dtype=torch.uint8)
    solid[:2] = 3
    assert torch.equal(place_answer([solid], (8, 4, 2), (0, 3)) > 0, torch.arange(8)[:, None, None].expand(8, 4, 2) < 4)


def test_dice_on_the_images_own_grid_by_hand(tmp_path):
    def write(name, sides, first):
        label = np.zeros(sides, np.uint8)
        label[first : first + sides[0] // 2] = 1
        affine = np.diag([24 / sides[0], 1, 1, 1])
        for kind, values in (
            ("image", np.linspace(-900, 100, label.size, dtype=np.int16).reshape(sides)),
            ("label", label),
        ):
            nib.save(nib.Nifti1Image(values, affine), tmp_path / f"{name}_{kind}.nii.gz")
        return {key: str(tmp_path / f"{name}_{key}.nii.gz") for key in ("image", "label")}

    one, shifted, fine = write("one", (12, 8, 8), 0), write("shifted", (12, 8, 8), 3), write("fine", (24, 8, 8), 0)
    empty = write("empty", (12, 8, 8), 12)
    (tmp_path / "list.json").write_text(json.dumps({"training": [one, shifted, empty], "test": [fine]}))
    configs = [bundles.path("models_genesis_ct") / "configs" / "finetune.yaml"]
    overrides = {"datalist": str(tmp_path / "list.json"), "spacing_mm": [6.0, 6.0, 6.0]}
    found = survey_labels(configs, {"a": [one], "b": [shifted]}, [fine], tmp_path / "out", overrides)
    assert found.num_classes == 2 and found.has_levels
    assert found.place_dice["a"] == pytest.approx(np.array([[1.0]]))
    assert found.place_dice["b"] == pytest.approx(np.array([[0.5]]))
    tested = [fine, empty, shifted]
    assert survey_labels(configs, {"a": [one]}, tested, tmp_path / "out", overrides).counted == [True, False, True]
    assert have_foreground(configs, tested, tmp_path / "folds", overrides) == [True, False, True]
    own = {**overrides, "labels": None, "num_classes": 2}  # a config that chooses no labels itself
    assert have_foreground(configs, tested, tmp_path / "folds", own) == [True, False, True]
    other = {"_target_": "monai.networks.nets.BasicUNet", "out_channels": 2}
    assert not survey_labels(configs, {"a": [one]}, [fine], tmp_path, {**overrides, "network_def": other}).has_levels
    unbuilt = {**overrides, "network_def": {"_target_": "medgenesis.networks.UNet3D", "head_levels": "none such"}}
    found = survey_labels(configs, {"a": [one]}, [fine], tmp_path, unbuilt, frozen=False)
    assert found.place_dice["a"] == pytest.approx(np.array([[1.0]])) and not found.has_levels
    draws = {(1, 0): [one], (1, 1): [empty]}
    with pytest.raises(DatalistError, match=r"some voxel of a class; found none in draw \(1, 1\), of 1 scans"):
        survey_labels(configs, draws, [fine], tmp_path / "out", overrides)


def test_grids_of_large_scans_are_small():
    whole = torch.arange(200)[:, None, None].expand(200, 3, 90)
    small = _at_most(whole, 64)
    assert small.shape == (64, 3, 64) and small[0, 0, 0] == 1 and small[-1, 0, 0] == 198
    assert torch.equal(_at_most(whole[:64], 64)[..., 0], whole[:64, :, 0])
