"""What transforms have in common that cut a part out of a volume: its affine follows."""

from abc import abstractmethod

import numpy as np
import torch

from medgenesis.transforms.base import BatchedVolumeTransform, RandVolumeTransform
from medgenesis.transforms.functional.crops import move_affine
from medgenesis.transforms.params import Params


class RandCroppingTransform(RandVolumeTransform):
    """The array face of a transform that cuts a part out: (C, *spatial) in, another spatial shape out.

    It is applied to every volume, as volumes of two shapes could not be stacked.
    """

    @abstractmethod
    def placed(self, params: Params) -> tuple[np.ndarray, np.ndarray]:
        """First voxels that are cut, and how many of them make one of the result, (B, n) each."""

    def finish(self, batch: torch.Tensor, volume: torch.Tensor) -> torch.Tensor:
        return move_affine(super().finish(batch, volume), *(values[0] for values in self.placed(self.params)))


class BatchedCroppingTransform(BatchedVolumeTransform):
    """The batched face of such a transform: all results have one shape."""

    array = RandCroppingTransform

    def finish(self, batch: torch.Tensor, volume: torch.Tensor) -> torch.Tensor:
        return move_affine(super().finish(batch, volume), *self.transform.placed(self.params))
