"""Links that git has written as text: a file of one line, the path that it leads to (`core.symlinks=false`, Windows).

setup.py loads this file by its path, before anything is installed: it needs Python alone.
"""

from pathlib import Path

_LONGEST = 200  # bytes of a link's text


def content(path: Path) -> bytes:
    """What a file holds; of a link, also of one that git has written as text, what the file that it leads to holds."""
    target = written_as_text(path)
    return path.read_bytes() if target is None else content(target)


def written_as_text(path: Path) -> Path | None:
    """Where a link that git has written as text leads to, None for any other file.

    It is told by what it holds: the relative path, on one line, of another file with the same suffix.
    """
    if path.stat().st_size > _LONGEST:
        return None
    try:
        text = path.read_bytes().decode().removesuffix("\n")
    except UnicodeDecodeError:
        return None
    if not text or "\n" in text or ":" in text or Path(text).is_absolute():
        return None
    target = path.parent / text
    return target if target.suffix == path.suffix and target.is_file() else None
