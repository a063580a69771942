"""Changes of a config that people read: an entry is replaced or removed where it stands, all else stays as it is.

Where an entry begins and ends is asked of the YAML parser, so that comments, order and line breaks of the others stay.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import yaml


@dataclass(frozen=True)
class Entry:
    """An entry of a mapping in a config.

    Args:
        path: ids of the mappings that it stands in; items of lists are "*".
        id: its own.
        value: its scalar, as text; None: it is a mapping or a list.
    """

    path: tuple[str, ...]
    id: str
    value: str | None


Rule = Callable[[Entry], str | None]  # the text that takes an entry's place; "": it is removed; None: it stays


def edited(text: str, rule: Rule) -> str:
    """The text of a YAML file after a rule has been asked of every entry, outer ones first.

    An entry that is replaced or removed takes the comment behind it along, where it ends its line; of what lies within
    the rule is not asked.

    Args:
        text: of the file.
        rule: for a replacement of several lines in a block, the lines stand one below the other, without indent.

    Raises:
        ValueError: the first entry of a list's item is to be removed, which would leave the others without their dash.
    """
    for start, end, new in sorted(_edits(text, yaml.compose(text), (), rule), reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _edits(text: str, node: yaml.Node | None, path: tuple[str, ...], rule: Rule) -> Iterator[tuple[int, int, str]]:
    if isinstance(node, yaml.SequenceNode):
        for one in node.value:
            yield from _edits(text, one, (*path, "*"), rule)
    if not isinstance(node, yaml.MappingNode):
        return
    removed = []
    for place, (key, value) in enumerate(node.value):
        new = rule(Entry(path, key.value, value.value if isinstance(value, yaml.ScalarNode) else None))
        if new is None:
            yield from _edits(text, value, (*path, key.value), rule)
        elif not node.flow_style:
            yield _in_block(text, key, value, new)
        elif new:
            yield key.start_mark.index, value.end_mark.index, new
        else:
            removed.append(place)
    yield from _out_of_flow(node.value, removed)


def _in_block(text: str, key: yaml.Node, value: yaml.Node, new: str) -> tuple[int, int, str]:
    """The whole lines of an entry, and what takes their place."""
    start = text.rfind("\n", 0, key.start_mark.index) + 1
    end = text.find("\n", _last(value)) + 1 or len(text)
    before = text[start : key.start_mark.index]  # the indent; of the first entry of a list's item, its dash
    if not new and before.strip():
        raise ValueError(
            f"{key.value}: must not be the first entry of a list's item to be removed; found it there. Replace it."
        )
    lines = new.splitlines()
    return start, end, "".join(f"{before if not i else ' ' * len(before)}{line}\n" for i, line in enumerate(lines))


def _out_of_flow(
    pairs: Sequence[tuple[yaml.Node, yaml.Node]], removed: Sequence[int]
) -> Iterator[tuple[int, int, str]]:
    """What is cut out of a mapping in braces: with the comma behind, of the last ones the comma before."""
    last = max((place for place in range(len(pairs)) if place not in removed), default=-1)
    for place in removed:
        if place < last:
            yield pairs[place][0].start_mark.index, pairs[place + 1][0].start_mark.index, ""
    if last < len(pairs) - 1:  # those behind it, all of them removed
        first = pairs[last][1].end_mark.index if last >= 0 else pairs[0][0].start_mark.index
        yield first, pairs[-1][1].end_mark.index, ""


def _last(node: yaml.Node) -> int:
    """Where the last scalar of a node ends; the mark of a block is behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and node.value and not node.flow_style:
        last = node.value[-1]
        return _last(last[1] if isinstance(last, tuple) else last)
    return node.end_mark.index
