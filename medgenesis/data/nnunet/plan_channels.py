"""The channels of nnU-Net's plans: names, and how the intensities of each are normalised."""

from collections.abc import Mapping
from typing import Any

_CT = "CTNormalization"
_RANGES = {"RescaleTo01Normalization": [0.0, 1.0], "RGBTo01Normalization": [0.0, 1.0]}
SCHEMES = (_CT, "ZScoreNormalization", "NoNormalization", *_RANGES)


def channels_of_plans(
    plans: Mapping[str, Any], found: Mapping[str, Any], dataset: Mapping[str, Any] | None, where: str
) -> list[dict[str, Any]]:
    """Each channel's `name`, `scheme`, `use_mask`, `statistics` and `range` (see `plan_of`).

    Args:
        plans: as `read_plans` gives them.
        found: one configuration of them.
        dataset: content of `dataset.json`, or None.
        where: file and configuration, for messages.

    Raises:
        ValueError: none, another number than in `dataset`, an unknown scheme, or CT without statistics.
    """
    schemes, masked = found.get("normalization_schemes", []), found.get("use_mask_for_norm", [])
    names = [str(index) for index in range(len(schemes))]
    if dataset is not None:
        own = dataset if isinstance(dataset, Mapping) else {}
        said = own.get("channel_names", own.get("modality"))
        if not isinstance(said, Mapping) or len(said) != len(schemes):
            raise ValueError(
                f"{where}: must have the channels of dataset.json, {said}; found {len(schemes)} (normalization_schemes)"
                ". Give the dataset.json of the same data set, or plan it anew."
            )
        names = [str(said.get(str(index), index)) for index in range(len(schemes))]
    measured = plans.get(
        "foreground_intensity_properties_per_channel", plans.get("foreground_intensity_properties_by_modality", {})
    )
    channels = []
    for index, scheme in enumerate(schemes):
        if scheme not in SCHEMES:
            raise ValueError(
                f"{where}: normalization_schemes must be of {', '.join(SCHEMES)}; found {scheme!r}. Name the channel "
                "in dataset.json so that nnU-Net chooses one of them, and plan anew."
            )
        statistics = _statistics(measured.get(str(index), {}), where) if scheme == _CT else None
        channels.append(
            {
                "name": names[index],
                "scheme": scheme,
                "use_mask": bool(masked[index]) if index < len(masked) else False,
                "statistics": statistics,
                "range": _ct_range(statistics) if statistics else _RANGES.get(scheme),
            }
        )
    if not channels:
        raise ValueError(f"{where}: must have channels; found no normalization_schemes. Plan the data set anew.")
    return channels


def _statistics(measured: Mapping[str, Any], where: str) -> dict[str, float]:
    names = ("mean", "std", "percentile_00_5", "percentile_99_5")
    try:
        return {name: float(measured[name]) for name in names}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{where}: {_CT} needs the foreground's {', '.join(names)}; found {', '.join(measured) or 'none'}. Plan "
            "the data set anew."
        ) from error


def _ct_range(statistics: Mapping[str, float]) -> list[float]:
    ends = (statistics["percentile_00_5"], statistics["percentile_99_5"])
    return [(end - statistics["mean"]) / max(statistics["std"], 1e-8) for end in ends]
