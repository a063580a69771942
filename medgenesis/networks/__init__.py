"""Networks: the 3D U-Net of Models Genesis and its kin, the 2.5D ones of CAiD and Adam, and what transfers any."""

from medgenesis.networks.activations import activation_layer
from medgenesis.networks.autoencoder3d import AutoEncoder3D
from medgenesis.networks.classifier import EncoderClassifier
from medgenesis.networks.guidance import guidance_maps
from medgenesis.networks.level_head import kept_head_levels
from medgenesis.networks.parts import NetworkParts, bottleneck_features, global_average_pool, network_parts
from medgenesis.networks.pattern_head import PatternHead
from medgenesis.networks.planned import planned_network
from medgenesis.networks.pooled_classifier import PooledClassifier
from medgenesis.networks.resnet25d import Encoder25D, ResNet25D
from medgenesis.networks.skip_generator import SkipGenerator
from medgenesis.networks.sparse_unet3d import SparseUNet3D
from medgenesis.networks.stem import inflate_stem
from medgenesis.networks.unet3d import UNet3D
from medgenesis.networks.unet25d import UNet25D
from medgenesis.networks.ynet3d import YNet3D
from medgenesis.renamed import old_names

__all__ = [
    "AutoEncoder3D",
    "Encoder25D",
    "EncoderClassifier",
    "NetworkParts",
    "PatternHead",
    "PooledClassifier",
    "ResNet25D",
    "SkipGenerator",
    "SparseUNet3D",
    "UNet25D",
    "UNet3D",
    "YNet3D",
    "activation_layer",
    "bottleneck_features",
    "guidance_maps",
    "inflate_stem",
    "kept_head_levels",
    "network_parts",
    "planned_network",
    "global_average_pool",
]

__getattr__ = old_names(__name__)
