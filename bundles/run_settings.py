"""What made a run of a bundle, to be compared when it is continued; and where its weights go."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medgenesis.bundles.plain_config import WORDS, plain_config
from medgenesis.bundles.reading import being_read
from medgenesis.bundles.unused import SET_BY_COMMAND, TRACKING, unused_ids
from medgenesis.storage.fingerprints import file_fingerprint

if TYPE_CHECKING:
    from monai.bundle import ConfigParser

# what changes no result, or is compared in another way: lists by their content, rates by the trainer
_FREE = {
    *TRACKING,
    *("_meta_", "imports", "bundle_root", "dataset_dir", "output_dir", "models", "weights", "settings", "stages"),
    *("device", "num_workers", "cache", "cache_dir", "cache_num", "on_error", "save_every", "patience", "backend"),
    *("corrupt_on_device", "checks", SET_BY_COMMAND),
    *(
        "pretrain_epochs",
        "finetune_epochs",
        "classify_epochs",
        "autoencoder_epochs",
        "steps",
        "learning_rate",
        "previous",
    ),
    *("probe", "probe_datalist", "probe_label_merge", "initialize", "run", "finalize", "datalist", "patterns"),
    *("records", "timeout_minutes", "reading_hours"),
}
_FREE_WITHIN = {
    *("handlers", "data", "cache", "cache_dir", "num_workers", "max_epochs", "steps", "lr", "made_with", "deferred"),
}
# as the parser writes them, and what runs of before say, which are continued
_RATE = ("@optimizer::lr", "@learning_rate")  # of groups: it may change
_STEPS = (  # one a batch, where no gradients are added up
    "medgenesis.engines.steps_an_epoch(len(@train::dataloader), @accumulation_steps)",
    "len(@train::dataloader)",
)


def made_with() -> dict[str, Any]:
    """The settings of the config being read, as plain data: the `made_with` of a `PretextTrainer`.

    Every setting that the config uses, nested ones too, with the numbers of settings.yaml in their place; but for what
    may change when a run is continued: epochs, workers, cache, device, how often it is saved, patience, folders, the
    learning rate. A file is told by its content. Of the list only its name is kept, to be said.
    """
    reading = being_read()
    if reading is None:
        return {}
    config, parser = reading.parser.get(), reading.parser
    unused = set(unused_ids(reading, chosen_alone=False))  # as runs of before, which are continued
    shared = parser.get_parsed_content("settings") if "settings" in config else {}
    single = "accumulation_steps" in config and parser.get_parsed_content("accumulation_steps") == 1
    options = {"told": partial(_told, renamed=[_RATE, _STEPS] if single else [_RATE]), "without": _FREE_WITHIN}
    kept = {id: plain_config(_value(parser, id), shared, **options) for id in config if id not in _FREE | unused}
    named = next((id for id in ("datalist", "patterns") if id in config), None)
    if named is not None:
        kept["datalist"] = Path(str(parser.get_parsed_content(named))).name
    return kept


def models_folder(bundle_root: str | Path, output_dir: str | Path, default: str | Path) -> str:
    """Where a run writes the weights that other tasks take.

    Args:
        bundle_root: the bundle.
        output_dir: of the run.
        default: the folder that a run of this task has if none is given.

    Returns:
        `models` of the bundle for the run in its default folder; else `output_dir`, so that a trial in a folder of its
        own leaves the bundle's models alone.
    """
    own = Path(output_dir).absolute() == Path(default).absolute()
    return str(Path(bundle_root) / "models") if own else str(output_dir)


def _value(parser: "ConfigParser", id: str) -> Any:
    """What a setting says; of an expression that gives a number, a word or a list of them, that."""
    value = parser.get()[id]
    if not isinstance(value, str) or not value.startswith(("$", "@")):
        return value
    found = parser.get_parsed_content(id)
    parts = found if isinstance(found, (list, tuple)) else [found]
    return found if all(isinstance(part, WORDS) for part in parts) or isinstance(found, Mapping) else value


def _told(value: Any, renamed: Sequence[tuple[str, str]]) -> Any:
    """A file by its content; expressions in the words of before."""
    if not isinstance(value, str):
        return value
    if _is_file(value):
        return f"file {file_fingerprint(value)[:8]}"
    for now, before in renamed:
        value = value.replace(now, before)
    return value


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name
        return False
