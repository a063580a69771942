"""The label map of each scan, by their names."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import PurePosixPath

from medgenesis.data.patients import patient_of
from medgenesis.data.scan import Scan
from medgenesis.errors import DatalistError

_ADDED = re.compile(
    r"[-_.](?:seg|dseg|mask|masks|label|labels|gt|segmentation|manual|roi|label-[A-Za-z0-9]+(?:_[a-z]+)?)$",
    re.IGNORECASE,
)


_CALLED = re.compile(r"gt|(?:seg|segmentation|mask|label)s?(?:[-_. ].*|\d+)?", re.IGNORECASE)  # segmentation-0
_FOLDER = re.compile(r"segmentations|masks|labels(?:t[rs])?", re.IGNORECASE)


def is_named_as_label(name: str) -> bool:
    """Whether a path ends as those of label maps do (`_seg`, `_mask`, `_gt`), or its file or folder is called so:
    `segmentation`, `segmentation-0`, `segmentations/aorta`."""
    *folders, file = name.split("/")
    return ends_as_label(name) or bool(_CALLED.fullmatch(file)) or any(map(_FOLDER.fullmatch, folders))


def ends_as_label(name: str) -> bool:
    """Whether a name ends as label maps do: `_seg`, `_mask`, `_gt`."""
    return bool(_ADDED.search(name))


def pair_labels(scans: Sequence[Scan], labels: Sequence[Scan], images_dir, labels_dir) -> dict[Scan, str | list[str]]:
    """Paths of the label maps of those scans that have one: a list where `CASE_0000`, `CASE_0001` … are its layers.

    Both have the same path below their folders, suffix and channel (`_0000`) taken off, or the label map's name has
    `_seg`, `_mask`, `_gt` or the like besides; where that finds nothing, the same file name in whatever folder.

    Args:
        scans: of the images.
        labels: of the label maps.
        images_dir: folder of the images, for messages.
        labels_dir: folder of the label maps, likewise.

    Raises:
        DatalistError: a label map without image, or several for one; no label map at all, or the images themselves.
    """
    pairs: dict[Scan, str | list[str]] = {}
    images = {file.resolve() for scan in scans for file in scan.files}
    unused = {label for label in labels if images.isdisjoint(file.resolve() for file in label.files)}
    if labels and not unused:
        raise DatalistError(
            f"{labels_dir}: label maps must be other files than the images; found the images alone. Put the label maps "
            "into a folder of their own, or choose the images by --only."
        )
    for key in (_whole, _bare, _file_name):
        by_key: dict[str, list[Scan]] = defaultdict(list)
        for label in sorted(unused):
            by_key[key(label)].append(label)
        rest: dict[str, list[Scan]] = defaultdict(list)
        for scan in scans:
            if scan not in pairs:
                rest[key(scan)].append(scan)
        for name, candidates in by_key.items():
            for scan, label in _matches(rest.get(name, []), candidates, labels_dir):
                if _plausible(scan, label):
                    pairs[scan] = label.image
                    unused.discard(label)
    if unused:
        listed = ", ".join(sorted(label.name for label in unused)[:3])
        raise DatalistError(
            f"{images_dir}: must hold image(s) of the same names; found none for {len(unused)} label map(s), the first "
            f"{listed}. Add them, or move what has no partner elsewhere."
        )
    if not pairs:
        listed = ", ".join(scan.name for scan in scans[:3])
        raise DatalistError(
            f"{labels_dir}: must hold label map(s) of the same names; found none for {len(scans)} image(s), the first "
            f"{listed}. Add them, or leave out --labels."
        )
    return pairs


def _matches(scans: list[Scan], labels: list[Scan], labels_dir) -> list[tuple[Scan, Scan]]:
    if not scans:
        return []
    if len(labels) == 1 and (len(scans) == 1 or all(scan.case == scans[0].case for scan in scans) and scans[0].case):
        return [(scan, labels[0]) for scan in scans]  # several: channels that stay apart
    matched = []
    for scan in scans:
        fitting = [label for label in labels if label.suffix == scan.suffix]
        if len(fitting) != 1 or [other.suffix for other in scans].count(scan.suffix) != 1:
            raise DatalistError(
                f"{labels_dir}: must hold one label map for each image; found {len(labels)} for {len(scans)} image(s) "
                f"called {scan.name}, as {labels[0].files[0].name}. Give each its own name, or choose by --only."
            )
        matched.append((scan, fitting[0]))
    return matched


def _whole(scan: Scan) -> str:
    return unicodedata.normalize("NFC", scan.case or scan.name)  # macOS writes an accent as a letter of its own


def _bare(scan: Scan) -> str:
    return _ADDED.sub("", _whole(scan))


def _file_name(scan: Scan) -> str:
    return PurePosixPath(_bare(scan)).name


def _plausible(scan: Scan, label: Scan) -> bool:
    """Whether they may belong together: not `a/ct` and `b/ct`."""
    one, other = _bare(scan), _bare(label)
    return one == other or "/" not in one or "/" not in other or patient_of(one) == patient_of(other)
