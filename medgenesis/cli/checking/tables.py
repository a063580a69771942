"""What was found of a list, as tables: for a terminal, for a page, and one row a record for a file."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from medgenesis.cli.checking.found import Found
from medgenesis.data.survey import PERCENTILES
from medgenesis.storage.tables import write_table

_AXES = "xyz"


class Table(NamedTuple):
    caption: str
    headers: Sequence[str]
    rows: list[tuple]


def all_tables(found: Found, named: bool) -> Iterator[Table]:
    """The tables that have a row.

    Args:
        found: what was found.
        named: whether messages name files, as they do in a terminal; else records, by section and number.
    """
    for table in (
        _sections(found),
        Table("Cannot be used", ("record", "why"), [(found.name(i), _said(found, i, one.error, named))
              for i, one in enumerate(found.surveyed) if one.error is not None]),
        _split(found),
        Table("Said while reading", ("record", "warning"), [(found.name(i), _said(found, i, text, named))
              for i, one in enumerate(found.surveyed) for text in one.warnings]),
        _scans(found),
        _kinds(found),
        _labels(found),
        _segments(found, named),
        _classes(found),
    ):  # fmt: skip
        if table.rows:
            yield table


def write_records(found: Found, path: str | Path) -> None:
    """A CSV file with a row a record, which names its file."""
    group = {i: number for number, same in enumerate(found.duplicates(), 1) for i in same}
    rows = []
    for i, (record, one) in enumerate(zip(found.records, found.surveyed, strict=True)):
        row = {"section": found.places[i][0], "number": found.places[i][1], "file": record["image"]}
        row |= {"series": record.get("series", ""), "cube": record.get("cube", "")}
        row |= {"error": one.error or "", "warnings": " | ".join(one.warnings)}
        row |= {"shape": _times(one.shape), "spacing_mm": _times(one.spacing_mm), "axes": one.axes}
        row |= {"channels": one.channels or "", "accepted": one.accepted, "duplicates": group.get(i, "")}
        row |= dict(zip((f"percentile_{p}" for p in PERCENTILES), one.percentiles, strict=False))
        row["labels"] = " ".join(f"{value}:{count}" for value, count in (one.labels or {}).items())
        rows.append(row)
    columns = ("section", "number", "file", "series", "cube", "error", "warnings", "shape", "spacing_mm", "axes")
    columns = (*columns, "channels", *(f"percentile_{p}" for p in PERCENTILES), "labels", "accepted", "duplicates")
    write_table(path, rows, columns, decimals=".4g")


def _sections(found: Found) -> Table:
    rows = []
    for section in found.sections:
        places, patients = found.of(section), found.patients(section)
        usable = [i for i in places if found.surveyed[i].error is None]
        labelled = sum("label" in found.records[i] for i in places)
        rows.append((section, len(places), len(usable), len(patients) or None, labelled))
    return Table("Sections", ("section", "records", "can be used", "patients", "with label map"), rows)


def _split(found: Found) -> Table:
    """One scan or one patient at two places of the list."""
    rows = []
    for same in found.duplicates():
        what = "the same voxels" + (" in two sections: a leak" if found.across(same) else "")
        rows.append((what, ", ".join(map(found.name, same))))
    for first, second, places in found.shared_patients():
        rows.append((f"one patient in {first} and {second}: a leak", ", ".join(map(found.name, places))))
    return Table("Twice in the list", ("what", "records"), rows)


def _scans(found: Found) -> Table:
    """Sizes and intensities of what can be used: the least, the middle and the most."""
    usable = [found.surveyed[i] for i in found.usable()]
    measures: dict[str, list[float]] = {}
    for one in usable:
        for axis, side in zip(_AXES, one.shape, strict=False):
            measures.setdefault(f"voxels along {axis}", []).append(side)
        for axis, mm in zip(_AXES, one.spacing_mm, strict=False):
            measures.setdefault(f"spacing along {axis}, mm", []).append(mm)
        for axis, side, mm in zip(_AXES, one.shape, one.spacing_mm, strict=False):
            measures.setdefault(f"size along {axis}, mm", []).append(side * mm)
        for percentile, value in zip(PERCENTILES, one.percentiles, strict=True):
            measures.setdefault(f"intensity after scaling, percentile {percentile}", []).append(value)
        for end, share in zip(("lower", "upper"), one.clipped, strict=False):
            measures.setdefault(f"voxels at the {end} end of the scale, %", []).append(100 * share)
        if one.accepted is not None:
            measures.setdefault("random cubes accepted, %", []).append(100 * one.accepted)
    order = ("voxels along", "spacing", "size", "intensity", "voxels at", "random")
    names = sorted(measures, key=lambda name: next(i for i, begin in enumerate(order) if name.startswith(begin)))
    rows = [(name, *(_number(f(measures[name])) for f in (min, np.median, max))) for name in names]
    return Table(f"The {len(usable)} scans that can be used", ("", "least", "median", "most"), rows)


def _kinds(found: Found) -> Table:
    usable = [found.surveyed[i] for i in found.usable()]
    axes = Counter(one.axes or "2D image" for one in usable)
    channels = Counter(one.channels for one in usable)
    rows = [("axes of the file", ", ".join(f"{name}: {count}" for name, count in axes.most_common()))]
    rows += [("channels", ", ".join(f"{number}: {count} scans" for number, count in sorted(channels.items())))]
    return Table("Kinds of scans", ("", "scans"), rows if usable else [])


def _labels(found: Found) -> Table:
    """Labels of the usable label maps, as they are stored, and what they become."""
    kept, names, stored_names = found.targets(), found.class_names(), found.class_names(merged=False)
    usable = [(i, found.surveyed[i].labels) for i in found.usable()]
    maps = [(i, labels) for i, labels in usable if labels is not None]
    every = sum(sum(labels.values()) for _, labels in maps)
    stored = sorted({value for _, labels in maps for value in labels} | set(kept or ()))
    rows = []
    for value in stored:
        holding = [(i, labels[value]) for i, labels in maps if value in labels]
        target = found.target(value, kept)
        becomes = "background" if target == 0 else str(target)
        if target == 0 and value != 0:
            becomes = "background: left out by the merge"
        name = names.get(target) if target else stored_names.get(value)
        name = name or ", ".join(found.segment_names(value)) or None
        cases = [sum(found.places[i][0] == section for i, _ in holding) for section in found.sections]
        voxels = sum(count for _, count in holding)
        becomes += "" if holding else ": in no label map"
        rows.append((value, becomes, name, *cases, voxels, f"{100 * voxels / max(every, 1):.3g} %"))
    headers = ("label", "learnt as", "name", *found.sections, "voxels", "share")
    empty = found.without_foreground()
    note = f"; {len(empty)} hold background alone: {', '.join(map(found.name, empty[:12]))}" if empty else ""
    return Table(f"Labels of {len(maps)} label maps: cases that hold them{note}", headers, rows)


def _segments(found: Found, named: bool) -> Table:
    """A label that files with names of segments (3D Slicer) call otherwise."""
    rows = []
    if one := found.disagreement():
        at = {record["label"]: i for i, record in enumerate(found.records) if isinstance(record.get("label"), str)}
        files = [file if named else found.name(at[file]) for file in (one.file, one.other_file)]
        rows.append((f"{one.what}: {one.rule}", f"{one.first} in {files[0]}", f"{one.other} in {files[1]}"))
    return Table("Segments that disagree", ("what", "one", "another"), rows)


def _classes(found: Found) -> Table:
    """Records of each class, or with each finding."""
    names = found.header.get("class_names") or []
    rows = []
    for key in ("class", "classes"):
        having = [(i, record[key]) for i, record in enumerate(found.records) if key in record]
        values = (
            {value for _, value in having}
            if key == "class"
            else set(range(max((len(v) for _, v in having), default=0)))
        )
        for value in sorted(values, key=str):
            places = [i for i, one in having if (one == value if key == "class" else value < len(one) and one[value])]
            counts = [sum(found.places[i][0] == section for i in places) for section in found.sections]
            name = names[value] if isinstance(value, int) and value < len(names) else None
            rows.append((f"{'class' if key == 'class' else 'finding'} {value}", name, *counts))
    return Table("Classes", ("", "name", *found.sections), rows)


def _said(found: Found, i: int, text: str | None, named: bool) -> str:
    """A message, with the record's number in place of its files unless they are to be named."""
    text = text or ""
    if named:
        return text
    record = found.records[i]
    files = [name for key in ("image", "label") for name in np.atleast_1d(record.get(key, [])).tolist()]
    for file in sorted(files, key=len, reverse=True):
        text = re.sub(re.escape(str(file)) + r"(?:/[^:;,]*)?", found.name(i), text)
        text = text.replace(Path(file).name, found.name(i))
    return text.replace(str(record["patient"]), "…") if len(str(record.get("patient", ""))) > 3 else text


def _times(values: Sequence[float]) -> str:
    return "x".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values)


def _number(value: float) -> str:
    return f"{value:.4g}"
