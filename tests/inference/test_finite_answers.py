"""NaN among the answers is an error that names the image, wherever it would be ranked or become a class."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer
from monai.transforms import Compose

from medgenesis.errors import VolumeError
from medgenesis.inference import (
    CheckAnswersd,
    LabelMapInferer,
    LabelsOnOwnGridd,
    classify_volumes,
    embed_volumes,
)
from medgenesis.statistics import auc_interval

NAMED = r"/x/1.nii.gz: answers must be finite; found nan\. Check the weights"


class Mean(torch.nn.Module):
    """A classifier by the mean of the image."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, image):
        mean = image.mean((1, 2, 3, 4)) * self.weight
        return torch.stack([-mean, mean], 1)


class Encoder(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Conv3d(1, 2, 1)
        self.encoder.out_channels = 2
        self.head = torch.nn.Identity()


def items(*values):
    for i, value in enumerate(values):
        meta = {"filename_or_obj": f"/x/{i}.nii.gz"}
        yield {"image": MetaTensor(torch.full((1, 4, 4, 4), value), meta=meta), "class": i % 2, "patient": str(i)}


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_classifier_that_answers_nan(tmp_path, multi_label):
    with pytest.raises(VolumeError, match=NAMED):
        classify_volumes(Mean(), items(0.1, torch.nan), SimpleInferer(), tmp_path, multi_label=multi_label)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_encoder_that_answers_nan(tmp_path, value):
    with pytest.raises(VolumeError, match=r"/x/1.nii.gz: answers must be finite; found (nan|-?inf)"):
        embed_volumes(Encoder(), items(0.1, value), (4, 4, 4), tmp_path / "table.csv")
    assert not list(tmp_path.iterdir())


def test_the_argmax_of_nan_is_no_class():
    item = list(items(0, torch.nan))[1]
    answer = {**item, "pred": MetaTensor(torch.full((2, 4, 4, 4), torch.nan), meta=item["image"].meta)}
    for transform in (CheckAnswersd("pred"), LabelsOnOwnGridd("pred", Compose([]))):
        with pytest.raises(VolumeError, match=NAMED):
            transform(answer)
    with pytest.raises(VolumeError, match=NAMED):
        LabelMapInferer((4, 4, 4))(item["image"][None], lambda windows: torch.cat([windows, -windows], 1))


def test_finite_answers_stay():
    item = next(items(0.5))
    answer = {**item, "pred": item["image"]}
    assert CheckAnswersd("pred")(answer)["pred"] is answer["pred"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (([0, 1, 1], [0.1, np.nan, 0.4]), "scores: answers must be finite; found nan in record 2"),
        (([0, 1], [0.1, 0.2, 0.4]), r"truth, scores, patients: must .* found \(2,\), \(3,\)"),
        (([0, 1], [0.1, 0.2], ["a"]), r"found \(2,\), \(2,\), \(1,\)"),
        (([0, 2, 1], [0.1, 0.2, 0.4]), "truth: must be 0 or 1; found 2"),
        (([0, 1, np.nan], [0.1, 0.2, 0.4]), "truth: must be 0 or 1; found nan"),
    ],
)
def test_an_auc_of_what_is_none(arguments, said):
    with pytest.raises(ValueError, match=said):
        auc_interval(*arguments)
