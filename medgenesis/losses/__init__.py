"""Losses of the methods that compare views, and the queue of negatives; bricks that know no network."""

from medgenesis.losses.contrastive import check_threshold, info_nce, prune_negatives
from medgenesis.losses.cosine import negative_cosine
from medgenesis.losses.cross_correlation import barlow_twins
from medgenesis.losses.key_queue import KeyQueue
from medgenesis.losses.ranks import gathered, rank, shared_permutation, world_size

__all__ = [
    "KeyQueue",
    "barlow_twins",
    "check_threshold",
    "gathered",
    "info_nce",
    "negative_cosine",
    "prune_negatives",
    "rank",
    "shared_permutation",
    "world_size",
]
