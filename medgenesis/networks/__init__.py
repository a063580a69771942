"""Networks: the 3D U-Net of Models Genesis, and what makes any encoder-decoder transferable."""

from medgenesis.networks.activations import activation_layer
from medgenesis.networks.classifier import EncoderClassifier
from medgenesis.networks.parts import NetworkParts, deepest_map, network_parts
from medgenesis.networks.unet3d import UNet3D

__all__ = ["EncoderClassifier", "NetworkParts", "UNet3D", "activation_layer", "deepest_map", "network_parts"]
