"""A fine-tuning with the overlay `guided`: clicks in its mistakes help, and without clicks it segments as any."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow

from medgenesis import bundles
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.label_app.segmenter import Segmenter
from medgenesis.label_app.settings import AppSettings
from medgenesis.losses import hard_dice
from medgenesis.methods.guided import mistakes_clicked
from medgenesis.weights import settings_of

BUNDLE = "models_genesis_ct"
SHAPE = (32, 32, 32)


@pytest.mark.slow
def test_clicks_help_a_network_that_was_trained_with_them(tmp_path):
    write_phantoms(tmp_path, 4, seed=5, shape=SHAPE)
    records = []
    for path in sorted((tmp_path / "labels").iterdir()):
        image = nib.load(path)
        liver = (np.asarray(image.dataobj) == 6).astype(np.uint8)
        nib.save(nib.Nifti1Image(liver, image.affine), path)
        records.append({"image": str(tmp_path / "images" / path.name), "label": str(path)})
    names = {"0": "background", "1": "liver"}
    content = {"labels": names, "training": records[:3], "validation": []}
    (tmp_path / "list.json").write_text(json.dumps(content))
    app = AppSettings(BUNDLE, str(bundles.path(BUNDLE)), ["liver"], "scratch", ["quick", "guided"], {"width": 4})
    workflow = ConfigWorkflow(
        config_file=app.files("finetune"),
        workflow_type="train",
        logging_file=False,
        **app.settings,
        bundle_root=str(tmp_path),
        output_dir=str(tmp_path / "run"),
        datalist=str(tmp_path / "list.json"),
        init="scratch",
        label_merge={},
        num_classes=2,
        cube_size=[32, 32, 32],
        num_workers=0,
        finetune_epochs=40,
        norm_batches=2,
    )
    workflow.initialize()
    workflow.run()
    workflow.finalize()
    model = tmp_path / "run" / "model.pt"
    assert settings_of(model)["guidance"] == 2
    segmenter = Segmenter(app, model)
    assert segmenter.guided
    image, truth = records[3]["image"], torch.as_tensor(np.asarray(nib.load(records[3]["label"]).dataobj))
    alone = segmenter.label_map(image)[0].as_tensor()
    dice = []
    for seed in range(3):
        torch.manual_seed(seed)
        clicks = mistakes_clicked(alone, truth, 5)
        found = segmenter.probabilities(image, clicks).argmax(0).as_tensor()
        dice.append(hard_dice(found == 1, truth == 1))
    before = hard_dice(alone == 1, truth == 1)
    print(f"Dice without clicks {before:.3f}, with five {[round(one, 3) for one in dice]}")
    assert np.mean(dice) > before + 0.02
