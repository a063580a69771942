"""What was learnt: restoration against trivial answers, embeddings, landmarks, few labels, slice-wise."""

from medgenesis.inference.embedding import embed_volume, embed_volumes
from medgenesis.transfer.dense.embedder import EmbeddingMap, DenseEmbedder
from medgenesis.transfer.dense.compositionality import measure_compositionality
from medgenesis.transfer.dense.baselines import RawPixels, dense_baselines
from medgenesis.transfer.dense.locality import embed_landmarks, measure_locality
from medgenesis.transfer.dense.report import same_position_figures, landmark_figures, report_dense_features, whole_figures
from medgenesis.transfer.dense.landmark_matching import LandmarkMatches, match_landmarks, same_position_baseline
from medgenesis.transfer.protocols.few_labels import bootstrap_interval, compare_few_labels, dice_after_finetuning
from medgenesis.transfer.dense.slabs import load_xray_slabs
from medgenesis.transfer.analyses.restoration import report_restoration, restoration_errors
from medgenesis.inference.restore import restore_volume, restore_volumes
from medgenesis.inference.slab_inferer import SlabInferer

__all__ = [
    "EmbeddingMap",
    "DenseEmbedder",
    "RawPixels",
    "LandmarkMatches",
    "SlabInferer",
    "same_position_figures",
    "bootstrap_interval",
    "compare_few_labels",
    "compositionality",
    "dice_after_finetuning",
    "embed_landmarks",
    "embed_volume",
    "embed_volumes",
    "dense_baselines",
    "load_xray_slabs",
    "landmark_figures",
    "locality",
    "report_dense_features",
    "report_restoration",
    "restoration_errors",
    "restore_volume",
    "restore_volumes",
    "match_landmarks",
    "same_position_baseline",
    "whole_figures",
]
