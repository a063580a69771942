"""The published data sets by name."""

import importlib
import pkgutil

import pytest

from medgenesis import datasets
from medgenesis.datasets import DATASETS, PublishedDataset, get_dataset


def test_every_module_with_a_data_set_is_registered():
    modules = [
        importlib.import_module(f"medgenesis.datasets.{info.name}") for info in pkgutil.iter_modules(datasets.__path__)
    ]
    exported = {module.DATASET.name: module.DATASET for module in modules if hasattr(module, "DATASET")}
    assert exported == DATASETS and {"luna16", "chestxray14"} <= set(exported)
    assert all(isinstance(one, PublishedDataset) and one.holds and one.source for one in exported.values())


def test_an_unknown_name_is_refused_with_those_that_there_are():
    assert get_dataset("luna16") is DATASETS["luna16"]
    with pytest.raises(ValueError, match="^dataset: must be one of bach, chestxray14, .*luna16, .*; found 'mnist'"):
        get_dataset("mnist")
