"""One engine for all pretext methods."""

from medgenesis.engines.pretext import PretextEvaluator, PretextEvents, PretextTrainer

__all__ = ["PretextEvaluator", "PretextEvents", "PretextTrainer"]
