"""The answer that looks at no image, against what can be seen by eye."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch

from medgenesis import bundles
from medgenesis.transfer.protocols.last_dice import dice_of_places
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
    (tmp_path / "list.json").write_text(json.dumps({"training": [one, shifted], "test": [fine]}))
    configs = [bundles.path("models_genesis_ct") / "configs" / "finetune.yaml"]
    overrides = {"datalist": str(tmp_path / "list.json"), "num_classes": 2, "spacing_mm": [6.0, 6.0, 6.0]}
    overrides |= {"label_merge": {}}
    found = dice_of_places(configs, {"a": [one], "b": [shifted]}, [fine], overrides)
    assert found["a"] == pytest.approx(np.array([[1.0]])) and found["b"] == pytest.approx(np.array([[0.5]]))
