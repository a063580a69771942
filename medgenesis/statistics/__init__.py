"""Intervals, paired tests and AUC that know that the cases of a patient are alike."""

from medgenesis.statistics.auc import auc_interval
from medgenesis.statistics.intervals import mean_interval
from medgenesis.statistics.paired import Difference, difference, holm, verdict

__all__ = ["Difference", "auc_interval", "difference", "holm", "mean_interval", "verdict"]
