"""Bundles run on tiny phantoms; of models_genesis_ct the pre-training and fine-tuning, made once."""

import json
import shutil

import pytest
from helpers.xray_bundle import XRayBundle
from monai.bundle import ConfigWorkflow

from medgenesis import bundles
from medgenesis.cli.configs import find_bundle, merged_settings
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.mining import PatternTable, VolumeInfo

TINY = {
    "width": 2,
    "cube_size": [16, 16, 16],
    "batch_size": 2,
    "patches_per_image": 2,
    "crop_criterion": "any",
    "pretrain_epochs": 2,
    "finetune_epochs": 2,
    "classify_epochs": 1,
    "val_interval": 1,
    "num_workers": 0,
    "device": "cpu",
}


class Bundle:
    """A copy of a bundle in a temporary folder, and how to run its configs."""

    def __init__(self, name, folder, datalist):
        self.root = bundles.copy(name, folder)
        shutil.rmtree(self.root / "models", ignore_errors=True)  # the weights of the phantom have tests of their own
        self.datalist = datalist
        own = find_bundle(str(self.root))
        known = {id for task in own.tasks() for id in merged_settings(own.files(task))}
        self.tiny = {id: value for id, value in TINY.items() if id in known}

    def config(self, name):
        return str(self.root / "configs" / f"{name}.yaml")

    def workflow(self, *names, kind="train", **settings):
        settings = {"datalist": str(self.datalist), **self.tiny, **settings}
        workflow = ConfigWorkflow(
            [self.config(name) for name in names], workflow_type=kind, logging_file=False, **settings
        )
        workflow.initialize()
        return workflow

    def run(self, *names, **settings):
        workflow = self.workflow(*names, **settings)
        workflow.run()
        workflow.finalize()
        return workflow


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    """Six phantoms of 32^3 with a datalist in which every record also has a class."""
    path = write_phantoms(tmp_path_factory.mktemp("phantoms"), 6, seed=0, shape=(32, 32, 32), split=(0.4, 0.3, 0.3))
    datalist = json.loads(path.read_text())
    for section in ("training", "validation", "test"):
        for number, record in enumerate(datalist[section]):
            record["class"] = number % 2
    path.write_text(json.dumps(datalist))
    return path


@pytest.fixture(scope="session")
def bundle(tmp_path_factory, phantoms):
    """models_genesis_ct, pre-trained and fine-tuned for two epochs."""
    bundle = Bundle("models_genesis_ct", tmp_path_factory.mktemp("bundle"), phantoms)
    bundle.run("pretrain")
    bundle.run("finetune")
    return bundle


@pytest.fixture
def fresh_bundle(tmp_path, phantoms):
    """models_genesis_ct without weights."""
    return Bundle("models_genesis_ct", tmp_path / "bundle", phantoms)


@pytest.fixture(scope="session")
def copied(phantoms):
    """copied(name, folder) -> a copy of that bundle, whose configs run on the phantoms."""
    return lambda name, folder: Bundle(name, folder, phantoms)


@pytest.fixture(scope="session")
def patterns(phantoms):
    """A table of two patterns made by hand, one at each end of the thorax; in training at two resolutions."""
    datalist, side = json.loads(phantoms.read_text()), 32
    volumes, items = [], {"training": [], "validation": []}
    for section, listed in items.items():
        for number, record in enumerate(datalist[section]):
            image = str(phantoms.parent / record["image"])
            volumes.append(VolumeInfo(image, record["patient"], section, (side,) * 3, (1.0,) * 3))
            for resolution, in_plane in ((1, 16), (2, 20))[: 2 if section == "training" else 1]:
                cube = {"resolution": resolution, "size": [in_plane, in_plane, 16]}
                reference = section == "training" and number == 0 and resolution == 1
                common = {"image": image, "patient": record["patient"], "distance": 0.0, "reference": reference}
                listed += [{**common, **cube, "class": label, "origin": [6, 6, 16 * label]} for label in (0, 1)]
    path = phantoms.with_name("patterns.json")
    PatternTable({"cube_size": [16, 16, 16]}, volumes, **items).save(path)
    return path


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def own_intensity(phantoms):
    """The list of the volumes, whose records say that they are CT: for weights of X-rays."""
    datalist = json.loads(phantoms.read_text())
    for section in ("training", "validation", "test"):
        datalist[section] = [{**record, "intensity": "ct"} for record in datalist[section]]
    own = phantoms.with_name("ct.json")
    own.write_text(json.dumps(datalist))
    return own


@pytest.fixture
def caid(tmp_path, copied, xrays, phantoms):
    return XRayBundle(copied("caid_cxr", tmp_path / "caid_cxr"), xrays, phantoms)


@pytest.fixture
def adam(tmp_path, copied, xrays, phantoms):
    return XRayBundle(copied("adam_cxr", tmp_path / "adam_cxr"), xrays, phantoms)
