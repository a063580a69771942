"""What the registry knows of a published data set; each module of this package that reads one exports `DATASET`."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PublishedDataset:
    """A data set as its authors publish it: from the folder where it lies to a datalist.

    Args:
        name: in `medgenesis datalist --dataset`.
        title: for people.
        holds: what the folder must hold, in the authors' names.
        source: where it comes from, and its terms.
        datalist: from the folder, and the settings `splits` (shares of the patients, for what the authors leave open)
            and `seed`, to a datalist.
    """

    name: str
    title: str
    holds: str
    source: str
    datalist: Callable[..., dict[str, Any]]

    def __call__(self, root: str | Path, **settings: Any) -> dict[str, Any]:
        """The datalist of the data set that lies in the folder `root`."""
        return self.datalist(root, **settings)
