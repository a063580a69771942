"""The configs of caid_cxr and adam_cxr, run as a user runs them, on tiny X-rays and on slabs of tiny volumes."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from medgenesis.engines import PretextTrainer, StagedWorkflow
from medgenesis.errors import CheckpointError, DatalistError, IntensityRangeError, VolumeError, cause_of
from medgenesis.networks import ResNet25D
from medgenesis.weights import settings_of

TINY = {
    "backbone": "resnet18",
    "size": 96,  # CAiD's distortion takes no less than 81
    "queue_size": 16,
    "slabs_per_image": 2,
    "pretrain_epochs": 1,
    "finetune_epochs": 1,
    "overlap": 0.0,
    "cache": "memory",
}
BUNDLES = ["caid_cxr", pytest.param("adam_cxr", marks=pytest.mark.slow)]  # of one family: the same files


class XRayBundle:
    """A copy of a bundle, and how to run its configs: on X-rays, with the overlay slabs on volumes."""

    def __init__(self, bundle, xrays, volumes):
        self.bundle, self.root, self.xrays, self.volumes = bundle, bundle.root, xrays, volumes
        self.tiny = TINY if "caid_cxr" in bundle.config("pretrain") else {**TINY, "size": 64}

    def workflow(self, *names, **settings):
        datalist = self.volumes if "slabs" in names else self.xrays
        return self.bundle.workflow(*names, **{**self.tiny, "datalist": str(datalist), **settings})

    def run(self, *names, **settings):
        workflow = self.workflow(*names, **settings)
        workflow.run()
        workflow.finalize()
        return workflow


def slowly(name):
    """The bundle's name, its tests marked slow."""
    return pytest.param(name, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def xrays(phantoms):
    """The list of the phantoms' X-rays, in which a section has and lacks each finding; nobody has the last."""
    path = phantoms.with_name("xray_datalist.json")
    datalist = json.loads(path.read_text())
    for section in ("training", "validation", "test"):
        for number, record in enumerate(datalist[section]):
            record["classes"] = [number % 2, 1 - number % 2, number % 2, 0]
    own = phantoms.with_name("xrays.json")
    own.write_text(json.dumps(datalist))
    return own


@pytest.fixture(scope="module")
def own_intensity(phantoms):
    """The list of the volumes, whose records say that they are CT: for weights of X-rays."""
    datalist = json.loads(phantoms.read_text())
    for section in ("training", "validation", "test"):
        datalist[section] = [{**record, "intensity": "ct"} for record in datalist[section]]
    own = phantoms.with_name("ct.json")
    own.write_text(json.dumps(datalist))
    return own


@pytest.fixture(scope="module", params=BUNDLES)
def trained(request, tmp_path_factory, copied, xrays, phantoms):
    """Each bundle, pre-trained and fine-tuned for an epoch."""
    bundle = XRayBundle(copied(request.param, tmp_path_factory.mktemp(request.param)), xrays, phantoms)
    bundle.run("pretrain")
    bundle.run("finetune")
    return bundle


@pytest.fixture
def caid(tmp_path, copied, xrays, phantoms):
    return XRayBundle(copied("caid_cxr", tmp_path / "caid_cxr"), xrays, phantoms)


@pytest.fixture
def adam(tmp_path, copied, xrays, phantoms):
    return XRayBundle(copied("adam_cxr", tmp_path / "adam_cxr"), xrays, phantoms)


def weights_of(path):
    return torch.load(path, weights_only=True)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def records_of(path, section):
    return [{**r, "image": str(path.parent / r["image"])} for r in json.loads(path.read_text())[section]]


# X-rays


@pytest.mark.parametrize("names", [["pretrain"], ["classify"], ["pretrain", "slabs"]])
def test_training_configs_have_all_properties(trained, tmp_path, names):
    assert trained.workflow(*names, output_dir=str(tmp_path)).check_properties() == []


def test_pretraining_writes_what_the_table_says(trained):
    run = trained.root / "runs" / "pretrain"
    names = {path.name for path in run.iterdir()}
    assert {"last.pt", "best.pt", "metrics.csv", "tensorboard", "images"} <= names
    caid = trained.root.name.startswith("caid")
    assert ("restoration.csv" in names) == caid
    row = rows_of(run / "metrics.csv")[-1]
    if caid:
        loss = float(row["discrimination"]) + 10 * float(row["context"])
        assert float(row["loss"]) == pytest.approx(loss, rel=1e-3)
    assert -1 <= float(row["val_negative"]) <= 1


def test_the_backbone_goes_into_segmentation_and_classification(trained):
    pretrained = weights_of(trained.root / "models" / "pretrained.pt")
    backbone = {name.removeprefix("encoder."): value for name, value in pretrained.items()}
    expected = ResNet25D("resnet18").state_dict().keys()
    assert len(expected) == 120
    for config in ("finetune", "classify"):
        loaded = trained.workflow(config).parser.get_parsed_content("network").state_dict()
        for name in expected:
            assert torch.equal(loaded[f"encoder.{name}"], backbone[name]), name


def test_label_maps_lie_on_the_xrays(trained, xrays, tmp_path):
    """They are larger than what the network is shown, and not square."""
    records = records_of(xrays, "test")
    trained.run("inference", kind="infer", output_dir=str(tmp_path / "png"))
    maps = sorted((tmp_path / "png").rglob("*.png"))
    assert len(maps) == len(records)
    for record, path in zip(records, maps, strict=True):
        found = np.asarray(Image.open(path))
        assert found.shape == np.asarray(Image.open(record["image"])).shape and found.dtype == np.uint8
        assert min(found.shape) > 96 and set(np.unique(found)) <= {0, 1, 2}


def test_evaluate_measures_the_test_section(trained, xrays, tmp_path):
    workflow = trained.run("finetune", "evaluate", output_dir=str(tmp_path))
    assert workflow.evaluator.state.metric_details["val_mean_dice"].shape == (len(records_of(xrays, "test")), 2)


def test_findings_by_area_under_the_curve(trained, caplog):
    workflow = trained.run("classify")
    assert "findings [3] have no AUC" in caplog.text
    assert weights_of(trained.root / "models" / "classifier.pt")["head.1.weight"].shape == (4, 512)
    assert 0 <= workflow.evaluator.state.metrics["val_auc"] <= 1
    assert workflow.parser.get_parsed_content("loss").__class__.__name__ == "BCEWithLogitsLoss"
    trained.run("predict", kind=None, section="validation", output_dir=str(trained.root / "new"))
    for name in ("predictions.csv", "auc.csv"):
        assert (trained.root / "new" / name).read_text() == (trained.root / "runs" / "classify" / name).read_text()


def test_embed_writes_a_vector_an_image(trained, xrays, own_intensity, tmp_path):
    slabs = {"datalist": str(own_intensity), "intensity": "xray"}
    for names, datalist, own in ((["embed"], xrays, {}), (["embed", "slabs"], own_intensity, slabs)):
        trained.run(*names, kind=None, output_dir=str(tmp_path), **own)
        rows = rows_of(tmp_path / "embeddings.csv")
        assert len(rows) == len(records_of(datalist, "training")) and len(rows[0]) == 1 + 512


@pytest.mark.parametrize("marked", [True, False])
def test_dense_asks_the_backbone_and_its_controls(adam, xrays, tmp_path, marked):
    torch.save(ResNet25D("resnet18").state_dict(), tmp_path / "backbone.pt")
    table = str(xrays.with_name("xray_landmarks.csv")) if marked else None
    out = tmp_path / "dense"
    settings = {
        "weights": str(tmp_path / "backbone.pt"),
        "landmarks": table,
        "output_dir": str(out),
        "size": 32,
        "stride": 16,
        "patches": 4,
    }
    adam.run("dense", kind=None, **settings)
    rows = rows_of(out / "dense.csv")
    names = ["trained", "random init", "raw pixels", *(["same place"] if marked else [])]
    assert [row["backbone"] for row in rows] == names and ("silhouette" in rows[0]) == marked
    assert len(list(out.glob("landmarks_*.png"))) == (3 if marked else 0)
    stems = [f"{i:03d}_{Path(record['image']).stem}.npz" for i, record in enumerate(records_of(xrays, "test"))]
    assert sorted(path.name for path in (out / "maps").iterdir()) == stems


# slabs of volumes


@pytest.mark.parametrize("name", ["adam_cxr", slowly("caid_cxr")])
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
    assert workflow.parser.get_parsed_content("loss").__class__.__name__ == "CrossEntropyLoss"
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


# stages, variants, restarts


def staged(bundle, **settings):
    names = [bundle.bundle.config("pretrain")]
    given = {"datalist": str(bundle.xrays), **bundle.tiny}
    given |= {"batch_size": 2, "num_workers": 0, "device": "cpu", **settings}
    workflow = StagedWorkflow(names, workflow_type="train", logging_file=False, **given)
    workflow.initialize()
    workflow.run()


LEVELS = {"level_0": {"level": 0}, "level_2": {"level": 2}}


def test_adam_goes_through_its_levels_and_goes_on_where_it_was_killed(adam, monkeypatch, one_thread):
    """Killed in the second stage after its first batch, and typed again; against a run that was not."""
    iteration, seen = PretextTrainer._iteration, []

    def killed_at_the_fourth(self, *args):
        seen.append(self.method.level)
        if len(seen) == 4:
            raise OSError("killed")
        return iteration(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(PretextTrainer, "_iteration", killed_at_the_fourth)
        with pytest.raises(RuntimeError) as error:
            staged(adam, stages=LEVELS, save_every=1)
        assert str(cause_of(error.value)) == "killed"
    staged(adam, stages=LEVELS)
    assert seen == [0, 0, 2, 2]
    whole, run = adam.root / "whole", adam.root / "runs" / "pretrain"
    staged(adam, stages=LEVELS, output_dir=str(whole))
    expected, found = (weights_of(folder / "level_2" / "last.pt") for folder in (whole, run))
    assert found["iteration"] == expected["iteration"] == 2
    for key, value in expected["method"].items():
        assert torch.equal(value, found["method"][key]), key
    assert [float(rows_of(whole / name / "metrics.csv")[0]["pruned"]) for name in LEVELS][0] == 0
    assert weights_of(adam.root / "models" / "pretrained.pt").keys() == ResNet25D("resnet18").state_dict().keys()
    for carry in (True, False):
        last = run / "level_2" / "last.pt"
        method = adam.workflow("pretrain", previous=str(last), carry_queue=carry).parser.get_parsed_content("method")
        assert torch.equal(method.discrimination.queue.keys, found["method"]["discrimination.queue.keys"]) == carry
    alone = cause(adam, "pretrain", level=2, output_dir=str(adam.root / "alone"))
    assert isinstance(alone, ValueError) and "previous" in str(alone) and "init" in str(alone)
    mistaken = cause(adam, "pretrain", previous=str(last), queue_size=32, output_dir=str(adam.root / "other"))
    assert isinstance(mistaken, CheckpointError) and str(last) in str(mistaken) and "queue_size" in str(mistaken)


def test_caid_in_two_stages(caid):
    staged(caid)
    run = caid.root / "runs" / "pretrain"
    first, second = (rows_of(run / name / "metrics.csv")[-1] for name in ("id", "caid"))
    assert "context" not in first and float(second["context"]) > 0
    started = caid.workflow("pretrain", previous=str(run / "id" / "last.pt")).parser.get_parsed_content("method")
    left = weights_of(run / "id" / "last.pt")["method"]
    assert torch.equal(started.network.encoder.conv1.weight, left["network.encoder.conv1.weight"])
    assert not torch.equal(started.discrimination.queue.keys, left["discrimination.queue.keys"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SimSiam", "BarlowTwins"])
def test_caid_with_another_discriminator(caid, name):
    dim = {f"discriminators#{name}#dim": 32}
    method = caid.run("pretrain", discriminator=name, **dim).trainer.method
    assert type(method.discrimination).__name__ == name


@pytest.mark.parametrize("task", ["embed", "inference"])
def test_weights_of_xrays_refuse_another_intensity(trained, task):
    with pytest.raises(RuntimeError) as error:
        trained.workflow(task, "slabs", kind=None)
    said = str(error.value.__cause__)
    assert "intensity: must be as " in said and "with, xray; found ct" in said


def test_caid_shows_what_it_restores(trained, xrays, own_intensity, tmp_path):
    if trained.root.name.startswith("adam"):
        pytest.skip("Adam restores nothing")
    slabs = {"datalist": str(own_intensity), "intensity": "xray"}
    for names, datalist, own in ((["restore"], xrays, {}), (["restore", "slabs"], own_intensity, slabs)):
        trained.run(*names, kind=None, output_dir=str(tmp_path / names[-1]), **own)
        assert len(list((tmp_path / names[-1]).iterdir())) == 4 * len(records_of(datalist, "validation"))
    original, restored = (
        nib.load(next((tmp_path / "restore").glob(f"*_{name}.nii.gz"))).get_fdata() for name in ("original", "restored")
    )
    assert original.shape == restored.shape and 0 <= restored.min() and restored.max() <= 1


@pytest.mark.parametrize("config", ["pretrain", "finetune", "classify"])
def test_published_weights_are_a_start_as_they_are(caid, tmp_path, config):
    """A MoCo checkpoint of 3 channels, into slabs of 5 slices: the stem is spread, the rest is the file's."""
    backbone = ResNet25D("resnet18").state_dict()
    published = {f"module.encoder_q.{name}": value for name, value in backbone.items()}
    published |= {"module.encoder_q.fc.weight": torch.zeros(128, 512), "module.queue": torch.zeros(128, 16)}
    torch.save({"epoch": 800, "state_dict": published}, tmp_path / "checkpoint.pth.tar")
    workflow = caid.workflow(config, init=str(tmp_path / "checkpoint.pth.tar"), slices=5)
    encoder = workflow.parser.get_parsed_content("network").encoder.state_dict()
    for name, value in backbone.items():
        if name == "conv1.weight":
            assert encoder[name].shape[1] == 5
            torch.testing.assert_close(encoder[name].sum(dim=1), value.sum(dim=1))
        else:
            assert torch.equal(encoder[name], value), name


@pytest.mark.slow
def test_two_processes_go_through_the_levels(adam, tmp_path):
    files = f"['{adam.bundle.config('pretrain')}','{adam.bundle.config('multi_gpu')}']"
    given = {**adam.tiny, "batch_size": 2, "num_workers": 0, "datalist": adam.xrays, "stages": LEVELS}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node=2",
        "-m",
        "monai.bundle",
    ]
    command += ["run", "--workflow_name", "medgenesis.engines.StagedWorkflow", "--config_file", files]
    command += [part for key, value in given.items() for part in (f"--{key}", str(value))]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run(command, check=True, cwd=tmp_path, env=environment, capture_output=True, timeout=300)
    last = weights_of(adam.root / "runs" / "pretrain" / "level_2" / "last.pt")
    assert last["settings"]["processes"] == 2
    assert last["method"]["discrimination.queue.pointer"].item() == 8  # two stages of an epoch, one batch of 4 each


# bad input


@pytest.fixture
def deep(xrays, tmp_path):
    """A list whose first X-ray has 16 bits."""
    datalist = {section: records_of(xrays, section) for section in ("training", "validation", "test")}
    rows = np.asarray(Image.open(datalist["training"][0]["image"])).astype(np.uint16) * 256
    Image.fromarray(rows).save(tmp_path / "deep.png")
    for section in datalist:
        datalist[section][0] = {**datalist[section][0], "image": str(tmp_path / "deep.png")}
        for record in datalist[section]:
            record["label"] = str(xrays.parent / record["label"])
    (tmp_path / "deep.json").write_text(json.dumps(datalist))
    return tmp_path / "deep.json"


def cause(bundle, *names, **settings):
    with pytest.raises(Exception) as error:
        bundle.run(*names, **settings)
    return cause_of(error.value)


@pytest.mark.parametrize("name", ["pretrain", "finetune", "classify", "inference", "embed"])
def test_an_xray_of_16_bits_needs_its_range(trained, deep, tmp_path, name):
    kind = {"inference": "infer", "embed": None}.get(name, "train")
    found = cause(trained, name, kind=kind, datalist=str(deep), output_dir=str(tmp_path / "run"))
    assert isinstance(found, IntensityRangeError) and "deep.png" in str(found) and "a_max" in str(found)
    assert not list((tmp_path / "run").rglob("*.pt"))


def test_an_xray_that_is_not_there(adam, xrays, tmp_path):
    records = records_of(xrays, "training")
    datalist = {"training": [{**records[0], "image": "gone.png"}, *records[1:]], "validation": records}
    (tmp_path / "list.json").write_text(json.dumps(datalist))
    found = cause(adam, "pretrain", datalist=str(tmp_path / "list.json"))
    assert isinstance(found, DatalistError) and "gone.png" in str(found)


def test_a_choice_that_there_is_not(adam, caid):
    for bundle, setting, choices in (
        (adam, "pretrain_optimizer", "SGD, AdamW"),
        (caid, "discriminator", "MomentumContrast, SimSiam, BarlowTwins"),
    ):
        found = cause(bundle, "pretrain", **{setting: "Best"})
        assert isinstance(found, ValueError) and f"{setting}: must be one of {choices}; found 'Best'" in str(found)


def test_a_queue_that_batches_do_not_fill(adam):
    found = cause(adam, "pretrain", queue_size=15)
    assert isinstance(found, ValueError) and "15" in str(found) and "batch" in str(found)
    assert not list(adam.root.rglob("last.pt"))


def test_a_grid_finer_than_the_xray(adam):
    found = cause(adam, "pretrain", level=8, init="scratch")
    assert isinstance(found, VolumeError) and ".png: volume: a cell of level 8" in str(found)
    assert not list(adam.root.rglob("last.pt"))


def test_an_xray_too_small_for_context(caid, xrays, tmp_path):
    records = [{"image": record["image"]} for record in records_of(xrays, "training")]
    Image.fromarray(np.asarray(Image.open(records[0]["image"]))[:31]).save(tmp_path / "strip.png")
    datalist = {"training": records, "validation": [*records, {"image": str(tmp_path / "strip.png")}]}
    (tmp_path / "list.json").write_text(json.dumps(datalist))
    found = cause(caid, "pretrain", datalist=str(tmp_path / "list.json"))
    assert (
        isinstance(found, VolumeError) and "strip.png: volume: each side" in str(found) and "least_side" in str(found)
    )
    assert not list(caid.root.rglob("tensorboard"))


@pytest.mark.parametrize("stage", [{"mode": "caid"}, {"mode": "id"}])
def test_a_size_that_does_not_divide_is_known_in_the_first_stage(caid, stage):
    """Instance discrimination alone could be trained at this size, and the stage after it could not."""
    found = cause(caid, "pretrain", size=100, **stage)
    assert isinstance(found, ValueError) and "size: must divide by 32" in str(found) and "96 or 128" in str(found)
    assert not list(caid.root.rglob("tensorboard"))


@pytest.mark.parametrize(("config", "kind"), [("finetune", "train"), ("inference", "infer")])
def test_a_size_that_does_not_divide_is_known_before_an_xray_is_shown(adam, config, kind):
    found = cause(adam, config, kind=kind, size=100, init="scratch")
    assert isinstance(found, ValueError) and "size: must divide by 32" in str(found)


def test_a_view_too_small_for_the_distortion(caid):
    found = cause(caid, "pretrain", size=64)
    assert isinstance(found, ValueError) and 'at least 81 in mode "caid"' in str(found)


def test_findings_that_do_not_fit(adam):
    found = cause(adam, "classify", init="scratch", num_classes=14)
    assert isinstance(found, DatalistError) and "classes: each record must have 14 numbers" in str(found)
