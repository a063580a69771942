"""The published data sets that `medgenesis datalist --dataset` reads, by name."""

from medgenesis.datasets import (
    bach,
    chestxray14,
    chestxray14_single,
    chexpert,
    cifar10,
    cxr_cohen,
    cxr_hannover,
    cxr_nih,
    cxr_nih_more,
    eyepacs,
    ichallenge_amd,
    ichallenge_pm,
    lidc_nodules,
    luna16,
    montgomery,
    mr_fetal_brain,
    mr_hippocampus,
    mr_mouse_brain,
    mr_us_prostate,
    shenzhen,
    stoic,
)
from medgenesis.datasets.published import PublishedDataset

_MODULES = (
    *(chestxray14, luna16),
    *(bach, chestxray14_single, chexpert, cifar10, eyepacs, ichallenge_amd, ichallenge_pm, montgomery, shenzhen, stoic),
    *(cxr_cohen, cxr_hannover, cxr_nih, cxr_nih_more),
    *(lidc_nodules, mr_fetal_brain, mr_hippocampus, mr_mouse_brain, mr_us_prostate),
)
DATASETS: dict[str, PublishedDataset] = {module.DATASET.name: module.DATASET for module in _MODULES}


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
