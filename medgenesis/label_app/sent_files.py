"""Files that a viewer has sent lie under temporary names, which say nothing to whoever reads an error."""

from collections.abc import Generator
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
