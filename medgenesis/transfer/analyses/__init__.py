"""What a network has learnt, asked without training it further."""

from medgenesis.transfer.analyses.classification import report_classification
from medgenesis.transfer.analyses.restoration import report_restoration, restoration_errors
from medgenesis.transfer.analyses.segmentation import report_segmentation

__all__ = ["report_classification", "report_restoration", "report_segmentation", "restoration_errors"]
