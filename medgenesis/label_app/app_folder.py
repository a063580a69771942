"""The folder of a label app: what MONAI Label's server, and the process that trains, start from."""

import json
import logging
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from medgenesis.errors import CheckpointError, OutputError
from medgenesis.label_app.class_order import order_of
from medgenesis.label_app.settings import AppSettings
from medgenesis.storage.atomic import write_text
from medgenesis.storage.run_folder import FolderInUseError, check_writable, held
from medgenesis.weights import settings_of
from medgenesis.weights.named import check_weights

# what MONAI Label looks for in the folder of an app
_MAIN = "from medgenesis.label_app.app import LabelApp  # noqa: F401 - written by `medgenesis label-app`\n"

logger = logging.getLogger(__name__)


@contextmanager
def served_alone(app: str | Path) -> Generator[None, None, None]:
    """Hold the folder of an app within the block: a training of the server reads anew what `prepare` writes.

    Raises:
        OutputError: another process serves it, or the folder cannot be written.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(held(app))
        except FolderInUseError as error:
            raise OutputError(
                f"--app: must be of one server; found {app}, which is served by {error.owner}. Stop it, or give "
                "another --app."
            ) from None
        yield


def prepare(
    app: str | Path,
    bundle: str | Path,
    labels: list[str] | None = None,
    *,
    name: str | None = None,
    weights: str | Path | None = None,
    results: str | Path | None = None,
    model: str | Path | None = None,
    overlays: list[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> AppSettings:
    """Write the folder of an app, or bring it up to date; what was labelled and trained in it stays.

    Args:
        app: the folder.
        bundle: folder of the bundle, which is only read.
        labels: names of the structures; None: those of `model`, else of the bundle's metadata.
        name: of the model; None: the bundle's folder.
        weights: self-supervised weights to begin a training with, the name of some that come with medgenesis, or
            "scratch"; None: models/pretrained.pt of `results`.
        results: folder of what the bundle has trained; None: the bundle.
        model: weights of an earlier fine-tuning, shown until there is a better one; left aside where its labels are
            others.
        overlays: of the bundle.
        settings: of its configs.

    Raises:
        CheckpointError: weights that are not there; the nearest names are given.
        DatalistError: names of labels that cannot be told apart.
        OutputError: the folder cannot be written, or another process serves it.
    """
    app, bundle = Path(app).absolute(), Path(bundle).absolute()
    check_writable(app)
    own = Path(results or bundle) / "models" / "pretrained.pt"
    if weights is None and not own.is_file():
        raise CheckpointError(
            f"--weights: must be a file of self-supervised weights, or scratch; found no file {own}. Pre-train first "
            f"(`medgenesis run {name or bundle.name} pretrain`), name published weights, or begin without: --weights "
            "scratch."
        )
    weights = check_weights("--weights", weights or own)
    trained = labels_of(model) if model is not None else None
    names = list(labels or trained or _labels_of_metadata(bundle))
    if trained is not None and order_of(names, trained) is None:
        logger.warning("%s: segments %s, so that it is left aside", model, ", ".join(trained))
        trained = None
    made = AppSettings(
        name or bundle.name,
        str(bundle),
        names,
        str(weights) if str(weights) == "scratch" else str(Path(weights).absolute()),
        list(overlays or ()),
        dict(settings or {}),
        str(Path(model).absolute()) if trained else None,
    )
    with served_alone(app):
        made.write(app)
    write_text(app / "main.py", _MAIN)
    return made


def labels_of(weights: str | Path) -> list[str] | None:
    """Names of what fine-tuned weights segment, background left out; None where the file does not say."""
    return in_order(settings_of(weights).get("label_names") or {}) or None


def in_order(named: Mapping[Any, Any]) -> list[str]:
    """Names of the structures by their value, background left out."""
    return [str(name) for value, name in sorted((int(value), name) for value, name in named.items()) if value]


def _labels_of_metadata(bundle: Path) -> list[str]:
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return in_order(metadata["network_data_format"]["outputs"]["pred"]["channel_def"])
