"""Elastic deformation in the plane, compiled; see `functional.elastic` for what it does.

Voxels are counted in 32-bit words: numba reads an array by an unsigned number without asking whether it is negative,
and a step back is one of 2^32 - 1.
"""

import numpy as np

from medgenesis.transforms.functional.backends.numba.hashing import fraction, hash_keys, hash_word, word
from medgenesis.transforms.functional.backends.numba.jit import kernel, part
from medgenesis.transforms.functional.random_bits import Stream

_ELASTIC = int(Stream.ELASTIC)


@kernel
def fill_elastic_noise(noise, seed):
    """Fill a flat float32 array with one cube's uniform numbers in [-1, 1), both fields one after the other."""
    keys = hash_keys(seed, _ELASTIC)
    for i in range(noise.size):
        noise[i] = fraction(hash_word(word(i), keys)) * np.float32(2) - np.float32(1)


@part
def _neighbours(place, side):
    """The voxel nearest to a place on an axis, the step to the second nearest, and that one's weight, 0 .. 1/2.

    The axis goes on beyond its ends as in a mirror; half a voxel beyond the last centre still shows the last voxel.
    """
    real = type(place)
    half, zero = real(0.5), real(0)
    last = side - half - half
    place += half
    place -= (side + side) * np.floor(place * (half / side))
    place = side - abs(place - side) - half
    place = place if place > zero else zero  # also what is not a number
    place = place if place < last else last
    nearest = np.int32(place + half)
    beyond = place - real(nearest)
    step = word(1) if beyond > zero else word(0xFFFFFFFF) if beyond < zero else word(0)
    return word(nearest), step, abs(beyond)


@part
def _look_up_plane(field, x, sides, columns, depths, nearest, steps, weights):
    """For each voxel of plane x: the flat voxel nearest to its place, and step and weight along both axes."""
    real = field.dtype.type
    along_x, along_y = field[0, x], field[1, x]
    stride_x, stride_y = word(columns.size), word(columns.size // sides[1])
    for j in range(columns.size):  # a loop without reads from the cube: it is vectorised
        near_x, step_x, weights[0, j] = _neighbours(real(x) + along_x[j], real(sides[0]))
        near_y, step_y, weights[1, j] = _neighbours(columns[j] + along_y[j], real(sides[1]))
        nearest[j] = word(word(near_x * stride_x) + word(near_y * stride_y)) + depths[j]
        steps[0, j], steps[1, j] = step_x * stride_x, step_y * stride_y


@part
def _read_plane(voxels, warped, nearest, steps, weights):
    """Interpolate one plane (J,) of one channel (V,).

    Weights of at most 1/2 keep the result between the values read, however they are rounded.
    """
    for j in range(warped.size):
        near, step_y, weight_y = nearest[j], steps[1, j], weights[1, j]
        far = word(near + steps[0, j])
        on_near, on_far = voxels[near], voxels[far]
        on_near += weight_y * (voxels[word(near + step_y)] - on_near)
        on_far += weight_y * (voxels[word(far + step_y)] - on_far)
        warped[j] = on_near + weights[0, j] * (on_far - on_near)


@kernel
def warp_in_plane(cube, warped, field, side_y):
    """Read a cube at displaced places, all channels alike.

    Args:
        cube: (C, X, Y * Z), contiguous.
        warped: (C, X, Y * Z), written to.
        field: (2, X, Y * Z), displacement along x and y in voxels, of the cube's type.
        side_y: Y.
    """
    channels, side_x, plane = cube.shape
    columns = (np.arange(plane) // (plane // side_y)).astype(field.dtype)
    depths = (np.arange(plane) % (plane // side_y)).astype(np.uint32)
    nearest, steps = np.empty(plane, np.uint32), np.empty((2, plane), np.uint32)
    weights = np.empty((2, plane), field.dtype)
    voxels = cube.reshape(channels, -1)
    for x in range(side_x):
        _look_up_plane(field, x, (side_x, side_y), columns, depths, nearest, steps, weights)
        for channel in range(channels):
            _read_plane(voxels[channel], warped[channel, x], nearest, steps, weights)
