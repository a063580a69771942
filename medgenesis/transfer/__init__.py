"""What was learnt: protocols on labelled tasks, analyses without labels, dense embeddings."""

from medgenesis.renamed import old_names
from medgenesis.transfer.analyses import (
    linear_cka,
    report_classification,
    report_restoration,
    report_reuse,
    report_segmentation,
    report_separability,
    restoration_errors,
)
from medgenesis.transfer.dense import (
    DenseEmbedder,
    EmbeddingMap,
    LandmarkMatches,
    RawPixels,
    dense_baselines,
    embed_landmarks,
    landmark_figures,
    load_xray_slabs,
    match_landmarks,
    measure_compositionality,
    measure_locality,
    report_dense_features,
    same_position_baseline,
    same_position_figures,
    whole_figures,
)
from medgenesis.transfer.protocols import (
    compare_few_labels,
    cross_validate,
    dice_after_finetuning,
)

__all__ = [
    "DenseEmbedder",
    "EmbeddingMap",
    "LandmarkMatches",
    "RawPixels",
    "compare_few_labels",
    "cross_validate",
    "dense_baselines",
    "dice_after_finetuning",
    "embed_landmarks",
    "landmark_figures",
    "linear_cka",
    "load_xray_slabs",
    "match_landmarks",
    "measure_compositionality",
    "measure_locality",
    "report_classification",
    "report_dense_features",
    "report_restoration",
    "report_reuse",
    "report_segmentation",
    "report_separability",
    "restoration_errors",
    "same_position_baseline",
    "same_position_figures",
    "whole_figures",
]

__getattr__ = old_names(__name__)
