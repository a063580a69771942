"""Pseudo labels without annotation: which anatomical patterns recur in many patients, and where."""

from medgenesis.mining.contact_sheet import draw_contact_sheet
from medgenesis.mining.coordinates import CoordinateSystem, choose_coordinates
from medgenesis.mining.cubes import CropPatternd
from medgenesis.mining.dataset import PatternDataset, VolumeLoader
from medgenesis.mining.discovery import discover
from medgenesis.mining.discovery_input import DiscoverySettings
from medgenesis.mining.features import VolumeFeatures, extract_features, volume_features
from medgenesis.mining.geometry import VolumeInfo, body_box
from medgenesis.mining.index import VolumeIndex, index_volumes
from medgenesis.mining.neighbours import nearest
from medgenesis.mining.patterns import PatternTable, prepared_as
from medgenesis.mining.published import export_published, import_published
from medgenesis.mining.released import ReleasedCubes, released_dataset
from medgenesis.mining.resize import ResizeVolumed
from medgenesis.mining.shard import MiningShard
from medgenesis.mining.similarity import PatternSimilarity, pattern_similarity
from medgenesis.mining.whole_volumes import records_to_mine
from medgenesis.mining.workflow import MiningRun
from medgenesis.renamed import old_names

__all__ = [
    "CoordinateSystem",
    "CropPatternd",
    "DiscoverySettings",
    "MiningRun",
    "MiningShard",
    "PatternDataset",
    "PatternSimilarity",
    "PatternTable",
    "ReleasedCubes",
    "ResizeVolumed",
    "VolumeFeatures",
    "VolumeIndex",
    "VolumeInfo",
    "VolumeLoader",
    "body_box",
    "choose_coordinates",
    "discover",
    "draw_contact_sheet",
    "export_published",
    "extract_features",
    "import_published",
    "index_volumes",
    "nearest",
    "pattern_similarity",
    "prepared_as",
    "records_to_mine",
    "released_dataset",
    "volume_features",
]

__getattr__ = old_names(__name__)
