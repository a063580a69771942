"""The data set of inference: prepared volumes one after the other, checked as they are read, none kept."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from monai.data import Dataset
from torch.utils.data import IterableDataset, get_worker_info

from medgenesis.data.pipeline import find_domain_error
from medgenesis.errors import VolumeError
from medgenesis.progress import track

logger = logging.getLogger(__name__)


class StreamedDataset(IterableDataset):
    """The volumes of a list in their order, each read and checked when it is asked for: bounded memory, one pass.

    Args:
        data: records with file names, as from `load_datalist`; kept as `data`.
        transform: preparation of a volume, as from `medgenesis.data.preprocessing`.
        on_error: "stop" at the first volume that cannot be used (those before it have been worked on by then), or
            "skip" it with a warning.

    Raises:
        ValueError: another `on_error`.
        VolumeError: (when iterated) a volume that cannot be used, or none that can; no records at all.
        IntensityRangeError: (when iterated) values that do not fit the preset.

    Notes:
        It has no length, as it is not known before how many can be used. The processes of a `DataLoader` share the
        list out among them; batches of one volume then keep its order unless one is skipped.
    """

    def __init__(self, data: Sequence[dict], transform: Callable, on_error: str = "stop") -> None:
        if on_error not in ("stop", "skip"):
            raise ValueError(f'`on_error`: must be "stop" or "skip"; found {on_error!r}. Choose one of them.')
        self.data, self.transform, self.on_error = list(data), transform, on_error

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for _, item in self.placed():
            yield item
            del item  # not kept while the next one is read

    def placed(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The volumes as when iterated, each with its place in `data`."""
        if not self.data:
            raise VolumeError(
                "records: must name volumes; found none: the section of the datalist is empty. Choose another "
                "`section`, or move records there."
            )
        worker = get_worker_info()
        places = range(len(self.data)) if worker is None else range(worker.id, len(self.data), worker.num_workers)
        skipped = []
        for place, item, error in self.read(places if worker else track(places, "volumes")):
            if item is None:
                skipped.append(error)
                continue
            yield place, item
            del item
        if skipped and len(skipped) == len(places):
            raise VolumeError(
                f"records: must name volumes that can be used; found none of {len(places)}. "
                f"The first error: {skipped[0]}"
            )
        if skipped:
            logger.info("%d of %d volumes were used, %d skipped", len(places) - len(skipped), len(places), len(skipped))

    def read(self, places: Iterable[int]) -> Iterator[tuple[int, dict[str, Any] | None, str]]:
        """Place and prepared volume of some records, one after the other; None, and why, for one that is skipped.

        Args:
            places: of the records in `data`.

        Raises:
            VolumeError, IntensityRangeError: as when iterated, but where all are skipped.
        """
        volumes, skipped = Dataset(self.data, self.transform), 0
        for i in places:
            try:
                item = volumes[i]
            except Exception as error:
                cause = find_domain_error(error)
                if cause is None or self.on_error == "stop":
                    raise (cause or error) from None
                skipped, said = skipped + 1, str(cause)
                logger.warning("skipped %d: %s", skipped, said)
            else:
                yield i, item, ""
                del item
                continue
            yield i, None, said  # here, where no error holds the volume any more
