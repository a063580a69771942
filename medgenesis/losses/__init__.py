"""Losses of the methods that compare views, the queue of negatives, losses of labels; bricks that know no network."""

from medgenesis.losses.contrastive import check_threshold, info_nce, prune_negatives
from medgenesis.losses.cosine import negative_cosine
from medgenesis.losses.cross_correlation import barlow_twins
from medgenesis.losses.dice import hard_dice
from medgenesis.losses.key_queue import KeyQueue
from medgenesis.losses.ranks import gathered, rank, shared_permutation, world_size
from medgenesis.losses.supervised import balanced_weights, classification_loss, segmentation_loss

__all__ = [
    "KeyQueue",
    "balanced_weights",
    "barlow_twins",
    "check_threshold",
    "classification_loss",
    "gathered",
    "hard_dice",
    "info_nce",
    "negative_cosine",
    "prune_negatives",
    "rank",
    "segmentation_loss",
    "shared_permutation",
    "world_size",
]
