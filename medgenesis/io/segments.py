"""Names of segments (`.seg.nrrd` of 3D Slicer), as the header gives them."""

import re
from pathlib import Path

from medgenesis.io.text_headers import read_text_header

_FIELD = re.compile(r"Segment(\d+)_(Name|LabelValue|Layer)")
_NO_NAME = re.compile(r"segment[ _-]?\d*", re.IGNORECASE)  # as Slicer calls what nobody has named


def segment_names(path: str | Path) -> dict[int, str]:
    """Label -> name of the segment; nothing of files without such names.

    Layers that all have the label 1, as overlapping segments have, are numbered as `JoinLabelLayersd` does: from 1, or
    from 0 where the first is called background.

    Raises:
        VolumeError: a header that cannot be read.
    """
    path = Path(path)
    if path.suffix.lower() not in (".nrrd", ".nhdr"):
        return {}
    segments: dict[int, dict[str, str]] = {}
    for key, value in read_text_header(path).pairs.items():
        if match := _FIELD.fullmatch(key):
            segments.setdefault(int(match[1]), {})[match[2]] = value.strip()
    found = [_label_layer_name(number, segments[number]) for number in sorted(segments)]
    layers = {layer: name for _, layer, name in found}
    first = 0 if layers.get(0, "").casefold() == "background" else 1
    by_layer = len(layers) > 1 and all(label == 1 for label, _, _ in found)
    names = {layer + first if by_layer else label: name for label, layer, name in found}
    return {label: name for label, name in names.items() if name and not _NO_NAME.fullmatch(name)}


def _label_layer_name(number: int, segment: dict[str, str]) -> tuple[int, int, str]:
    """Files of Slicer before 4.11 have a layer for each segment, and say neither its label nor the layer."""
    label, layer = segment.get("LabelValue", ""), segment.get("Layer", "")
    return (
        int(label) if label.isdecimal() else 1,
        int(layer) if layer.isdecimal() else number,
        segment.get("Name", ""),
    )
