"""Dense embeddings of chest X-rays: landmarks from image to image, locality, wholes and parts, beside their
baselines.
"""

from medgenesis.transfer.dense.baselines import RawPixels, dense_baselines
from medgenesis.transfer.dense.compositionality import measure_compositionality
from medgenesis.transfer.dense.embedder import DenseEmbedder, EmbeddingMap
from medgenesis.transfer.dense.landmark_matching import LandmarkMatches, match_landmarks, same_position_baseline
from medgenesis.transfer.dense.locality import embed_landmarks, measure_locality
from medgenesis.transfer.dense.report import (
    landmark_figures,
    report_dense_features,
    same_position_figures,
    whole_figures,
)
from medgenesis.transfer.dense.slabs import load_xray_slabs

__all__ = [
    "DenseEmbedder",
    "EmbeddingMap",
    "LandmarkMatches",
    "RawPixels",
    "dense_baselines",
    "embed_landmarks",
    "landmark_figures",
    "load_xray_slabs",
    "match_landmarks",
    "measure_compositionality",
    "measure_locality",
    "report_dense_features",
    "same_position_baseline",
    "same_position_figures",
    "whole_figures",
]
