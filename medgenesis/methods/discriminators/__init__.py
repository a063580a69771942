"""Instance discrimination between two views, one published way a file: what CAiD and Adam combine with other tasks."""

from medgenesis.methods.discriminators.barlow_twins import BarlowTwins
from medgenesis.methods.discriminators.contract import Discriminator
from medgenesis.methods.discriminators.momentum_contrast import MomentumContrast
from medgenesis.methods.discriminators.simsiam import SimSiam

__all__ = ["BarlowTwins", "Discriminator", "MomentumContrast", "SimSiam"]
