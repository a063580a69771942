"""Files that a viewer has sent lie under temporary names, which say nothing to whoever reads an error."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from medgenesis.errors import DOMAIN_ERRORS


@contextmanager
def errors_call(said: str, *files: str | Path) -> Generator[None, None, None]:
    """Let errors of this domain call these files so.

    Args:
        said: "label of case_001" for example.
        files: as errors name them, with or without their folder.
    """
    try:
        yield
    except DOMAIN_ERRORS as error:
        text = str(error)
        for file in files:
            text = text.replace(str(file), said).replace(Path(file).name, said)
        raise type(error)(text) from error


def lies_in(path: str | Path, folders: Iterable[str | Path]) -> bool:
    """Whether a path leads into one of these folders; its last part may be a link, as studies are."""
    path = Path(path)
    place = path.parent.resolve() / path.name
    return ".." not in path.parts and any(place.is_relative_to(Path(folder).resolve()) for folder in folders)
