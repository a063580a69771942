"""What was learnt: restoration against trivial answers, embeddings, few labels, slice-wise inference."""

from medgenesis.transfer.embedding import embed_volume, embed_volumes
from medgenesis.transfer.few_labels import bootstrap_interval, compare_few_labels, dice_after_finetuning
from medgenesis.transfer.restoration import report_restoration, restoration_errors
from medgenesis.transfer.restore import restore_volume, restore_volumes
from medgenesis.transfer.slab_inferer import SlabInferer

__all__ = [
    "SlabInferer",
    "bootstrap_interval",
    "compare_few_labels",
    "dice_after_finetuning",
    "embed_volume",
    "embed_volumes",
    "report_restoration",
    "restoration_errors",
    "restore_volume",
    "restore_volumes",
]
