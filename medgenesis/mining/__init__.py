"""Pseudo labels without annotation: which anatomical patterns recur in many patients, and where."""

from medgenesis.mining.body import body_box
from medgenesis.mining.contact_sheet import draw_contact_sheet, save_image
from medgenesis.mining.coordinates import CoordinateSystem, choose_coordinates
from medgenesis.mining.crop import CropPatternd
from medgenesis.mining.dataset import PatternDataset
from medgenesis.mining.discovery import discover
from medgenesis.mining.feature_map import draw_feature_map
from medgenesis.mining.feature_table import VolumeFeatures
from medgenesis.mining.features import volume_features
from medgenesis.mining.loading import VolumeLoader, records_to_mine
from medgenesis.mining.neighbours import nearest
from medgenesis.mining.patterns import PatternTable
from medgenesis.mining.published import export_published, import_published
from medgenesis.mining.settings import DiscoverySettings
from medgenesis.mining.similarity import PatternSimilarity, pattern_similarity
from medgenesis.mining.volumes import VolumeInfo
from medgenesis.mining.whole import ResizeVolumed
from medgenesis.mining.workflow import MiningRun
from medgenesis.renamed import old_names

__all__ = [
    "CoordinateSystem",
    "CropPatternd",
    "DiscoverySettings",
    "MiningRun",
    "PatternDataset",
    "PatternSimilarity",
    "PatternTable",
    "ResizeVolumed",
    "VolumeFeatures",
    "VolumeInfo",
    "VolumeLoader",
    "body_box",
    "choose_coordinates",
    "discover",
    "draw_contact_sheet",
    "draw_feature_map",
    "export_published",
    "import_published",
    "nearest",
    "pattern_similarity",
    "records_to_mine",
    "save_image",
    "volume_features",
]

__getattr__ = old_names(__name__)
