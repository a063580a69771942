"""A fine-tuning with the overlay `guided`: where the image does not say which of several is meant, clicks do."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from medgenesis import bundles
from medgenesis.label_app.segmenter import Segmenter
from medgenesis.label_app.settings import AppSettings
from medgenesis.losses import hard_dice
from medgenesis.methods.guided import mistakes_clicked
from medgenesis.weights import settings_of

BUNDLE = "models_genesis_ct"
SIDE, CENTRES = 24, (5, 18)


def _study(folder, number):
    """Noise with eight balls alike, of which a few are what is looked for."""
    rng = np.random.default_rng(number)
    grid = np.stack(np.meshgrid(*[np.arange(SIDE)] * 3, indexing="ij"))
    image, label = rng.normal(-400, 60, (SIDE,) * 3), np.zeros((SIDE,) * 3, np.uint8)
    for centre in np.stack(np.meshgrid(*[CENTRES] * 3), -1).reshape(-1, 3):
        ball = ((grid - centre[:, None, None, None]) ** 2).sum(0) < 16
        image[ball] += 500
        label[ball] = rng.random() < 0.4
    record = {key: str(folder / f"{key}_{number}.nii.gz") for key in ("image", "label")}
    for values, path in zip((image.astype(np.int16), label), record.values(), strict=True):
        nib.save(nib.Nifti1Image(values, np.diag([1.5, 1.5, 1.5, 1])), path)
    return record


@pytest.mark.slow
def test_clicks_tell_what_the_image_does_not(tmp_path):
    studies = [_study(tmp_path, number) for number in range(12)]
    names = {"0": "background", "1": "lesion"}
    content = {"labels": names, "training": studies[:10], "validation": []}
    (tmp_path / "list.json").write_text(json.dumps(content))
    app = AppSettings(BUNDLE, str(bundles.path(BUNDLE)), ["lesion"], "scratch", ["quick", "guided"], {"width": 4})
    workflow = ConfigWorkflow(
        config_file=app.files("finetune"),
        workflow_type="train",
        logging_file=False,
        **app.settings,
        bundle_root=str(tmp_path),
        output_dir=str(tmp_path / "run"),
        datalist=str(tmp_path / "list.json"),
        init="scratch",
        num_classes=2,
        cube_size=[SIDE] * 3,
        crops_per_volume=1,
        num_workers=0,
        finetune_epochs=50,
        learning_rate=0.003,
        most_clicks=8,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    model = tmp_path / "run" / "model.pt"
    assert settings_of(model)["guidance"] == 2
    segmenter = Segmenter(app, model)
    assert segmenter.guided
    alone, clicked = [], []
    for record in studies[10:]:
        truth = torch.as_tensor(np.asarray(nib.load(record["label"]).dataobj))
        before = segmenter.label_map(record["image"])[0].as_tensor()
        torch.manual_seed(0)
        clicks = mistakes_clicked(before, truth, 12)
        found = segmenter.probabilities(record["image"], clicks).argmax(0).as_tensor()
        alone.append(hard_dice(before == 1, truth == 1))
        clicked.append(hard_dice(found == 1, truth == 1))
    assert np.mean(clicked) > np.mean(alone) + 0.15, (alone, clicked)
