"""A validation during training that answers NaN is an error, and names the image."""

import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.transforms import AsDiscreted

from medgenesis.engines import PretextEvents
from medgenesis.errors import VolumeError
from medgenesis.handlers import SupervisedHandlers
from medgenesis.handlers.finite_answers import FiniteAnswers


class Spoilt(torch.nn.Module):
    """Answers of two classes; NaN where the image is 1."""

    def forward(self, image):
        return torch.cat([image.where(image != 1, torch.nan), image], 1).as_tensor()


def _validator(values):
    items = [
        {
            "image": MetaTensor(torch.full((1, 4, 4, 4), value), meta={"filename_or_obj": f"scan_{number}.nii.gz"}),
            "label": torch.zeros(1, 4, 4, 4),
        }
        for number, value in enumerate(values)
    ]
    finish = AsDiscreted(["pred", "label"], argmax=[True, False], to_onehot=2)
    loader = DataLoader(Dataset(items), batch_size=1)
    return SupervisedEvaluator("cpu", loader, Spoilt(), postprocessing=finish)


@pytest.mark.parametrize("attached", ["alone", "by the handlers of a training"])
def test_nan_in_a_validation_names_the_image(tmp_path, attached):
    validator = _validator([0.5, 1.0])
    if attached == "alone":
        FiniteAnswers().attach(validator)
    else:
        trainer = _validator([0.5])
        trainer.register_events(*PretextEvents)
        SupervisedHandlers(tmp_path, validator).attach(trainer)
    with pytest.raises(VolumeError, match="scan_1.nii.gz: answers must be finite; found nan"):
        validator.run()


def test_finite_answers_stay():
    validator = _validator([0.5, 0.25])
    FiniteAnswers().attach(validator)
    validator.run()
    assert validator.state.iteration == 2
