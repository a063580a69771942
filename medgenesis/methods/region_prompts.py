"""Region prompts: given an image with one region marked, segment the same region in another view of it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgenesis.engines.method import PretextMethod
from medgenesis.methods.answer_shape import check_features
from medgenesis.methods.prototypes import prototype_logits, prototypes


class RegionPrompts(PretextMethod):
    """In-context segmentation of supervoxels, as a module whose forward is its loss.

    The network gives each voxel of prompt and query a feature vector, of which the length is not used. Prototypes of
    the marked region and of all else in the prompt classify the voxels of the query.

    loss = cross-entropy + (1 - soft Dice of the region)

    Both parts are means over the samples. The same rule segments anatomy from one labelled scan, without training
    (`medgenesis.inference.PromptedNetwork`).

    Args:
        network: (B, C, *spatial) -> features (B, D, *spatial), an encoder-decoder without activation.
        window: sides of the windows of local prototypes, voxels.
        scale: inverse temperature of cosines.

    Shape:
        batch: `image` (query) and `prompt`, (B, C, *spatial); `target` and `prompt_mask`, (B, 1, *spatial), 0 or 1; as
            `RandRegionPromptd` makes them.
        returns: "loss"; "dice" (soft Dice of the region, mean over the samples); "found" (B, 1, *spatial), detached:
            the probability of the region, for images.

    Raises:
        ValueError: a setting out of its range; (on call) a batch that lacks a key, a network that gives no features
            of each voxel.

    References:
        Ouyang et al., Self-supervision with superpixels, ECCV 2020 (arXiv 2007.09886): superpixels as pseudo labels,
        local prototypes.

    Notes:
        Published: a ResNet-101 of natural images in 2D, cross-entropy with class weights and an alignment loss from
        query to prompt. Here any encoder-decoder from random weights, cross-entropy and Dice, without alignment; the
        mean of all that is marked is a prototype of either class.
    """

    parts = ("dice",)

    def __init__(self, network: nn.Module, *, window: int | Sequence[int] = 8, scale: float = 20.0) -> None:
        super().__init__()
        if not (scale > 0 and (min(window) if isinstance(window, Sequence) else window) >= 1):
            raise ValueError(
                f"window, scale: must be 1 voxel or more, and above 0; found {window}, {scale}. Take 8 and 20."
            )
        self.network, self.window, self.scale = network, window, scale
        self.settings = {"window": str(window), "scale": scale}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        absent = [name for name in ("image", "target", "prompt", "prompt_mask") if name not in batch]
        if absent:
            raise ValueError(
                f"{absent[0]}: must be in the batch; found {', '.join(batch)}. Mark regions by RandRegionPromptd, and "
                "let the data set keep its keys."
            )
        images = torch.cat([batch["prompt"], batch["image"]])
        answers = self.network(images)
        check_features(answers, images)
        prompts, queries = F.normalize(answers.float(), dim=1).chunk(2)
        logits = torch.stack(
            [
                prototype_logits(query, self._banks(prompt, mask[0]), self.scale)
                for prompt, mask, query in zip(prompts, batch["prompt_mask"], queries, strict=True)
            ]
        )
        target = batch["target"][:, 0].long()
        entropy = F.cross_entropy(logits, target)
        found = logits.softmax(dim=1)[:, 1:]
        shares, truth = found.flatten(1), target.flatten(1).to(found.dtype)
        dice = (2 * (shares * truth).sum(dim=1) / (shares.sum(dim=1) + truth.sum(dim=1)).clamp(min=1e-6)).mean()
        return {"loss": entropy + 1 - dice, "dice": dice.detach(), "found": found.detach()}

    def _banks(self, features: Tensor, mask: Tensor) -> list[Tensor]:
        """Prototypes of background and region."""
        return [prototypes(features, mask < 0.5, self.window), prototypes(features, mask > 0.5, self.window)]
