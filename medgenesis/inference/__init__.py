"""Networks applied to whole images: slice by slice, restored, embedded."""

from medgenesis.inference.embedding import embed_volume, embed_volumes
from medgenesis.inference.restore import restore_volume, restore_volumes
from medgenesis.inference.slab_inferer import SlabInferer

__all__ = ["SlabInferer", "embed_volume", "embed_volumes", "restore_volume", "restore_volumes"]
