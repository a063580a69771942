"""A computed thorax: chest CT in HU with its truth, its X-ray and a datalist, from a seed."""

from medgenesis.data.phantom.build import Phantom, make_phantom
from medgenesis.data.phantom.labels import LABELS
from medgenesis.data.phantom.landmarks import xray_landmarks
from medgenesis.data.phantom.nodules import Nodule
from medgenesis.data.phantom.write import write_phantoms
from medgenesis.data.phantom.xray import project_xray

__all__ = ["LABELS", "Nodule", "Phantom", "make_phantom", "project_xray", "write_phantoms", "xray_landmarks"]
