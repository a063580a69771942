"""A tiny run of the whole bundle, made once: phantoms, pre-training, fine-tuning."""

import json

import pytest
from monai.bundle import ConfigWorkflow

from medgenesis import bundles
from medgenesis.data.phantom import write_phantoms

TINY = {
    "width": 2,
    "cube_size": [16, 16, 16],
    "batch_size": 2,
    "cubes_per_volume": 2,
    "cube_rule": "any",
    "pretrain_epochs": 2,
    "finetune_epochs": 2,
    "classify_epochs": 1,
    "val_interval": 1,
    "num_workers": 0,
    "device": "cpu",
}


class Bundle:
    """A copy of the bundle in a temporary folder, and how to run its configs."""

    def __init__(self, folder, datalist):
        self.root = bundles.copy("models_genesis_ct", folder)
        self.datalist = datalist

    def config(self, name):
        return str(self.root / "configs" / f"{name}.yaml")

    def workflow(self, *names, kind="train", **settings):
        settings = {"bundle_root": str(self.root), "datalist": str(self.datalist), **TINY, **settings}
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
    """The bundle, pre-trained and fine-tuned for two epochs."""
    bundle = Bundle(tmp_path_factory.mktemp("bundle"), phantoms)
    bundle.run("pretrain")
    bundle.run("finetune")
    return bundle


@pytest.fixture
def fresh_bundle(tmp_path, phantoms):
    """The bundle without weights."""
    return Bundle(tmp_path / "bundle", phantoms)
