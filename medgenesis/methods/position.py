"""Position regression: say of each voxel of a cube where in the volume it lies."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from medgenesis.engines.method import PretextMethod


class PositionRegression(PretextMethod):
    """Regression of each voxel's place in its volume, as a module whose forward is its loss.

    loss = mean over voxels and axes of smooth_l1(network(image), place), beta 0.05

    A place is a share of the volume's sides: 0 at its first voxel's near face, 1 at its last one's far face.

    Args:
        network: encoder-decoder without activation, (B, C, *spatial) -> (B, n, *spatial), a channel an axis.

    Shape:
        batch: `image` (B, C, *spatial); `corners` (B, 2, n), the near and the far corner of the cube as shares of the
            volume's sides, as `RandAcceptedCropd(corners_key="corners")` notes them.
        returns: "loss"; "error", mean distance of places along an axis, as a share of the side.

    References:
        Doersch et al., Unsupervised visual representation learning by context prediction, ICCV 2015 (relative places);
        Lei et al., Contrastive learning of relative position regression, MICCAI 2021 (arXiv 2012.14000).

    Notes:
        Published: the offset between two patches, regressed from their bottleneck features. Here the place in the
        volume, of each voxel, so that the decoder learns too. It means the same in two patients as far as their scans
        show the same field of view.
    """

    parts = ("error",)

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        if "corners" not in batch:
            raise ValueError(
                f"corners: must be in the batch; found {', '.join(batch)}. Crop by RandAcceptedCropd with corners_key, "
                "and let the data set keep that key."
            )
        image = batch["image"]
        places = voxel_places(batch["corners"].to(image.device, torch.float32), tuple(image.shape[2:]))
        found = self.network(image).float()
        if found.shape != places.shape:
            raise ValueError(
                f"network: must have an output channel for each of {image.ndim - 2} axes; found {tuple(found.shape)}. "
                f"Build it with out_channels={image.ndim - 2}."
            )
        loss = F.smooth_l1_loss(found, places, beta=0.05)
        return {"loss": loss, "error": (found.detach() - places).abs().mean()}


def voxel_places(corners: Tensor, sides: tuple[int, ...]) -> Tensor:
    """The places (B, n, *sides) of the voxels' centres of cubes between corners (B, 2, n)."""
    maps = []
    for axis, side in enumerate(sides):
        near, far = corners[:, 0, axis], corners[:, 1, axis]
        share = (torch.arange(side, device=corners.device, dtype=corners.dtype) + 0.5) / side
        along = near[:, None] + (far - near)[:, None] * share
        shape = [len(corners), *(side if other == axis else 1 for other in range(len(sides)))]
        maps.append(along.reshape(shape).expand(len(corners), *sides))
    return torch.stack(maps, dim=1)
