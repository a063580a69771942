"""Layouts of published checkpoints, one a file: how their keys are recognised and become ours."""
