"""One engine for all pretext methods."""

from medgenesis.engines.epoch_rates import epochs_for, rate_schedule, steps_an_epoch
from medgenesis.engines.evaluator import PretextEvaluator
from medgenesis.engines.layer_rates import parameter_groups
from medgenesis.engines.method import PretextMethod
from medgenesis.engines.pretext import PretextEvents, PretextTrainer
from medgenesis.engines.stages import StagedWorkflow

__all__ = [
    "PretextEvaluator",
    "PretextEvents",
    "PretextMethod",
    "PretextTrainer",
    "StagedWorkflow",
    "epochs_for",
    "parameter_groups",
    "rate_schedule",
    "steps_an_epoch",
]
