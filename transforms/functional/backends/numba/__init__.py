"""The kernels compiled by numba for the processor, one cube a call; they release Python's lock and run on one thread.

Machine code is kept on disk, so only the first process on a machine waits some seconds for it.
"""

from medgenesis.transforms.functional.backends.numba.curves import map_intensity
from medgenesis.transforms.functional.backends.numba.elastic import fill_elastic_noise, warp_in_plane
from medgenesis.transforms.functional.backends.numba.local_shuffle import shuffle
from medgenesis.transforms.functional.backends.numba.paint import paint_around, paint_blocks

__all__ = ["fill_elastic_noise", "map_intensity", "paint_around", "paint_blocks", "shuffle", "warp_in_plane"]
