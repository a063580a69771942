"""Published data sets, one a module, and the phantom: where their files lie and whose they are."""

from medgenesis.datasets.candidates import luna16_candidates
from medgenesis.datasets.chestxray14 import chestxray14_datalist
from medgenesis.datasets.luna16 import luna16_datalist
from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.registry import DATASETS, get_dataset

__all__ = [
    "DATASETS",
    "PublishedDataset",
    "chestxray14_datalist",
    "get_dataset",
    "luna16_candidates",
    "luna16_datalist",
]
