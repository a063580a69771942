"""The queue of past keys that serve as negatives."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class KeyQueue(nn.Module):
    """First in, first out: K unit vectors, of which each global batch overwrites the oldest.

    Args:
        dim: numbers of a key.
        size: K. It must be a multiple of the global batch (batch size times processes).

    Buffers: `keys` (dim, size), random unit vectors at first; `pointer` (1,), int64, the column written next.

    Raises:
        ValueError: less than one number or key.

    References:
        He et al., Momentum Contrast, CVPR 2020 (arXiv 1911.05722), section 3.2.
    """

    def __init__(self, dim: int = 128, size: int = 65536) -> None:
        super().__init__()
        if dim < 1 or size < 1:
            raise ValueError(f"dim, queue_size: must be at least 1; found {dim}, {size}. Published: 128, 65536.")
        self.register_buffer("keys", F.normalize(torch.randn(dim, size), dim=0))
        self.register_buffer("pointer", torch.zeros(1, dtype=torch.long))

    @property
    def size(self) -> int:
        """K, the number of keys."""
        return self.keys.shape[1]

    def check_batch(self, global_batch: int) -> None:
        """Refuse a global batch that does not divide the queue.

        Raises:
            ValueError: naming the nearest batches and queue sizes that would do.
        """
        size = self.size
        if size % global_batch == 0:
            return
        smaller = next(batch for batch in range(min(global_batch, size), 0, -1) if size % batch == 0)
        larger = next((batch for batch in range(global_batch, size + 1) if size % batch == 0), None)
        batches = f"{smaller} or {larger}" if larger else f"{smaller}"
        whole = size // global_batch * global_batch
        sizes = f"{whole} or {whole + global_batch}" if whole else f"{global_batch}"
        raise ValueError(
            f"queue_size: must be a multiple of the global batch (batch size times processes); found {size} and a "
            f"global batch of {global_batch}. Nearest: a global batch of {batches}, or queue_size={sizes}."
        )

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Overwrite the oldest keys with those of one global batch, (n, dim), in their order.

        Raises:
            ValueError: as `check_batch`.
        """
        self.check_batch(len(keys))
        # columns by a tensor, not by int(pointer): a GPU need not wait. They wrap, for after a run with another batch
        # size the pointer may stand anywhere
        columns = (self.pointer + torch.arange(len(keys), device=keys.device)) % self.size
        self.keys.index_copy_(1, columns, keys.T.to(self.keys.dtype))
        self.pointer.add_(len(keys)).remainder_(self.size)
