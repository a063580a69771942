"""The overlay `slabs` of caid_cxr and adam_cxr: slices of tiny volumes, alone and beside X-rays."""

import json

import nibabel as nib
import numpy as np
import pytest
from helpers.xray_bundle import XRayBundle, records_of, weights_of

from medgenesis.weights import settings_of


@pytest.mark.parametrize("name", ["adam_cxr", pytest.param("caid_cxr", marks=pytest.mark.slow)])
def test_from_volumes_to_label_maps_on_their_own_grid(name, copied, xrays, phantoms, tmp_path):
    """Pre-training and fine-tuning on slabs, coronal ones; a scan stored in other axes is answered in these."""
    own = {"axis": 1, "step_mm": 20.0}
    bundle = XRayBundle(copied(name, tmp_path / name), xrays, phantoms)
    bundle.run("pretrain", "slabs", **own)
    bundle.run("finetune", "slabs", **own)
    record = records_of(phantoms, "test")[0]
    image = nib.load(record["image"])
    turned = image.as_reoriented([[1, -1], [2, 1], [0, -1]])
    nib.save(turned, tmp_path / "scan.nii.gz")
    data = [{"image": str(tmp_path / "scan.nii.gz")}, {"image": record["image"]}]
    bundle.run("inference", "slabs", kind="infer", **own, **{"dataset#data": data})
    written = {path.name: nib.load(path) for path in bundle.root.rglob("*_seg.nii.gz")}
    found, plain = written["scan_seg.nii.gz"], written[record["image"].split("/")[-1].replace(".nii", "_seg.nii")]
    assert found.shape == turned.shape and found.get_data_dtype() == np.uint8
    np.testing.assert_allclose(found.affine, turned.affine, atol=1e-4)
    expected = np.asarray(plain.as_reoriented([[1, -1], [2, 1], [0, -1]]).dataobj)
    np.testing.assert_array_equal(np.asarray(found.dataobj), expected)


def test_one_class_a_volume(adam, phantoms):
    workflow = adam.run("classify", "slabs", init="scratch", num_classes=2)
    assert workflow.parser.get_parsed_content("loss_function").__class__.__name__ == "CrossEntropyLoss"
    assert weights_of(adam.root / "models" / "classifier.pt")["head.1.weight"].shape == (2, 512)
    assert settings_of(adam.root / "models" / "classifier.pt")["multi_label"] is False
    new = {"datalist": str(phantoms), "section": "validation", "output_dir": str(adam.root / "new")}
    adam.run("predict", kind=None, **new)  # what it is, and of what, comes with the weights
    told = (adam.root / "new" / "predictions.csv").read_text()
    assert told == (adam.root / "runs" / "classify" / "predictions.csv").read_text()


def test_one_list_mixes_xrays_and_volumes(adam, xrays, phantoms, tmp_path):
    """Of a volume a slab is cut, an X-ray gives equal slices; each record says what its values are."""
    mixed = {
        section: [*records_of(xrays, section)[:1], {**records_of(phantoms, section)[0], "intensity": "ct"}]
        for section in ("training", "validation")
    }
    mixed = {section: [{k: v for k, v in r.items() if k != "label"} for r in own] for section, own in mixed.items()}
    (tmp_path / "mixed.json").write_text(json.dumps(mixed))
    workflow = adam.run("pretrain", datalist=str(tmp_path / "mixed.json"))
    xray, volume = (workflow.parser.get_parsed_content("train#dataset").source(index)["image"] for index in (0, 2))
    assert xray.ndim == 3 and volume.ndim == 4 and workflow.trainer.state.iteration == 2
