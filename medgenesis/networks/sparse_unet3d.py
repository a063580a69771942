"""The 3D U-Net for masked volumes: what is hidden reaches neither the encoder's features nor its statistics."""

import torch
import torch.nn.functional as F
from torch import nn

from medgenesis.networks.unet3d import MULTIPLE, UNet3D, UNetEncoder


class SparseUNetEncoder(UNetEncoder):
    """``UNetEncoder`` that, given a mask, computes at the visible voxels alone.

    After every convolution the features of hidden voxels are 0, and normalisation layers see visible voxels alone.
    Called without a mask, and in arguments and keys, it is a ``UNetEncoder``.
    """

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> list[torch.Tensor]:
        if mask is None:
            return super().forward(x)
        _check_mask(mask, x)
        features, x = [], x.masked_fill(mask, 0)
        for level, convolutions in enumerate(self.levels):
            hidden = mask_at(level, mask)
            places = (~hidden).flatten(1).nonzero()[:, 1].view(len(x), 1, -1)
            x = F.max_pool3d(x, 2) if level else x  # blocks are whole: visible and hidden voxels do not meet
            for layer in convolutions:
                x = F.relu(_normalised_at(places, layer.norm, layer.conv(x)))
            features.append(x)
        return features


class SparseUNet3D(UNet3D):
    """``UNet3D`` whose encoder, given a mask, computes at the visible voxels alone (``SparseUNetEncoder``).

    The decoder is dense: at each level a learnt mask token stands where features are hidden. Without a mask it is a
    ``UNet3D``, which takes its weights without the tokens (``medgenesis.weights.load_pretrained``).

    Args:
        in_channels: channels of the volume.
        out_channels: channels of the output.
        width: see ``UNet3D``.
        norm: see ``UNet3D``.
        activation: see ``UNet3D``.
        pad_to_multiple: see ``UNet3D``; without a mask only.

    Shape:
        input: volume (B, in_channels, X, Y, Z) and, if there is one, its mask, bool (B, 1, X, Y, Z), True where hidden.
        returns: (B, out_channels, X, Y, Z).

    Raises:
        ValueError: as ``UNet3D``; a mask that does not consist of 8 x 8 x 8 blocks of the bottleneck's grid, or that
            hides more of one volume than of another.

    References:
        Tian et al., Designing BERT for Convolutional Networks (SparK), ICLR 2023 (arXiv 2301.03580), section 3.
        Wald et al., Revisiting MAE pre-training for 3D medical image segmentation, CVPR 2025 (arXiv 2410.23132).

    Notes:
        SparK widens the features by a convolution before its decoder, a lighter one that is thrown away. Here, as in
        Wald et al., the U-Net's own decoder restores, so that it can be fine-tuned too, and tokens alone fill the gaps.
        Sparse convolutions are dense ones with zeros: the same numbers, no time saved.
    """

    takes_mask = True

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        width: int = 32,
        *,
        norm: str = "batch",
        activation: str | None = "sigmoid",
        pad_to_multiple: bool = False,
    ):
        super().__init__(
            in_channels, out_channels, width, norm=norm, activation=activation, pad_to_multiple=pad_to_multiple
        )
        self.encoder = SparseUNetEncoder(in_channels, width, norm)
        tokens = (nn.init.trunc_normal_(torch.empty(c, 1, 1, 1), std=0.02) for c in self.encoder.feature_channels)
        self.mask_tokens = nn.ParameterList(nn.Parameter(token) for token in tokens)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        if mask is None:
            return super().forward(x)
        seen = enumerate(zip(self.encoder(x, mask), self.mask_tokens, strict=True))
        filled = [torch.where(mask_at(level, mask), token.to(maps.dtype), maps) for level, (maps, token) in seen]
        return self._decoded(filled, x)


def mask_at(level: int, mask: torch.Tensor) -> torch.Tensor:
    """The mask of a level's feature maps, of that of the volume (B, 1, X, Y, Z)."""
    step = 2**level
    return mask[..., ::step, ::step, ::step]


def _normalised_at(places: torch.Tensor, norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Normalise (B, C, X, Y, Z) at some of its voxels (B, 1, N), as if there were no others; the others become 0.

    The result has the memory order of x, or the convolution after it would copy it.
    """
    flat, places = x.flatten(2), places.expand(-1, x.shape[1], -1)
    values = norm(flat.gather(2, places)[..., None, None])[..., 0, 0]
    return torch.zeros_like(flat, dtype=values.dtype).scatter_(2, places, values).view(x.shape)


def _check_mask(mask: torch.Tensor, x: torch.Tensor) -> None:
    wanted = (len(x), 1, *x.shape[2:])
    remedy = f"Take block_size a multiple of {MULTIPLE} that divides the cube's sides (RandMaskBlocks)."
    if mask.dtype != torch.bool or mask.shape != wanted:
        raise ValueError(f"mask: must be bool {wanted}; found {mask.dtype} {tuple(mask.shape)}. {remedy}")
    blocks = mask[..., ::MULTIPLE, ::MULTIPLE, ::MULTIPLE]
    whole = blocks
    for axis in range(2, 2 + len(x.shape[2:])):
        whole = whole.repeat_interleave(MULTIPLE, axis)
    if whole.shape != mask.shape or not torch.equal(whole, mask):
        raise ValueError(f"mask: must consist of whole blocks of {MULTIPLE} voxels a side; found others. {remedy}")
    hidden = blocks.flatten(1).sum(dim=1)
    if hidden.min() != hidden.max() or hidden.max() == blocks[0].numel():
        raise ValueError(
            f"mask: must hide as much of each volume, and not all of any; found {hidden.tolist()} of "
            f"{blocks[0].numel()} blocks. {remedy}"
        )
