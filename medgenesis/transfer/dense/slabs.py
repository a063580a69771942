"""X-rays as slabs, held in memory under their file names: what DenseEmbedder is asked about."""

from collections.abc import Callable, Collection, Sequence

from torch import Tensor

from medgenesis.errors import VolumeError
from medgenesis.transforms import RandSlab


def load_xray_slabs(
    records: Sequence[dict],
    preprocessing: Callable[[dict], dict],
    slices: int = 3,
    *,
    count: int | None = None,
    first: Collection[str] = (),
) -> dict[str, Tensor]:
    """Read X-rays, each as a slab of equal slices.

    Args:
        records: with `image`, as from `load_datalist`.
        preprocessing: from a record to an X-ray (1, H, W) in [0, 1], not resized where places on it are to be found.
        slices: k.
        count: so many X-rays; None: all.
        first: files to be taken before others, those with landmarks, for example.

    Returns:
        `image` of the record -> slab (k, H, W).

    Raises:
        VolumeError: a file that cannot be read or used, or a volume.
    """
    ordered = sorted(records, key=lambda record: str(record["image"]) not in first)  # stable
    crop, xrays = RandSlab(slices), {}
    for record in ordered[:count]:
        xray = preprocessing(dict(record))["image"]
        if xray.ndim != 3:
            raise VolumeError(
                f"{record['image']}: must be an X-ray, (1, H, W); found shape {tuple(xray.shape)}. Leave it out."
            )
        xrays[str(record["image"])] = crop(xray).as_subclass(Tensor)
    return xrays
