"""What the result of a fine-tuning follows from, so that a finished one is not repeated, nor an old one believed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medgenesis.storage.fingerprints import file_fingerprint, file_stamps, fingerprint, record_fingerprint


def run_made_with(
    configs: Sequence[str | Path],
    training: list,
    test: list,
    also: Mapping[str, Any],
    init: str,
    overrides: Mapping[str, Any] | None,
    **numbers: int | str | None,
) -> dict[str, Any]:
    """All that a run's result follows from; what may name patients (records, words, paths) as fingerprints."""
    shared = [path for path in (Path(config).with_name("settings.yaml") for config in configs[:1]) if path.is_file()]
    plain = {name: isinstance(value, (int, float, type(None))) for name, value in (overrides or {}).items()}
    return {
        "init": init,
        "size and time of init": [stamp[1:] for stamp in file_stamps(init)],
        "configs (fingerprint)": [file_fingerprint(config) for config in (*configs, *shared)],
        "labelled records (fingerprint)": fingerprint([record_fingerprint(record) for record in training]),
        "test records (fingerprint)": fingerprint([record_fingerprint(record) for record in test]),
        **numbers,
        **{f"{name} (fingerprint)": fingerprint(content) for name, content in also.items()},
        **{name: overrides[name] for name, is_plain in plain.items() if is_plain},
        **{f"{name} (fingerprint)": fingerprint(overrides[name]) for name, is_plain in plain.items() if not is_plain},
    }
