"""The whole path in minutes: phantoms, pre-training, fine-tuning on a few labels, segmentation, a report."""

from medgenesis.demo.steps import run_demo

__all__ = ["run_demo"]
