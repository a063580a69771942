"""What the config of the staged run is made of, beside the package's own: a tiny backbone, a kill and a delay."""

import os
import time

import torch
from ignite.engine import Events
from torch import nn


class Backbone(nn.Module):
    """Slabs (B, 3, H, W) -> pooled features (B, 6), with batch norm."""

    out_channels = 6

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x))).mean((2, 3))


def late():
    """Let the other process go on first."""
    if os.environ["RANK"] == "0":
        time.sleep(3)


class Kill:
    """Stop the run as the power does, in the stage and iteration that STAGE_KILL names."""

    def __init__(self, level):
        self.level = level

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine):
        if os.environ.get("STAGE_KILL") == f"{self.level} {engine.state.iteration}":
            raise KeyboardInterrupt
