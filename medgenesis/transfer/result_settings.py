"""What results of one encoder and data set differ in, in words; and of several settings those that go together."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from medgenesis.errors import first_few

_SHOWN = 12  # settings of a run, in words
_OF_DATA = ("split", "options")
_OF_IMAGES = ("geometry 2D", "geometry 3D", "size", "intensity", "spacing_mm")

Result = Mapping[str, Any]


def settings_said(result: Result, among: Sequence[Result]) -> str:
    """The settings in which results of a question differ; options of the data where those of the same data set do; the
    split and how images are shown only where those of the same encoder and data set do."""
    alike = [one for one in among if _names(one) == _names(result)]
    of_set = [one for one in among if one["dataset"]["dataset"] == result["dataset"]["dataset"]]
    pairs = [
        (_asked(result), [_asked(one) for one in among]),
        (_options(result), [_options(one) for one in of_set]),
        (_seen(result), [_seen(one) for one in alike]),
    ]
    differing = {
        name: value
        for said, others in pairs
        for name, value in said.items()
        if any(o.get(name) != value for o in others)
    }
    if result.get("C") is not None:
        differing["C"] = f"{result['C']:.4g}" + ("" if result.get("converged", True) else ", not converged")
    return first_few([f"{name} {value}" for name, value in differing.items()], _SHOWN)


def of_equal_settings(results: Sequence[Result]) -> list[Result]:
    """Of each question and data set the results of one split and one choice of settings, one an encoder.

    Without `compat` goes first, then a split by patient, then what most encoders were asked, then the order of the
    settings in words: never the order of the files, whose names are fingerprints.
    """
    chosen: list[Result] = []
    for group in _grouped(results, lambda one: (one["question"], one["dataset"]["dataset"])):
        alike = _grouped(group, _key)
        best = min(alike, key=lambda some: (*_preference(some[0]), -len({_names(one) for one in some}), _key(some[0])))
        by_encoder = _grouped(best, _names)
        chosen += [min(some, key=lambda one: _words([_seen(one), one["encoder"]])) for some in by_encoder]
    return chosen


def _asked(result: Result) -> dict[str, Any]:
    return {"compat": result.get("compat"), **result["settings"]}


def _seen(result: Result) -> dict[str, Any]:
    own = {name: result["encoder"].get(name) for name in _OF_IMAGES}
    return {"split": result["dataset"].get("split"), **own}


def _options(result: Result) -> dict[str, Any]:
    return dict(result["dataset"].get("options") or {})


def _names(result: Result) -> tuple[str, str]:
    return result["encoder"]["name"], result["dataset"]["dataset"]


def _preference(result: Result) -> tuple[bool, bool]:
    return bool(result.get("compat")), str(result["dataset"].get("split")).startswith("reference")


def _key(result: Result) -> str:
    """Of data and settings; but for the distance that suits an encoder."""
    return _words([{**_asked(result), "distance": None}, *(result["dataset"].get(name) for name in _OF_DATA)])


def _words(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _grouped(results: Sequence[Result], key: Any) -> list[list[Result]]:
    groups: dict[Any, list[Result]] = {}
    for one in results:
        groups.setdefault(key(one), []).append(one)
    return list(groups.values())
