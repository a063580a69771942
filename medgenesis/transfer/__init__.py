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
from medgenesis.transfer.analyses.inversion import Inversion
from medgenesis.transfer.comparisons import compare
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
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.named_encoder import open_encoder
from medgenesis.transfer.protocols import (
    compare_few_labels,
    cross_validate,
    dice_after_finetuning,
)
from medgenesis.transfer.protocols.finetune_settings import Finetune
from medgenesis.transfer.protocols.propagation import Propagation
from medgenesis.transfer.questions.analyses import ask_cka, ask_invariance, ask_multiview, ask_saliency
from medgenesis.transfer.questions.classes import FewShot, Knn, Linear, ask
from medgenesis.transfer.questions.finetuning import ask_finetuning
from medgenesis.transfer.questions.inversion import ask_inversion
from medgenesis.transfer.questions.perceptual import ask_perceptual
from medgenesis.transfer.questions.places import Places, ask_places
from medgenesis.transfer.questions.propagation import ask_propagation
from medgenesis.transfer.study_report import write_study_report
from medgenesis.transfer.study_set import StudySet, open_study_set

__all__ = [
    "DenseEmbedder",
    "EmbeddingMap",
    "Encoder",
    "FewShot",
    "Finetune",
    "Inversion",
    "Knn",
    "LandmarkMatches",
    "Linear",
    "Places",
    "Propagation",
    "RawPixels",
    "StudySet",
    "ask",
    "ask_cka",
    "ask_finetuning",
    "ask_invariance",
    "ask_inversion",
    "ask_multiview",
    "ask_perceptual",
    "ask_places",
    "ask_propagation",
    "ask_saliency",
    "compare",
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
    "open_encoder",
    "open_study_set",
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
    "write_study_report",
]

__getattr__ = old_names(__name__)
