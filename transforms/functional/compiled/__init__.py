"""The kernels compiled by numba for the processor, one cube a call; they release Python's lock and run on one thread.

Machine code is kept on disk, so only the first process on a machine waits some seconds for it.
"""

from medgenesis.transforms.functional.compiled.curves import map_intensity
from medgenesis.transforms.functional.compiled.elastic import fill_elastic_noise, warp_in_plane
from medgenesis.transforms.functional.compiled.paint import paint_around, paint_blocks
from medgenesis.transforms.functional.compiled.shuffle import shuffle

__all__ = ["fill_elastic_noise", "map_intensity", "paint_around", "paint_blocks", "shuffle", "warp_in_plane"]
