"""Masked autoencoder: restore the blocks of a volume that were hidden."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from monai.utils import ensure_tuple_rep
from torch import Tensor, nn

from medgenesis.engines.method import PretextMethod
from medgenesis.methods.answer_shape import check_restored


class MaskedAutoencoder(PretextMethod):
    """Restoration of hidden blocks, as a module whose forward is its loss.

    loss = mean over the hidden voxels of (network(image) - target)^2

    Args:
        network: encoder-decoder with as many output as input channels, (B, C, *spatial) -> the same. One with the
            attribute `takes_mask` (`SparseUNet3D`) is called with the mask too; any other sees the hidden blocks as
            the value that fills them.
        normalise: None; or the sides of the blocks (voxels, one for all axes or for each) in each of which the target
            is brought to mean 0 and standard deviation 1. The network then needs a linear head.

    Shape:
        batch: `image` (blocks hidden) and `target` (whole), both (B, C, *spatial); `mask`, bool (B, 1, *spatial), True
            where hidden; as `RandMaskBlocksd` makes them.
        returns: "loss" and "restoration", scalars; "restored" (B, C, *spatial), detached, for previews and guards: what
            the network gives for all voxels, though only the hidden ones count.

    Raises:
        ValueError: `normalise` with a sigmoid or softmax at the network's end; (on call) a batch without a mask,
            blocks that do not divide its sides, or a target of another shape than what is restored.

    References:
        He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022 (arXiv 2111.06377), section 3; the
        normalised target: table 1 (d).
        Wald et al., Revisiting MAE pre-training for 3D medical image segmentation, CVPR 2025 (arXiv 2410.23132).

    Notes:
        He et al. mask the tokens of a vision transformer and normalise the target by default. Here, as in Wald et al.,
        a U-Net is trained, and intensities are restored as they are: in CT they are a measured quantity, and the noise
        of air would be enlarged to the size of anatomy.
    """

    parts = ("restoration",)

    def __init__(self, network: nn.Module, *, normalise: int | Sequence[int] | None = None) -> None:
        super().__init__()
        last = [module for module in network.modules() if not isinstance(module, nn.ParameterList)][-1]
        if normalise is not None and isinstance(last, (nn.Sigmoid, nn.Softmax)):
            raise ValueError(
                f"normalise: must go with a linear head; found {type(last).__name__} at the end of "
                f"{type(network).__name__}. Build the network with activation=None."
            )
        self.network, self.normalise, self.restores = network, normalise, normalise is None
        self.settings = {"normalise": str(normalise)}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if "mask" not in batch:
            raise ValueError(
                f"mask: must be in the batch; found {', '.join(batch)}. Hide blocks by RandMaskBlocksd with target_key."
            )
        target, mask = batch["target"], batch["mask"].bool()
        mean, spread = (0.0, 1.0) if self.normalise is None else block_statistics(target, self.normalise)
        answer = self._answer(batch["image"], mask)
        check_restored(answer, target)
        squares = F.mse_loss(answer, (target - mean) / spread, reduction="none")
        restoration = (squares * mask).sum() / (mask.sum() * target.shape[1]).clamp(min=1)
        restored = answer.detach() * spread + mean
        return {"loss": restoration, "restoration": restoration.detach(), "restored": restored}

    @torch.no_grad()
    def restore(self, image: Tensor, mask: Tensor) -> Tensor:
        """The image (B, C, *spatial) with what is hidden, bool (B, 1, *spatial), restored; the rest as it is.

        Raises:
            ValueError: the target was normalised: the network gives no intensities.
        """
        if not self.restores:
            raise ValueError(
                "normalise: must be None to restore intensities; found a network of normalised blocks. Train one with "
                "normalise None."
            )
        return torch.where(mask, self._answer(image, mask).to(image.dtype), image)

    def _answer(self, image: Tensor, mask: Tensor) -> Tensor:
        return self.network(image, mask) if getattr(self.network, "takes_mask", False) else self.network(image)


def block_statistics(volume: Tensor, block_size: int | Sequence[int]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the blocks of (B, C, *spatial), both of its shape: one value a block and channel.

    Raises:
        ValueError: blocks that do not divide the sides.
    """
    sides = volume.shape[2:]
    size = ensure_tuple_rep(block_size, len(sides))
    if any(side % length for side, length in zip(sides, size, strict=True)):
        raise ValueError(f"normalise: must divide the sides {tuple(sides)}; found {size}. Take the mask's block_size.")
    split = [number for side, length in zip(sides, size, strict=True) for number in (side // length, length)]
    variance, mean = torch.var_mean(
        volume.reshape(*volume.shape[:2], *split), dim=[3 + 2 * axis for axis in range(len(sides))], keepdim=True
    )
    whole = [statistic.expand(*volume.shape[:2], *split).reshape(volume.shape) for statistic in (mean, variance)]
    return whole[0], (whole[1] + 1e-6).sqrt()
