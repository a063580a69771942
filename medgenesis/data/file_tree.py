"""The files below a folder, each once: links are followed, loops and second ways to a file are left out by name."""

import os
from pathlib import Path

from medgenesis.data.left_out import LeftOut


def files_below(root: Path, left_out: LeftOut, without: Path | None = None) -> dict[Path, list[Path]]:
    """The regular files of each folder at any depth, folders and files in the order of their names.

    Real folders go before links to them. Hidden names (that begin with a dot) are passed over.

    Args:
        root: where to begin.
        left_out: receives loops, broken links, folders without access, pipes and the like.
        without: folder that is not entered, unless it is the root.
    """
    tree = _Tree(left_out, None if without is None or _same(without, root) else os.path.realpath(without))
    tree.enter(root)
    while tree.links:
        links, tree.links = sorted(tree.links), []
        for link in links:
            tree.enter(link)
    tree.follow_file_links()
    return {folder: sorted(files) for folder, files in sorted(tree.files.items()) if files}


class _Tree:
    def __init__(self, left_out: LeftOut, without: str | None) -> None:
        self.left_out, self.without = left_out, without
        self.files: dict[Path, list[Path]] = {}
        self.links: list[Path] = []  # to folders
        self._file_links: list[Path] = []
        self._seen: set[str] = set()  # real paths

    def enter(self, start: Path) -> None:
        for here, folders, files in os.walk(start, onerror=self._no_access):
            real = os.path.realpath(here)
            if real == self.without or real in self._seen:
                if real in self._seen:
                    self.left_out.add(Path(here), "link to a folder that is listed already")
                folders[:] = []
                continue
            self._seen.add(real)
            folders[:] = [name for name in folders if not name.startswith(".")]
            self.links += [Path(here, name) for name in folders if Path(here, name).is_symlink()]
            self.files[Path(here)] = [
                Path(here, name)
                for name in files
                if not name.startswith(".") and self._is_plain(Path(here, name), real)
            ]

    def follow_file_links(self) -> None:
        for link in sorted(self._file_links):
            real = os.path.realpath(link)
            if real in self._seen:
                self.left_out.add(link, "link to a file that is listed already")
            else:
                self._seen.add(real)
                self.files[link.parent].append(link)

    def _is_plain(self, path: Path, folder: str) -> bool:
        if not path.exists():
            self.left_out.add(path, "link to nothing" if path.is_symlink() else "gone meanwhile")
        elif not path.is_file():
            self.left_out.add(path, "no regular file")
        elif path.is_symlink():
            self._file_links.append(path)
        else:
            self._seen.add(f"{folder}/{path.name}" if folder != "/" else f"/{path.name}")
            return True
        return False

    def _no_access(self, error: OSError) -> None:
        self.left_out.add(Path(error.filename), f"folder that cannot be read, {error.strerror}")


def _same(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
