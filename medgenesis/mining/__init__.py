"""Pseudo labels without annotation: which anatomical patterns recur in many patients, and where."""

from medgenesis.mining.body import body_box
from medgenesis.mining.coordinates import CoordinateSystem, choose_coordinates
from medgenesis.mining.discovery import discover
from medgenesis.mining.neighbours import nearest
from medgenesis.mining.patterns import PatternTable
from medgenesis.mining.similarity import PatternSimilarity, pattern_similarity
from medgenesis.mining.volumes import VolumeInfo

__all__ = [
    "CoordinateSystem",
    "PatternSimilarity",
    "PatternTable",
    "VolumeInfo",
    "body_box",
    "choose_coordinates",
    "discover",
    "nearest",
    "pattern_similarity",
]
