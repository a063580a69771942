"""Layouts of published checkpoints, one a module: how their keys are recognised and become ours.

A new one exports `LAYOUT` (see `layout.Layout`) and joins the tuple below, which is searched in this order.
"""

from medgenesis.weights.layouts import (
    backbones,
    byol,
    genesis_nnunet,
    keras_unet,
    models_genesis,
    nnssl,
    semantic_genesis,
    smp_unet,
    swin_unetr,
    voco,
)
from medgenesis.weights.layouts.layout import Layout

_3D = (models_genesis, semantic_genesis, keras_unet, genesis_nnunet, nnssl, voco, swin_unetr)
_2D = (smp_unet, backbones, byol)
LAYOUTS: tuple[Layout, ...] = tuple(module.LAYOUT for module in (*_3D, *_2D))

__all__ = ["LAYOUTS", "Layout"]
