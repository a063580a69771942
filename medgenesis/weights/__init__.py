"""Checkpoints: saved whole, read safely, recognised, converted and brought into networks."""

from medgenesis.weights.checkpoint import read_checkpoint, save_checkpoint
from medgenesis.weights.models_genesis import models_genesis_keys
from medgenesis.weights.pretrained import initialise, load_pretrained
from medgenesis.weights.published import LoadedWeights, load_published
from medgenesis.weights.report import WeightsReport
from medgenesis.weights.semantic_genesis import semantic_genesis_keys, ynet3d_settings
from medgenesis.weights.smp_unet import smp_unet_keys, unet25d_to_smp
from medgenesis.weights.trunks import trunk_keys

__all__ = [
    "LoadedWeights",
    "WeightsReport",
    "initialise",
    "load_pretrained",
    "load_published",
    "models_genesis_keys",
    "read_checkpoint",
    "save_checkpoint",
    "semantic_genesis_keys",
    "smp_unet_keys",
    "trunk_keys",
    "unet25d_to_smp",
    "ynet3d_settings",
]
