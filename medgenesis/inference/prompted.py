"""Segmentation without training: a network of features, told what to look for by labelled images."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.data.utils import dense_patch_slices
from monai.networks.utils import eval_mode
from monai.transforms import SpatialPad
from monai.utils import ensure_tuple_rep
from torch import Tensor, nn

from medgenesis.errors import DatalistError
from medgenesis.methods.prototypes import prototype_logits, prototypes

logger = logging.getLogger(__name__)

_MOST = 256  # prototypes of a class


class PromptedNetwork(nn.Module):
    """From images to logits of the classes that were marked in one or a few others.

    Prototypes of each class are collected from the labelled images, window by window, as `RegionPrompts` takes them
    from its prompts; a voxel's logits say how near its feature vector is to them. It stands where a fine-tuned network
    would: in MONAI's `SlidingWindowInferer` and `SupervisedEvaluator`.

    Args:
        network: (B, C, *spatial) -> features (B, D, *spatial), as pre-trained by `RegionPrompts`; used in evaluation
            mode, nothing of it is learnt.
        prompts: items with `image` (C, *spatial) and `label` (1, *spatial): one labelled image, or a few.
        num_classes: background included.
        declared: the classes that the prompts must show, beside the background, with their names ("": none); another
            one that no prompt shows, below the greatest of those shown, is a gap between label values and is never
            answered. None: all must be shown.
        cube_size: sides of the windows that the network sees, for each axis or one for all.
        window: sides of the windows of local prototypes, voxels; that of the pre-training.
        scale: inverse temperature of cosines; that of the pre-training.

    Raises:
        DatalistError: no prompt, or a class that none of them shows and that must be shown.

    References:
        Ouyang et al., Self-supervision with superpixels, ECCV 2020 (arXiv 2007.09886), section 3.3.

    Notes:
        Published: one support slice. Here whole volumes, of which each class keeps 256 prototypes at most, evenly taken
        from those found.
    """

    def __init__(
        self,
        network: nn.Module,
        prompts: Iterable[Mapping[str, Any]],
        num_classes: int,
        cube_size: int | Sequence[int],
        *,
        window: int | Sequence[int] = 8,
        scale: float = 20.0,
        declared: Mapping[int, str] | None = None,
    ) -> None:
        super().__init__()
        self.network, self.scale = network, scale
        found: list[list[Tensor]] = [[] for _ in range(num_classes)]
        count = 0
        for item in prompts:
            count += 1
            self._collect(item, found, cube_size, window)
        names = dict.fromkeys(range(num_classes), "") if declared is None else {0: "background", **declared}
        self.gaps = _gaps(found, names, count)
        none = next(bank[0] for bank in found if bank)[:0]
        for number, bank in enumerate(found):
            self.register_buffer(f"prototypes_{number}", _evenly(torch.cat(bank)) if bank else none.clone())
        self.num_classes = num_classes
        logger.info("%d labelled image(s): prototypes of the classes %s", count, [len(bank) for bank in self.banks])

    @property
    def banks(self) -> list[Tensor]:
        """Of each class its prototypes (N, D)."""
        return [getattr(self, f"prototypes_{number}") for number in range(self.num_classes)]

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, classes, *spatial) of images (B, C, *spatial)."""
        features = F.normalize(self.network(image).float(), dim=1)
        logits = torch.stack([prototype_logits(one, self.banks, self.scale) for one in features])
        logits[:, self.gaps] = -2 * self.scale  # below all cosines
        return logits

    @torch.no_grad()
    def _collect(
        self,
        item: Mapping[str, Any],
        found: list[list[Tensor]],
        cube_size: int | Sequence[int],
        window: int | Sequence[int],
    ) -> None:
        size = ensure_tuple_rep(cube_size, item["image"].ndim - 1)
        pad = SpatialPad(size)
        image, label = (torch.as_tensor(pad(item[key])).as_subclass(Tensor) for key in ("image", "label"))
        device = next(self.network.parameters()).device
        steps = [max(side // 2, 1) for side in size]
        with eval_mode(self.network):
            for slices in dense_patch_slices(image.shape[1:], size, steps):
                cube, marked = image[(slice(None), *slices)], label[(0, *slices)]
                features = F.normalize(self.network(cube[None].to(device)).float(), dim=1)[0]
                for number, bank in enumerate(found):
                    own = prototypes(features, (marked == number).to(device), window)
                    if len(own):
                        bank.append(own)


def _gaps(found: Sequence[list[Tensor]], names: Mapping[int, str], count: int) -> list[int]:
    """The classes without prototypes, none of which must be shown."""
    absent = [number for number, bank in enumerate(found) if not bank]
    greatest = max((number for number, bank in enumerate(found) if bank), default=0)
    lacking = [number for number in absent if number in names or number > greatest]
    if lacking:
        said = [f"{number} ({names[number]})" if names.get(number) else str(number) for number in lacking]
        left_out = ", or leave these classes out by `label_merge`, which names the labels to keep: {2: [2], 5: [5]}"
        raise DatalistError(
            f"prompts: must show every class that the list names, label_merge makes or num_classes counts; found no "
            f"voxel of {', '.join(said)} in {count} labelled image(s). Take other prompts, or more of them (`shots`, "
            f"`prompt_section`){'' if 0 in lacking else left_out}."  # the background is always a class
        )
    if absent:
        logger.warning("never answered, as no prompt shows and nothing names them: %s", ", ".join(map(str, absent)))
    return absent


def _evenly(bank: Tensor) -> Tensor:
    """At most 256 of the prototypes, evenly taken."""
    if len(bank) <= _MOST:
        return bank
    return bank[torch.linspace(0, len(bank) - 1, _MOST).round().long()]
