"""Layouts of published checkpoints, one a module: how their keys are recognised and become ours.

A new one exports `LAYOUT` (see `layout.Layout`) and joins the tuple below, which is searched in this order.
"""

from medgenesis.weights.layouts import backbones, models_genesis, semantic_genesis, smp_unet
from medgenesis.weights.layouts.layout import Layout

LAYOUTS = tuple(module.LAYOUT for module in (models_genesis, semantic_genesis, smp_unet, backbones))

__all__ = ["LAYOUTS", "Layout"]
