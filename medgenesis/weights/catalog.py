"""What is known of published weights: where a file comes from, its terms, what it expects; and which one a file is."""

import fnmatch
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medgenesis.errors import CheckpointError
from medgenesis.weights.catalog_entries import ENTRIES
from medgenesis.weights.layouts.layout import Layout, StateDict

logger = logging.getLogger(__name__)

OTHER = "other"  # the name for a file that is none of those in the catalogue


@dataclass(frozen=True)
class Published:
    """One published model.

    Args:
        name: for command lines.
        title: for people.
        layout: slug of its layout.
        files: names of its files, with * and ?.
        network: the published network.
        learnt_from: data and task of its training.
        expects: what its input must be.
        terms: licence of the weights, and what it allows.
        commercial: whether commercial use is allowed; None: not stated.
        address: of the file, or of the page that has it.
        gated: how to get it, where the address is no file; "": the address is the file's.
        settings: by the names of the bundles' settings.
        mark: what a key of it matches, of the published keys; "": any.
        digests: known checksums, ``md5:…`` or ``sha256:…``, also their first digits; (): none is published or known.
    """

    name: str
    title: str
    layout: str
    files: Sequence[str]
    network: str
    learnt_from: str
    expects: str
    terms: str
    commercial: bool | None
    address: str
    gated: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    mark: str = ""
    digests: Sequence[str] = ()

    def fits(self, layout: Layout, published: StateDict, known: Mapping[str, Any]) -> bool:
        """Whether a file of these keys may be it.

        Args:
            layout: of the file.
            published: the file's entries, under its own keys.
            known: the settings that its shapes tell.
        """
        backbone = self.settings.get("backbone")
        marked = not self.mark or any(re.match(self.mark, key) for key in published)
        return layout.slug == self.layout and marked and backbone in (None, known.get("backbone", backbone))

    def named(self, path: str | Path) -> bool:
        """Whether a file has one of its names."""
        return any(fnmatch.fnmatch(Path(path).name, pattern) for pattern in self.files)

    def contradicted_by(self, digests: Mapping[str, str]) -> bool:
        """Whether checksums of it are known, and a file has none of them: saved again, or another file."""
        return bool(self.digests) and not any(_is(digest, digests) for digest in self.digests)

    def in_words(self) -> str:
        """Title, terms and address in one line."""
        use = {True: "", False: " (no commercial use)", None: " (commercial use not stated)"}[self.commercial]
        return f"{self.title} [{self.name}]: {self.terms}{use}; {self.address}"


CATALOG = tuple(Published(**entry) for entry in ENTRIES)


def published(name: str) -> Published:
    """The entry of a name.

    Raises:
        ValueError: there is none.
    """
    found = next((entry for entry in CATALOG if entry.name == name), None)
    if found is None:
        names = ", ".join(entry.name for entry in CATALOG)
        raise ValueError(f"entry: must be one of {names}; found {name!r}. Choose one, or {OTHER!r} for another file.")
    return found


def candidates(
    path: str | Path, layout: Layout, entries: StateDict, known: Mapping[str, Any], digests: Mapping[str, str]
) -> list[Published]:
    """The models of the catalogue that a file may be: one by its checksum, else those of its keys, of its name first.

    Args:
        path: the file.
        layout: of its keys.
        entries: its entries, under its own keys.
        known: the settings that its shapes tell.
        digests: kind -> checksum of the file.
    """
    by_digest = [entry for entry in CATALOG if any(_is(digest, digests) for digest in entry.digests)]
    if by_digest:
        return by_digest
    fitting = [entry for entry in CATALOG if entry.fits(layout, entries, known)]
    return [entry for entry in fitting if entry.named(path)] or fitting


def is_file_of(entry: Published, path: str | Path, digests: Mapping[str, str]) -> bool:
    """Whether a file is that of an entry by its checksum, or is called like it."""
    return entry.named(path) or any(_is(digest, digests) for digest in entry.digests)


def chosen_entry(
    path: str | Path,
    among: Sequence[Published],
    given: str | None,
    possible: Sequence[Published] = (),
    ours: bool = False,
) -> Published | None:
    """The one model that a file is; None: none of the catalogue.

    Args:
        path: the file, for messages.
        among: what it may be (``candidates``).
        given: the name that the user gives, or None.
        possible: what it may be under another name; of these the user may name one.
        ours: it is of our training, or an import, which holds its own origin.

    Raises:
        ValueError: no such name.
        CheckpointError: it may be several, whose terms or inputs differ, and none is named; or it cannot be the given.
    """
    if given == OTHER or (given is None and not among):
        return None
    if given is not None:
        entry = published(given)
        if ours:
            raise CheckpointError(
                f"{path}: must be a published file, to be {given}; found one of medgenesis, which holds its own "
                "origin. Leave --entry out."
            )
        if entry not in (*among, *possible):
            names = ", ".join(dict.fromkeys(one.name for one in (*among, *possible))) or "none of the catalogue"
            raise CheckpointError(
                f"{path}: must be a file of {given}; found keys, a network or a checksum of another. It may be "
                f"{names}: give that, or --entry {OTHER}."
            )
        return entry
    if len(among) == 1:
        if not among[0].named(path):
            logger.warning(
                "%s: taken for %s by its keys alone; of another origin: --entry %s", path, among[0].name, OTHER
            )
        return among[0]
    names = ", ".join(one.name for one in among)
    raise CheckpointError(
        f"{path}: must be told which published file it is, for terms and input differ; found keys that {len(among)} of "
        f"them have ({names}). Add --entry NAME, or --entry {OTHER} for a file of none of them."
    )


def _is(known: str, digests: Mapping[str, str]) -> bool:
    kind, _, digits = known.partition(":")
    return digests.get(kind, "").startswith(digits)
