"""Several datalists joined to one: weights of the data sets, one numbering of classes, label maps of one meaning."""

import itertools
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medgenesis.data.datalists import read_datalist, with_channels
from medgenesis.data.label_names import label_names
from medgenesis.data.labels import parse_label_merge
from medgenesis.data.splits import ALL_SECTIONS, SECTIONS, check_disjoint
from medgenesis.data.unseen import key_kinds
from medgenesis.errors import DatalistError

logger = logging.getLogger(__name__)


def join_datalists(
    weighted: Sequence[tuple[str | Path, float]], name: str = "joined", without_labels: bool = False
) -> dict[str, Any]:
    """One list of several, from which the data sets are drawn in proportion to their weights, whatever their sizes.

    A record's weight becomes, within its section, the list's weight times the record's share of its list, scaled so
    that the mean weight is 1. Of the headers, what all lists agree on is kept. Where lists number their classes
    otherwise, `class` is renumbered by the names (`class_names`): those of the first list, then the new ones of the
    next.

    Args:
        weighted: path and weight (above 0) of each list.
        name: of the new list.
        without_labels: leave out `label`, `labels` and `label_merge`, as pre-training needs none.

    Raises:
        DatalistError: a weight that is not above 0; classes or findings that no names make the same; label maps of
            lists whose `labels` or `label_merge` differ; a patient in two sections of the result, `P01` taken for `p1`.
    """
    weights = [weight for _, weight in weighted]
    if not weights or not all(math.isfinite(weight) and weight > 0 for weight in weights):
        raise DatalistError(f"weights: each list to join needs one above 0; found {weights}. Give one number a list.")
    lists = {str(path): with_channels(read_datalist(path)) for path, _ in weighted}
    if without_labels:
        logger.info("label maps are left out, with `labels` and `label_merge`")
        lists = {path: _without_labels(one) for path, one in lists.items()}
    lists, classes = _one_numbering(lists)
    every = [lists[str(path)] for path, _ in weighted]  # one may be given twice
    header = {key: value for key, value in every[0].items() if key not in ALL_SECTIONS}
    agreed = {key: value for key, value in header.items() if all(other.get(key) == value for other in every)}
    joined: dict[str, Any] = {**agreed, **classes, **_label_header(lists), "name": name}
    kinds = sorted(set().union(*(key_kinds(one) for one in every)))
    if len(kinds) > 1:
        joined["patient_keys"] = kinds
        logger.warning(
            "the lists name patients in different ways (%s): one who is in two of them is not noticed", ", ".join(kinds)
        )
    for section in ALL_SECTIONS:
        parts = [(one.get(section, []), weight) for one, weight in zip(every, weights, strict=True)]
        if section in SECTIONS or any(records for records, _ in parts):
            joined[section] = _mixed(parts)
    check_disjoint(joined, by_likeness=True)
    return joined


def _without_labels(datalist: dict) -> dict:
    kept = {key: value for key, value in datalist.items() if key not in ("labels", "label_merge")}
    for section in filter(kept.__contains__, ALL_SECTIONS):
        kept[section] = [{key: value for key, value in one.items() if key != "label"} for one in kept[section]]
    return kept


def _one_numbering(lists: Mapping[str, dict]) -> tuple[dict[str, dict], dict[str, Any]]:
    """The lists with one number for each name of a class, and the names for the header."""
    said = {path: one.get("class_names") for path, one in lists.items() if _have(one, "class", "classes")}
    names = list(said.values())
    if all(one == names[0] for one in names):
        return dict(lists), {"class_names": names[0]} if names and names[0] else {}
    if any(_have(one, "classes") for one in lists.values()) or not all(map(_are_names, names)):
        raise DatalistError(
            f"class_names: lists with `class` or `classes` must have the same ones to be joined; found {_shown(said)}. "
            "Add the names to the headers (lists with `class` are then renumbered by them), or give the same classes "
            "by --classes."
        )
    spelt: dict[str, str] = {}
    for own in itertools.chain.from_iterable(names):
        spelt.setdefault(own.casefold(), own)  # the first spelling
    number, every = {own: place for place, own in enumerate(spelt)}, [*spelt.values()]
    logger.warning("classes are renumbered by their names: %s", ", ".join(f"{i} {own}" for i, own in enumerate(every)))
    renumbered = {
        path: _renumbered(path, one, [number[own.casefold()] for own in said[path]]) if path in said else one
        for path, one in lists.items()
    }
    return renumbered, {"class_names": every}


def _renumbered(path: str, datalist: dict, numbers: list[int]) -> dict:
    def with_class(record: dict) -> dict:
        if "class" not in record:
            return record
        if record["class"] not in range(len(numbers)):
            raise DatalistError(
                f"{path}: `class` must be the number of one of {len(numbers)} class_names; found {record['class']!r}. "
                "Correct the record, or the names."
            )
        return {**record, "class": numbers[record["class"]]}

    sections = [section for section in ALL_SECTIONS if section in datalist]
    return {**datalist, **{one: list(map(with_class, datalist[one])) for one in sections}}


def _label_header(lists: Mapping[str, dict]) -> dict[str, Any]:
    """`labels` and `label_merge` of the lists with label maps.

    Raises:
        DatalistError: they differ, so that one number in two maps is not one class.
    """
    labelled = {path: one for path, one in lists.items() if _have(one, "label")}
    header = {}
    for key, read in (("label_merge", _merge), ("labels", _names)):
        said = {path: one.get(key) for path, one in labelled.items()}
        values = list(said.values())
        if any(read(one) != read(values[0]) for one in values):
            raise DatalistError(
                f"{key}: lists with label maps must have the same to be joined; found {_shown(said)}. Make them with "
                "the same --label-merge and --label-names; for pre-training, join them --without-labels."
            )
        header |= {key: values[0]} if values and values[0] else {}
    return header


def _merge(said: Any) -> dict[int, list[int]]:
    return {target: sorted(sources) for target, sources in parse_label_merge(said or {}).items()}


def _names(said: Any) -> dict[int, str]:
    return {value: name for value, name in label_names(said).items() if value}


def _have(datalist: Mapping[str, Any], *keys: str) -> bool:
    records = (record for section in ALL_SECTIONS for record in datalist.get(section, ()))
    return any(key in record for record in records for key in keys)


def _are_names(said: Any) -> bool:
    texts = isinstance(said, list) and all(isinstance(one, str) for one in said)
    return texts and len({one.casefold() for one in said}) == len(said)


def _shown(said: Mapping[str, Any]) -> str:
    return "; ".join(f"{value or 'none'} ({path})" for path, value in said.items())


def _mixed(parts: list[tuple[list[dict], float]]) -> list[dict]:
    parts = [(records, weight) for records, weight in parts if records]
    mean = sum(weight for _, weight in parts) / max(1, sum(len(records) for records, _ in parts))
    mixed = []
    for records, weight in parts:
        total = sum(record.get("weight", 1.0) for record in records)
        mixed += [{**record, "weight": weight * record.get("weight", 1.0) / total / mean} for record in records]
    return mixed
