"""A computed thorax: chest CT in HU with its truth, its X-ray and a datalist, from a seed."""

from medgenesis.datasets.phantom.build import Phantom, make_phantom
from medgenesis.datasets.phantom.labels import LABELS
from medgenesis.datasets.phantom.landmarks import xray_landmarks
from medgenesis.datasets.phantom.nodules import Nodule
from medgenesis.datasets.phantom.write import write_phantoms
from medgenesis.datasets.phantom.xray import project_xray

__all__ = ["LABELS", "Nodule", "Phantom", "make_phantom", "project_xray", "write_phantoms", "xray_landmarks"]
