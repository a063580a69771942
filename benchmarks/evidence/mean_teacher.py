"""The semi-supervised rival: a mean teacher, which learns from the same unlabelled images while it is fine-tuned."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.transforms import Randomizable, Transform
from monai.utils import MAX_SEED
from torch import Tensor, nn

from benchmarks.evidence.batches import RandCropOfCased
from medgenesis.engines import PretextMethod

DECAY = 0.99  # of the teacher's mean, at most
CONSISTENCY = 0.1  # weight at the end
NOISE = 0.1  # of student and teacher, standard deviation, cut at twice that


class MeanTeacher(PretextMethod):
    """Fine-tuning with a second term: on unlabelled crops student and teacher, a running mean of it, shall agree.

    loss = loss(network(image), label) + w * mean((softmax(network(key + noise)) - softmax(teacher(key + noise)))^2)

    Args:
        network: the student, which answers in the end.
        loss: of logits and label maps.
        steps: in which w rises to `CONSISTENCY`, as exp(-5 (1 - t)^2).

    Shape:
        batch: `image` and `label` (B, 1, *spatial), `key` (B, 1, *spatial), unlabelled.
        returns: "loss" and "consistency", scalars.

    References:
        Tarvainen, Valpola: Mean teachers, NeurIPS 2017 (arXiv 1703.01780).
        Yu et al., Uncertainty-aware self-ensembling, MICCAI 2019 (arXiv 1907.07034): decay, weight and noise.

    Notes:
        Published: labelled and unlabelled images go through the student in one batch. Here apart.
    """

    parts = ("consistency",)

    def __init__(self, network: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], steps: int) -> None:
        super().__init__()
        self.network, self.loss, self.steps, self.taken = network, loss, steps, 0
        self.teacher = copy.deepcopy(network).requires_grad_(False)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self.follow()
        image, unlabelled = batch["image"], batch["key"]
        # apart: in one batch, noise would decide the statistics of batch norm that labelled images are learnt with
        answers, own = self.network(image), self.network(_noisy(unlabelled))
        with torch.no_grad():
            taught = self.teacher(_noisy(unlabelled)).softmax(1)
        consistency = (own.softmax(1) - taught).square().mean()
        weight = CONSISTENCY * math.exp(-5 * (1 - min(1.0, self.taken / self.steps)) ** 2)
        self.taken += 1
        loss = self.loss(answers, batch["label"]) + weight * consistency
        return {"loss": loss, "consistency": consistency.detach()}

    @torch.no_grad()
    def follow(self) -> None:
        """Let the teacher take the student's weights of now into its mean: the first ones count alike."""
        decay = min(1 - 1 / (self.taken + 1), DECAY)
        for own, learnt in zip(self.teacher.parameters(), self.network.parameters(), strict=True):
            own.mul_(decay).add_(learnt, alpha=1 - decay)


class RandBesideUnlabelledd(Randomizable, Transform):
    """A labelled sample, and beside it as `key` a crop of an unlabelled case that is drawn."""

    def __init__(self, labelled: Any, unlabelled: Sequence[Mapping[str, Any]], crop: Sequence[int]) -> None:
        self.labelled, self.unlabelled, self.crop = labelled, unlabelled, RandCropOfCased(crop)

    def set_random_state(self, seed: int | None = None, state: Any = None) -> "RandBesideUnlabelledd":
        super().set_random_state(seed, state)
        self.labelled.set_random_state(seed, state)  # the labelled crops are those of every arm
        self.crop.set_random_state(seed=self.R.randint(MAX_SEED, dtype="uint32"))
        return self

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        beside = self.crop(self.unlabelled[self.R.randint(len(self.unlabelled))])["image"]
        return {**self.labelled(data), "key": beside}


def _noisy(image: Tensor) -> Tensor:
    return image + (NOISE * torch.randn_like(image)).clamp(-2 * NOISE, 2 * NOISE)
