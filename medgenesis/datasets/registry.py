"""The published data sets that `medgenesis datalist --dataset` reads, by name."""

from medgenesis.datasets import chestxray14, luna16
from medgenesis.datasets.published import PublishedDataset

DATASETS: dict[str, PublishedDataset] = {module.DATASET.name: module.DATASET for module in (chestxray14, luna16)}


def get_dataset(name: str) -> PublishedDataset:
    """The data set of that name.

    Raises:
        ValueError: there is none.
    """
    if name not in DATASETS:
        raise ValueError(
            f"dataset: must be one of {', '.join(sorted(DATASETS))}; found {name!r}. Use --images for others."
        )
    return DATASETS[name]
