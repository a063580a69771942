"""Checkpoints: recognised, converted and brought into networks."""

from medgenesis.renamed import old_names
from medgenesis.weights.layouts.backbones import backbone_keys
from medgenesis.weights.layouts.genesis_nnunet import dynunet_settings
from medgenesis.weights.layouts.models_genesis import models_genesis_keys
from medgenesis.weights.layouts.semantic_genesis import semantic_genesis_keys, ynet3d_settings
from medgenesis.weights.layouts.smp_unet import smp_unet_keys, unet25d_to_smp
from medgenesis.weights.layouts.swin_unetr import swin_settings
from medgenesis.weights.load import LoadedWeights, load_published
from medgenesis.weights.pretrained import initialise, load_pretrained
from medgenesis.weights.report import WeightsReport
from medgenesis.weights.seen import warn_of_seen
from medgenesis.weights.settings import ModelSettings, settings_of, with_settings

__all__ = [
    "LoadedWeights",
    "ModelSettings",
    "WeightsReport",
    "initialise",
    "load_pretrained",
    "load_published",
    "models_genesis_keys",
    "semantic_genesis_keys",
    "settings_of",
    "smp_unet_keys",
    "backbone_keys",
    "dynunet_settings",
    "swin_settings",
    "warn_of_seen",
    "unet25d_to_smp",
    "with_settings",
    "ynet3d_settings",
]

__getattr__ = old_names(__name__)
