"""One engine for all pretext methods."""

from medgenesis.engines.evaluator import PretextEvaluator
from medgenesis.engines.method import PretextMethod
from medgenesis.engines.pretext import PretextEvents, PretextTrainer
from medgenesis.engines.stages import StagedWorkflow

__all__ = ["PretextEvaluator", "PretextEvents", "PretextMethod", "PretextTrainer", "StagedWorkflow"]
