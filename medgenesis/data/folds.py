"""Folds by patient: each patient is held out once."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from medgenesis.data.splits import UNLABELED, in_drawn_order
from medgenesis.errors import DatalistError

logger = logging.getLogger(__name__)


def patient_of(record: Mapping[str, Any]) -> str:
    """Whose a record is; one without `patient` counts as a patient of its own."""
    return str(record.get("patient", record["image"]))


def patient_folds(records: Sequence[Mapping[str, Any]], count: int, seed: int = 0) -> list[int]:
    """The fold of each record; all records of a patient are in one.

    Patients, in an order that the seed decides and that stays when others come or go, are dealt out to the folds in
    turn; of each class in turn where all records have a `class`.

    Args:
        records: as from `load_datalist`; one without `patient` counts as a patient of its own.
        count: of folds.
        seed: of the order.

    Raises:
        DatalistError: fewer than 2 folds, or fewer patients than folds.
    """
    owners = [patient_of(record) for record in records]
    if not 2 <= count <= len(set(owners)):
        raise DatalistError(
            f"folds: must be from 2 to the number of patients with labels; found {count} folds and {len(set(owners))} "
            "patients. Give another number."
        )
    by_class = all("class" in record for record in records)  # that of a patient's first record
    strata = {
        owner: record.get("class") if by_class else None
        for owner, record in zip(owners[::-1], records[::-1], strict=True)
    }
    order = sorted(in_drawn_order(owners, seed), key=lambda owner: str(strata[owner]))
    fold_of = {owner: place % count for place, owner in enumerate(order)}
    return [fold_of[owner] for owner in owners]


def in_fold(datalist: Mapping[str, Any], count: int, fold: int, seed: int = 0) -> dict[str, Any]:
    """A list whose validation section is one fold of its training and validation patients; test stays as it is.

    Args:
        datalist: as `make_datalist` gives it.
        count: of folds.
        fold: the one held out, from 0.
        seed: of the folds.

    Raises:
        DatalistError: as `patient_folds`; or no such fold.
    """
    if not 0 <= fold < count:
        raise DatalistError(f"fold: must be from 0 to {count - 1}; found {fold}. Folds are counted from 0.")
    records = [*datalist.get("training", ()), *datalist.get("validation", ())]
    folds = patient_folds(records, count, seed)
    held_out = [record for record, own in zip(records, folds, strict=True) if own == fold]
    training = [record for record, own in zip(records, folds, strict=True) if own != fold]
    made = {**datalist, "training": training, "validation": held_out}
    if UNLABELED in datalist:
        owners = {record.get("patient") for record in held_out} - {None}
        made[UNLABELED] = [record for record in datalist[UNLABELED] if record.get("patient") not in owners]
        left_out = len(datalist[UNLABELED]) - len(made[UNLABELED])
        if left_out:
            logger.warning("%d unlabeled scans are left out: their patients are held out in this fold", left_out)
    logger.info("fold %d of %d: %d records to learn from, %d held out", fold, count, len(training), len(held_out))
    return made
