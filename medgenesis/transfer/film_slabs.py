"""Films as slabs, held in memory under their file names: what Eve is asked about."""

from collections.abc import Callable, Collection, Sequence

from torch import Tensor

from medgenesis.errors import VolumeError
from medgenesis.transforms import RandSlab


def film_slabs(
    records: Sequence[dict],
    preprocessing: Callable[[dict], dict],
    slices: int = 3,
    *,
    count: int | None = None,
    first: Collection[str] = (),
) -> dict[str, Tensor]:
    """Read films, each as a slab of equal slices.

    Args:
        records: with `image`, as from `load_datalist`.
        preprocessing: from a record to a film (1, H, W) in [0, 1], not resized where places on it are to be found.
        slices: k.
        count: so many films; None: all.
        first: files to be taken before others, those with landmarks, say.

    Returns:
        `image` of the record -> slab (k, H, W).

    Raises:
        VolumeError: a file that cannot be read or used, or a volume.
    """
    ordered = sorted(records, key=lambda record: str(record["image"]) not in first)  # stable
    cut, films = RandSlab(slices), {}
    for record in ordered[:count]:
        film = preprocessing(dict(record))["image"]
        if film.ndim != 3:
            raise VolumeError(f"{record['image']}: must be a film, (1, H, W); found shape {tuple(film.shape)}.")
        films[str(record["image"])] = cut(film).as_subclass(Tensor)
    return films
