"""Shenzhen: 662 chest X-rays, normal or with signs of tuberculosis."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import SPLITS
from medgenesis.datasets.tuberculosis_cxr import readings_datalist

_TABLES = ("shenzhen_metadata.csv", "shenzhencxr_metadata.csv")


def shenzhen_datalist(
    root: str | Path,
    *,
    split: str = "patient",
    splits: Sequence[float] = SPLITS,
    seed: int = 0,
    name: str = "shenzhen",
) -> dict[str, Any]:
    """A datalist by `readings_datalist`: normal 0, abnormal 1."""
    return readings_datalist(root, _TABLES, "ChinaSet_AllFiles/CXR_png", name, split=split, splits=splits, seed=seed)


DATASET = PublishedDataset(
    name="shenzhen",
    title="Shenzhen: 662 chest X-rays, normal or tuberculosis",
    holds="shenzhen_metadata.csv or shenzhencxr_metadata.csv and ChinaSet_AllFiles/CXR_png",
    source="https://data.lhncbc.nlm.nih.gov (U.S. National Library of Medicine; see its terms)",
    datalist=shenzhen_datalist,
)
