"""Local shuffling's source map on a GPU, as two Triton kernels; the integers are those of `windows.py`.

Windows are written one after another and each permutation is a chain of swaps, but nothing here goes in turn. The
first kernel notes the last window over each voxel. The second finds, for each voxel alone, what that window's swaps
brought to it, by following them backwards. Windows and swaps are hashed anew where needed, so none is ever stored.

Importing this module needs triton. With TRITON_INTERPRET=1 the same kernels run on CPU tensors, slowly.
"""

import math

import torch
import triton
import triton.language as tl

from medgenesis.transforms.functional.random_bits import Stream

# One warp a program: whether all its voxels are traced is then told by one instruction and no barrier, and the fewer
# voxels wait for their slowest the better. A multiprocessor holds 32 such programs at once, which hides the latency.
_LANES = 32
_WARPS = 1

_SIDE, _START, _PERMUTATION = (
    tl.constexpr(int(stream) * 0x9E3779B9 % 2**32)
    for stream in (Stream.WINDOW_SIDE, Stream.WINDOW_START, Stream.WINDOW_PERMUTATION)
)
# Shapes are plain run-time numbers: one compilation serves all of them, so what compiles for one works for all.
_NUMBERS = ("x", "y", "z", "max_x", "max_y", "max_z", "rank")


@triton.jit
def _mix(word):
    """`random_bits._mix`; products wrap, which must be said for Triton's debug mode not to stop there."""
    word = word ^ (word >> 16)
    word = tl.core.mul(word, 0x7FEB352D, sanitize_overflow=False)
    word = word ^ (word >> 15)
    word = tl.core.mul(word, 0x846CA68B, sanitize_overflow=False)
    return word ^ (word >> 16)


@triton.jit
def _counter(window, per_window, number):
    """window * per_window + number, in 32-bit words that wrap."""
    first = tl.core.mul(window.to(tl.uint32), per_window.to(tl.uint32), sanitize_overflow=False)
    return tl.core.add(first, number.to(tl.uint32), sanitize_overflow=False)


@triton.jit
def _uniform_below(counter, seed, STREAM: tl.constexpr, bound):
    """`uniform_below(random_bits(counter, seed, stream), bound)` for uint32 counters and seeds, as int32."""
    key = _mix(tl.core.add(seed, STREAM, sanitize_overflow=False))
    word = tl.core.add(_mix(counter ^ key), _mix(key ^ 0xFFFFFFFF), sanitize_overflow=False)
    return tl.umulhi(_mix(word), bound.to(tl.uint32)).to(tl.int32)


@triton.jit
def _extent(window, axis, rank, seed, cube_side, max_side):
    """Where windows start on an axis, and their sides."""
    counter = _counter(window, rank, axis)
    side = 1 + _uniform_below(counter, seed, _SIDE, max_side)
    return _uniform_below(counter, seed, _START, cube_side - side + 1), side


@triton.jit
def _place(window, rank, seed, x, y, z, max_x, max_y, max_z):
    """Starts and sides of windows. The axis that a 2D image lacks has number -1: of 1 voxel, whatever is hashed."""
    start_x, side_x = _extent(window, rank - 3, rank, seed, x, max_x)
    start_y, side_y = _extent(window, rank - 2, rank, seed, y, max_y)
    start_z, side_z = _extent(window, rank - 1, rank, seed, z, max_z)
    return start_x, start_y, start_z, side_x, side_y, side_z


@triton.jit(do_not_specialize=("seeds", "windows", *_NUMBERS))
def _claim(seeds, owners, windows, x, y, z, max_x, max_y, max_z, rank, LANES: tl.constexpr):
    """owners[cube, voxel] = 1 + the last window over this voxel; a program takes LANES windows of one cube."""
    blocks = tl.cdiv(windows, LANES)
    cube = tl.program_id(0) // blocks
    window = tl.program_id(0) % blocks * LANES + tl.arange(0, LANES)
    seed = tl.load(seeds + cube).to(tl.uint32)
    start_x, start_y, start_z, side_x, side_y, side_z = _place(window, rank, seed, x, y, z, max_x, max_y, max_z)
    first = owners + cube.to(tl.int64) * (x * y * z) + ((start_x * y + start_y) * z + start_z)
    for dx in range(max_x):
        for dy in range(max_y):
            row = (window < windows) & (dx < side_x) & (dy < side_y)
            for dz in range(max_z):
                tl.atomic_max(first + ((dx * y + dy) * z + dz), window + 1, mask=row & (dz < side_z), sem="relaxed")


