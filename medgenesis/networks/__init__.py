"""Networks: the 3D U-Net of Models Genesis and its kin, and what makes any encoder-decoder transferable."""

from medgenesis.networks.activations import activation_layer
from medgenesis.networks.autoencoder3d import AutoEncoder3D
from medgenesis.networks.classifier import EncoderClassifier
from medgenesis.networks.parts import NetworkParts, deepest_map, network_parts
from medgenesis.networks.pattern_head import PatternHead
from medgenesis.networks.unet3d import UNet3D
from medgenesis.networks.ynet3d import YNet3D

__all__ = [
    "AutoEncoder3D",
    "EncoderClassifier",
    "NetworkParts",
    "PatternHead",
    "UNet3D",
    "YNet3D",
    "activation_layer",
    "deepest_map",
    "network_parts",
]
