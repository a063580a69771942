"""Montgomery: 138 chest X-rays, normal or with signs of tuberculosis."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from medgenesis.datasets.published import PublishedDataset
from medgenesis.datasets.study_split import SPLITS
from medgenesis.datasets.tuberculosis_cxr import readings_datalist

_TABLES = ("montgomery_metadata.csv",)


def montgomery_datalist(
    root: str | Path,
    *,
    split: str = "patient",
    splits: Sequence[float] = SPLITS,
    seed: int = 0,
    name: str = "montgomery",
) -> dict[str, Any]:
    """A datalist by `readings_datalist`: normal 0, abnormal 1."""
    return readings_datalist(root, _TABLES, "MontgomerySet/CXR_png", name, split=split, splits=splits, seed=seed)


DATASET = PublishedDataset(
    name="montgomery",
    title="Montgomery: 138 chest X-rays, normal or tuberculosis",
    holds="montgomery_metadata.csv and MontgomerySet/CXR_png",
    source="https://data.lhncbc.nlm.nih.gov (U.S. National Library of Medicine; see its terms)",
    datalist=montgomery_datalist,
)