@triton.jit(do_not_specialize=("seeds", *_NUMBERS))
def _trace(seeds, owners, sources, x, y, z, max_x, max_y, max_z, rank, LANES: tl.constexpr):
    """sources[cube, voxel] = the voxel it is read from; a program takes LANES voxels of one cube."""
    blocks = tl.cdiv(x * y * z, LANES)
    cube = tl.program_id(0) // blocks
    voxel = tl.program_id(0) % blocks * LANES + tl.arange(0, LANES)
    in_cube = voxel < x * y * z
    here = cube.to(tl.int64) * (x * y * z) + voxel
    owner = tl.load(owners + here, mask=in_cube, other=0)
    owned = owner > 0
    window = tl.maximum(owner, 1) - 1
    seed = tl.load(seeds + cube).to(tl.uint32)
    start_x, start_y, start_z, side_x, side_y, side_z = _place(window, rank, seed, x, y, z, max_x, max_y, max_z)

    # Step k of the shuffle moved position j's item to position k and put item k at position j, j = the draw. Undo the
    # steps from the last one: a voxel stays at the step that put its item where it is. Step 0 puts item 0 at 0, so
    # one that gets there is done too. A voxel outside all windows counts as a window of its own.
    position = ((voxel // (y * z) - start_x) * side_y + (voxel // z % y - start_y)) * side_z + (voxel % z - start_z)
    position = tl.where(owned, position, 0)
    item = tl.where(owned, side_x * side_y * side_z, 1) - 1
    volume = max_x * max_y * max_z
    left = tl.max(item, 0)
    while left > 0:
        drawn = _uniform_below(_counter(window, volume, item), seed, _PERMUTATION, item + 1)
        found = drawn == position
        position = tl.where(position == item, drawn, position)
        item = tl.where(found, item, item - 1)
        left = tl.max(tl.where(found, 0, item), 0)

    source_x = start_x + item // (side_y * side_z)
    source_y = start_y + item // side_z % side_y
    source_z = start_z + item % side_z
    source = tl.where(owned, (source_x * y + source_y) * z + source_z, voxel)
    tl.store(sources + here, source.to(tl.int64), mask=in_cube)


def shuffle_sources(
    seeds: torch.Tensor, shape: tuple[int, ...], windows: int, max_sides: tuple[int, ...]
) -> torch.Tensor:
    """For each voxel the voxel it is read from, after all windows of each cube were written in turn.

    Args:
        seeds: (B,) int64, one a cube, on the device to work on.
        shape: the cubes' 2 or 3 spatial sides, voxels; less than 2^31 voxels in all.
        windows: how many in a cube.
        max_sides: a window's side is uniform on 1..max_sides, its place uniform where it fits.

    Returns:
        (B, V) int64, flat indices (C order), on the seeds' device.

    Notes:
        Besides the result it needs an int32 for each voxel. Tracing a voxel takes a hash for each voxel of its window
        at worst, so the time grows with the windows' volume: it suits windows that are small parts of the cube.
    """
    rank, voxels = len(shape), math.prod(shape)
    flat = (1,) * (3 - rank)
    numbers = (*flat, *shape, *flat, *max_sides, rank)
    seeds = seeds.contiguous()
    owners = torch.zeros(len(seeds), voxels, dtype=torch.int32, device=seeds.device)
    sources = torch.empty(len(seeds), voxels, dtype=torch.int64, device=seeds.device)
    with torch.cuda.device_of(seeds):  # Triton launches on the current device, which need not be the tensors'
        by_window, by_voxel = (len(seeds) * triton.cdiv(count, _LANES) for count in (windows, voxels))
        _claim[(by_window,)](seeds, owners, windows, *numbers, LANES=_LANES, num_warps=_WARPS)
        _trace[(by_voxel,)](seeds, owners, sources, *numbers, LANES=_LANES, num_warps=_WARPS)
    return sources
