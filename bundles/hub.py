"""Bundles on Hugging Face, by names hf://OWNER/NAME, through MONAI."""

import logging
import re
import tempfile
from pathlib import Path

from medgenesis.errors import MissingPackageError
from medgenesis.storage.atomic import cannot_be_written, make_folder

logger = logging.getLogger(__name__)

_NAME = re.compile(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


def is_hub_name(named: str) -> bool:
    """Whether a bundle is named by its place on Hugging Face."""
    return named.startswith("hf://")


def download(named: str, folder: str | Path) -> Path:
    """Download a bundle from Hugging Face, or the server that the variable HF_ENDPOINT names, to a new folder.

    It is downloaded beside and then renamed: one that breaks off leaves nothing, and the next try begins anew.

    Args:
        named: hf://OWNER/NAME, or hf://OWNER/NAME@REVISION.
        folder: new or empty.

    Raises:
        ValueError: no such name, no answer, a folder that holds something, or no bundle there.
        OutputError: the folder cannot be written.
        MissingPackageError: huggingface_hub is not installed.
    """
    match, target = _NAME.fullmatch(named), Path(folder).absolute()
    if match is None:
        raise ValueError(
            f"bundle: must be hf://OWNER/NAME, or hf://OWNER/NAME@REVISION; found {named!r}. Look it up on the page of "
            "the model."
        )
    if target.exists() and any(target.iterdir()):
        raise ValueError(
            f"{target}: must be new or empty, so that nothing is overwritten; found files in it. Choose another folder."
        )
    make_folder(target.parent)
    with tempfile.TemporaryDirectory(prefix=f".{target.name[:100]}-", dir=target.parent) as beside:
        whole = Path(beside) / target.name  # MONAI's messages name it
        _fetch(named, match[1], match[2], whole)
        if not (whole / "configs" / "metadata.json").is_file():
            found = ", ".join(sorted(path.name for path in whole.iterdir() if not path.name.startswith("."))[:5])
            raise ValueError(
                f"{named}: must be a MONAI bundle; found no configs/metadata.json there, but {found or 'nothing'}; "
                "nothing is kept of it. Look the name up on its page."
            )
        _move(whole, target)
    logger.warning("%s: a bundle is a program; run it only if you trust %s", target, match[1].partition("/")[0])
    return target


def _move(whole: Path, target: Path) -> None:
    try:
        if target.exists():  # and empty: Windows renames to no folder that is there
            target.rmdir()
        whole.rename(target)
    except OSError as error:
        raise cannot_be_written(target, error) from error


def _fetch(named: str, repo: str, revision: str | None, target: Path) -> None:
    from monai.bundle import download as monai_download

    try:
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled
    except ImportError as error:
        raise MissingPackageError(
            'huggingface_hub: must be installed for hf:// names; found none. Install it: pip install "medgenesis[hub]".'
        ) from error
    # no network, no answer in time: errors of its client, httpx or requests by its version, which is a base of its own
    of_client = tuple(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
    try:
        monai_download(
            name=target.name,
            bundle_dir=str(target.parent),
            source="huggingface_hub",
            repo=repo,
            version=revision,
            remove_prefix=None,
            progress=False,
        )
    except (HfHubHTTPError, *of_client, LocalEntryNotFoundError, OfflineModeIsEnabled, OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"{named}: cannot be read ({reason}). Check the name and the network; HF_ENDPOINT names another server, "
            "HF_TOKEN opens private models."
        ) from error
