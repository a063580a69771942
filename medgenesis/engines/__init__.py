"""One engine for all pretext methods."""

from medgenesis.engines.evaluator import PretextEvaluator
from medgenesis.engines.pretext import PretextEvents, PretextTrainer

__all__ = ["PretextEvaluator", "PretextEvents", "PretextTrainer"]
