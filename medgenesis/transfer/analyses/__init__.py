"""What a network has learnt, asked without training it further."""

from medgenesis.transfer.analyses.cka import linear_cka, report_reuse
from medgenesis.transfer.analyses.classification import report_classification
from medgenesis.transfer.analyses.restoration import report_restoration, restoration_errors
from medgenesis.transfer.analyses.segmentation import report_segmentation
from medgenesis.transfer.analyses.separability import report_separability

__all__ = [
    "linear_cka",
    "report_classification",
    "report_restoration",
    "report_reuse",
    "report_segmentation",
    "report_separability",
    "restoration_errors",
]
