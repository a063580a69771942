"""What was learnt: restoration against trivial answers, embeddings, landmarks, few labels, slice-wise."""

from medgenesis.transfer.embedding import embed_volume, embed_volumes
from medgenesis.transfer.eve import EmbeddingMap, Eve
from medgenesis.transfer.eve_compositionality import compositionality
from medgenesis.transfer.eve_controls import RawPixels, eve_controls
from medgenesis.transfer.eve_locality import embed_landmarks, locality
from medgenesis.transfer.eve_report import blind_figures, landmark_figures, report_eve, whole_figures
from medgenesis.transfer.eve_retrieval import Retrieval, retrieve_landmarks, same_places
from medgenesis.transfer.few_labels import bootstrap_interval, compare_few_labels, dice_after_finetuning
from medgenesis.transfer.film_slabs import film_slabs
from medgenesis.transfer.restoration import report_restoration, restoration_errors
from medgenesis.transfer.restore import restore_volume, restore_volumes
from medgenesis.transfer.slab_inferer import SlabInferer

__all__ = [
    "EmbeddingMap",
    "Eve",
    "RawPixels",
    "Retrieval",
    "SlabInferer",
    "blind_figures",
    "bootstrap_interval",
    "compare_few_labels",
    "compositionality",
    "dice_after_finetuning",
    "embed_landmarks",
    "embed_volume",
    "embed_volumes",
    "eve_controls",
    "film_slabs",
    "landmark_figures",
    "locality",
    "report_eve",
    "report_restoration",
    "restoration_errors",
    "restore_volume",
    "restore_volumes",
    "retrieve_landmarks",
    "same_places",
    "whole_figures",
]
