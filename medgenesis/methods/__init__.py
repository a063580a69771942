"""Published methods, one a file: a module that owns its networks and whose forward returns the loss and its parts.

Each is a `medgenesis.engines.PretextMethod`, which says what the engine relies on.
"""

from medgenesis.methods.adam import Adam
from medgenesis.methods.caid import CAiD, check_caid_size
from medgenesis.methods.dense_contrast import DenseContrast, check_overlap_voxels
from medgenesis.methods.discriminators.barlow_twins import BarlowTwins
from medgenesis.methods.discriminators.momentum_contrast import MomentumContrast
from medgenesis.methods.discriminators.simsiam import SimSiam
from medgenesis.methods.guided import GuidedSupervised
from medgenesis.methods.masked_autoencoder import MaskedAutoencoder
from medgenesis.methods.models_genesis import ModelsGenesis
from medgenesis.methods.position import PositionRegression
from medgenesis.methods.region_prompts import RegionPrompts
from medgenesis.methods.semantic_genesis import SemanticGenesis
from medgenesis.methods.stage_start import initialise_from_stage
from medgenesis.methods.supervised import Supervised
from medgenesis.methods.transvw import TransVW
from medgenesis.renamed import old_names

__all__ = [
    "Adam",
    "BarlowTwins",
    "CAiD",
    "DenseContrast",
    "GuidedSupervised",
    "MaskedAutoencoder",
    "ModelsGenesis",
    "MomentumContrast",
    "PositionRegression",
    "RegionPrompts",
    "SemanticGenesis",
    "SimSiam",
    "Supervised",
    "TransVW",
    "check_caid_size",
    "check_overlap_voxels",
    "initialise_from_stage",
]

__getattr__ = old_names(__name__)
