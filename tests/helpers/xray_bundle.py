"""A chest X-ray bundle in a temporary folder: how tests run its configs, and read what they write."""

import csv
import json

import pytest
import torch

from medgenesis.errors import cause_of

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


def weights_of(path):
    return torch.load(path, weights_only=True)


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def records_of(path, section):
    return [{**r, "image": str(path.parent / r["image"])} for r in json.loads(path.read_text())[section]]


def cause(bundle, *names, **settings):
    with pytest.raises(Exception) as error:
        bundle.run(*names, **settings)
    return cause_of(error.value)
