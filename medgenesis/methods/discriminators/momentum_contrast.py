"""Instance discrimination against a momentum queue."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from medgenesis.losses import (
    KeyQueue,
    check_threshold,
    gathered,
    info_nce,
    prune_negatives,
    rank,
    shared_permutation,
    world_size,
)
from medgenesis.methods.discriminators.contract import Discriminator
from medgenesis.methods.discriminators.projection import feature_channels
from medgenesis.networks import global_average_pool


class MomentumContrast(Discriminator):
    """Tell the other view of an image (its key) from a queue of other images' keys; the part that CAiD and Adam share.

    The query branch is the method's own encoder and `head`; the key branch, a slow average of it without gradient, and
    the queue live here. In training each call (1) moves the key branch towards the query branch, parameters only; (2)
    encodes the keys; (3) computes the loss; (4) enqueues the keys of all processes. In evaluation nothing changes.

    Args:
        encoder: the query encoder, image -> maps or pooled features, with `out_channels`; copied, not kept.
        dim: numbers of an embedding.
        queue_size: K, a multiple of the global batch.
        momentum: m of key = m * key + (1 - m) * query.
        temperature: T of InfoNCE.
        prune_above: drop negatives of this cosine or more from the loss (purposive pruner); infinity drops none but
            reports the part "pruned" too; None drops none.
        prune_after: batches of training from which on they are dropped (published: 0). A backbone that a short training
            has left with much the same embedding for everything would have no negative at all, and stay so.
        mlp: head of two layers with a ReLU between, else one layer.
        split_batch: groups into which each process's keys are shared out at random, each with its own batch-norm
            statistics: the substitute for shuffling across processes on one device. 1: plain batch norm.

    Shape:
        features: pooled query features (B, C). key: the other views (B, k, H, W).
        returns: "loss"; "positive" and "negative", mean cosines; with `prune_above` "pruned", the share of the
            negatives that was dropped. Scalars.

    Raises:
        ValueError: settings out of range; (on call, before anything changes) a batch that does not divide the queue.

    References:
        He et al., Momentum Contrast, CVPR 2020 (arXiv 1911.05722); Chen et al., MoCo v2 (arXiv 2003.04297).

    Notes:
        - At the first call in training the key branch becomes a copy of the query branch, running statistics included,
          so that weights may be loaded into the network after this was built. (Published: without the statistics.)
        - Under `torch.distributed` the keys are permuted across the processes before encoding and put back after.
          Random numbers come from torch's generator, which `PretextTrainer` seeds. Evaluation does not communicate.
        - The published validation updates the key branch and enqueues its keys; here it does neither.
        - With gradient accumulation the key branch moves once a batch, not once an optimizer step.
    """

    def __init__(
        self,
        encoder: nn.Module,
        *,
        dim: int = 128,
        queue_size: int = 65536,
        momentum: float = 0.999,
        temperature: float = 0.2,
        prune_above: float | None = None,
        prune_after: int = 0,
        mlp: bool = True,
        split_batch: int = 1,
    ) -> None:
        super().__init__()
        if not (0 <= momentum <= 1 and temperature > 0 and split_batch >= 1):
            raise ValueError(
                "momentum, temperature, split_batch: must be in [0, 1], above 0 and at least 1; found "
                f"{momentum}, {temperature}, {split_batch}. Published: 0.999, 0.2, 1."
            )
        if isinstance(prune_after, bool) or not isinstance(prune_after, int) or prune_after < 0:
            raise ValueError(
                f"prune_after: must be a number of batches, published 0; found {prune_after!r}. Give a whole number "
                "from 0."
            )
        if prune_above not in (None, float("inf")):
            check_threshold(prune_above)
        channels = feature_channels(encoder)
        hidden = [nn.Linear(channels, channels), nn.ReLU(inplace=True)] if mlp else []
        self.head = nn.Sequential(*hidden, nn.Linear(channels, dim))
        self.key_encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.key_head = copy.deepcopy(self.head).requires_grad_(False)
        self.queue = KeyQueue(dim, queue_size)
        self.register_buffer("updates", torch.tensor(0))  # of the key branch
        self.register_buffer("batches", torch.tensor(0))  # of training, in this stage
        self.momentum, self.temperature, self.split_batch = momentum, temperature, split_batch
        self.prune_above, self.prune_after = prune_above, prune_after
        self.parts = ("positive", "negative") if prune_above is None else ("pruned", "positive", "negative")

    def check_batch(self, batch: int, processes: int = 1) -> None:
        """Refuse a batch size (of each process) that the queue or the split does not fit; called before training.

        Raises:
            ValueError: naming what would do.
        """
        self.queue.check_batch(batch * processes)
        if batch % self.split_batch:
            raise ValueError(
                f"split_batch: must divide the batch size of a process; found {self.split_batch} and {batch}. "
                "Use split_batch=1 for plain batch norm."
            )

    def forward(self, features: Tensor, key: Tensor, encoder: nn.Module) -> dict[str, Tensor]:
        queries = _unit(self.head(features))
        if self.training:
            self.check_batch(len(key), world_size())
            self._follow(encoder)
            everyones = self._shuffled_keys(key)
            keys = everyones.chunk(world_size())[rank()]
        else:
            keys = self._embedded(key)
        positive = (queries * keys).sum(dim=1)
        negatives = queries @ self.queue.keys.clone()  # the gradient needs the keys that enqueue() is about to replace
        keep = self._kept(negatives)
        output = {"loss": info_nce(positive, negatives, self.temperature, keep)}
        if keep is not None:
            output["pruned"] = 1 - keep.float().mean()
        if self.training:
            self.queue.enqueue(everyones)
            self.batches += 1
        return {**output, "positive": positive.detach().mean(), "negative": negatives.detach().mean()}

    def _kept(self, negatives: Tensor) -> Tensor | None:
        """Which negatives the loss has, bool like them; None where none are ever dropped."""
        if self.prune_above is None:
            return None
        return prune_negatives(negatives, self.prune_above) | (self.batches < self.prune_after)

    @torch.no_grad()
    def _follow(self, encoder: nn.Module) -> None:
        """Move the parameters of the key branch; running statistics come from its own passes."""
        pairs = ((self.key_encoder, encoder), (self.key_head, self.head))
        if self.updates == 0:
            for mine, theirs in pairs:
                mine.load_state_dict(theirs.state_dict())
        else:
            mine, theirs = ([p.detach() for pair in pairs for p in pair[side].parameters()] for side in (0, 1))
            get_ema_multi_avg_fn(self.momentum)(mine, theirs, None)
        self.updates += 1

    @torch.no_grad()
    def _embedded(self, key: Tensor) -> Tensor:
        return _unit(self.key_head(global_average_pool(self.key_encoder(key))))

    @torch.no_grad()
    def _shuffled_keys(self, key: Tensor) -> Tensor:
        """Embeddings of all processes' keys, in rank order.

        Batch norm must not give queries and keys of the same images the same statistics, by which they could be told.
        """
        world = world_size()
        if world * self.split_batch == 1:
            return self._embedded(key)
        images = gathered(key)
        order = shared_permutation(len(images), key.device)
        groups = order.chunk(world)[rank()].chunk(self.split_batch)
        embedded = torch.cat([self._embedded(images[group]) for group in groups])
        return gathered(embedded)[order.argsort()]


def _unit(embeddings: Tensor) -> Tensor:
    return F.normalize(embeddings.float(), dim=1)
