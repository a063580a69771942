"""Label maps as files: an empty one is said."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from medgenesis.inference import SaveLabelMapsd


@pytest.mark.parametrize("found", [0, 2])
def test_an_empty_label_map_is_said_with_the_file(tmp_path, caplog, found):
    record = {"image": str(tmp_path / "scan.nii.gz")}
    image = MetaTensor(torch.rand(1, 4, 4, 4), affine=torch.eye(4), meta={"filename_or_obj": record["image"]})
    label = MetaTensor(torch.zeros(1, 4, 4, 4), affine=torch.eye(4), meta=dict(image.meta))
    label[0, 1, 1, 1] = found
    save = SaveLabelMapsd("pred", [record], tmp_path / "out", output_dtype=np.uint8)
    save({"image": image, "pred": label})
    assert len(list((tmp_path / "out").glob("[!.]*"))) == 1
    assert ("the label map is empty" in caplog.text and "scan.nii.gz" in caplog.text) == (found == 0)
