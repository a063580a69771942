"""A list shared out among processes or machines that do not talk to each other, and joined again."""

import re
from dataclasses import dataclass
from pathlib import Path

MERGE = "merge"
FOLDER = "shards"  # of the results; what each shard leaves is in a folder of its own below it


@dataclass(frozen=True)
class Shard:
    """One of several equal parts of a list: every so many-th record, so that a sorted list gives parts alike.

    Args:
        number: which, from 1.
        of: how many there are.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def places(self, count: int) -> range:
        """Of the records in a list of `count`, counted from 0; none where there are fewer records than parts."""
        return range(self.number - 1, count, self.of)


def parse_shard(text: str | None) -> Shard | str | None:
    """A setting `shard`: "2/4", the second of four parts, "merge", which joins them, or None, the whole list.

    Raises:
        ValueError: another text.
    """
    if text is None or text == MERGE:
        return text
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", str(text).strip())
    if found is None or int(found[1]) > int(found[2]):
        raise ValueError(
            f'shard: must be I/N, a part of 1 to N, or "{MERGE}"; found {text!r}. Write 2/4 for the second of four.'
        )
    return Shard(int(found[1]), int(found[2]))


def shard_folder(folder: str | Path, shard: str | None) -> Path:
    """Where a run writes: of a part `shards/2_of_4` in the folder, else the folder itself (ValueError: bad `shard`)."""
    found = parse_shard(shard)
    return Path(folder, FOLDER, f"{found.number}_of_{found.of}") if isinstance(found, Shard) else Path(folder)


def all_shards(folder: str | Path) -> list[tuple[Shard, Path]]:
    """The parts of a list whose results are in a folder, in their order, each with its own folder.

    Raises:
        ValueError: there is none, one is missing, or there are parts of two divisions.
    """
    below = Path(folder, FOLDER)
    found: dict[Shard, Path] = {}
    for path in below.glob("*_of_*"):
        numbers = path.name.split("_of_")
        if all(number.isdecimal() for number in numbers):
            found[Shard(*map(int, numbers))] = path
    divisions = sorted({shard.of for shard in found})
    if len(divisions) != 1:
        parts = " and ".join(f"parts of {count}" for count in divisions) or "none"
        raise ValueError(f"shard: {below} must hold the parts of one division; found {parts}. Remove what is too much.")
    wanted = [Shard(number, divisions[0]) for number in range(1, divisions[0] + 1)]
    missing = [str(shard) for shard in wanted if shard not in found]
    if missing:
        raise ValueError(
            f"shard: all {divisions[0]} parts must be in {below}; found no {', '.join(missing)}. Run --shard "
            f"{missing[0]} and so on, or copy the folder there."
        )
    return [(shard, found[shard]) for shard in wanted]
