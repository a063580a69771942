"""Ignite handlers of the trainers, each usable alone."""

from medgenesis.handlers.checkpoints import Checkpoints
from medgenesis.handlers.collapse_guard import CollapseGuard
from medgenesis.handlers.early_stopping import EarlyStopping
from medgenesis.handlers.freeze_parts import FreezeParts
from medgenesis.handlers.frozen_probe import FrozenProbe
from medgenesis.handlers.load_weights import LoadWeights
from medgenesis.handlers.metrics_csv import MetricsCSV
from medgenesis.handlers.norm_statistics import ReestimateNorm
from medgenesis.handlers.pretext_handlers import PretextHandlers
from medgenesis.handlers.preview import Preview
from medgenesis.handlers.probe_first import ProbeFirst
from medgenesis.handlers.progress import Progress
from medgenesis.handlers.save_weights import SaveWeights
from medgenesis.handlers.segmentation_cases import SegmentationCases
from medgenesis.handlers.supervised_handlers import SupervisedHandlers
from medgenesis.handlers.tensorboard import TensorBoard
from medgenesis.handlers.training_logs import TrainingLogs
from medgenesis.handlers.validated_steps import ValidatedSteps
from medgenesis.handlers.weights_and_biases import WeightsAndBiases

__all__ = [
    "Checkpoints",
    "CollapseGuard",
    "EarlyStopping",
    "FreezeParts",
    "FrozenProbe",
    "LoadWeights",
    "MetricsCSV",
    "PretextHandlers",
    "Preview",
    "ProbeFirst",
    "Progress",
    "ReestimateNorm",
    "SaveWeights",
    "SegmentationCases",
    "SupervisedHandlers",
    "TensorBoard",
    "TrainingLogs",
    "ValidatedSteps",
    "WeightsAndBiases",
]
