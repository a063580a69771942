"""Entries of a config replaced and removed in its text, against the same in what it says."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from medgenesis.bundles.yaml_edits import edited

KEYS = ("width", "norm", "kept", "a", "b", "c")
SCALARS = st.sampled_from(["'@width'", "\"$@settings['norm']\"", "1", "null", "'a: # b'", "true", "x y"])


@st.composite
def entries(draw, depth=0, flow=False):
    """[(id, text of a value, or entries)], and whether they stand in braces."""
    braces = flow or (depth > 0 and draw(st.booleans()))
    keys = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=5, unique=True))
    return braces, [(key, draw(entries(depth + 1, braces)) if depth < 2 and draw(st.booleans()) else draw(SCALARS))
                    for key in keys]  # fmt: skip


def written(node, indent=0, comments=()):
    """As people write it: blocks with comments, braces within a line."""
    braces, pairs = node
    if braces:
        inside = (f"{key}: {value if isinstance(value, str) else written(value)}" for key, value in pairs)
        return "{ " + ", ".join(inside) + " }"
    lines = []
    for number, (key, value) in enumerate(pairs):
        comment = f" # of {key}" if number % 2 else ""
        if isinstance(value, str) or value[0]:
            lines.append(f"{' ' * indent}{key}: {value if isinstance(value, str) else written(value)}{comment}")
        else:
            lines += [f"{' ' * indent}{key}:{comment}", written(value, indent + 2)]
        if number % 3 == 2:
            lines.append(f"{' ' * indent}# between")
    return "\n".join(lines)


def changed(content):
    """The same of what is read: what is removed and replaced, by hand."""
    if not isinstance(content, dict):
        return content
    renamed = {
        ("plan" if key == "norm" else key): ("@plan" if key == "norm" else value) for key, value in content.items()
    }
    return {key: changed(value) for key, value in renamed.items() if key != "width"} or None


def rule(entry):
    return {"width": "", "norm": "plan: '@plan'"}.get(entry.id)


@settings(max_examples=60, deadline=None)
@given(entries(), st.booleans())
def test_the_text_says_what_was_meant(node, ends):
    text = written(node) + ("\n" if ends else "")
    after = edited(text, rule)
    empty = [{}, None]
    found, expected = yaml.safe_load(after), changed(yaml.safe_load(text))

    def same(one, other):
        if isinstance(one, dict) and isinstance(other, dict):
            return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
        return one == other or (one in empty and other in empty)

    assert same(found, expected), after
    assert edited(text, lambda entry: None) == text


def test_what_is_not_meant_stays_as_it_is():
    text = "# head\na: 1 # one\nwidth: 3 # of what is gone\n\n# before b\nb: { width: 1, norm: 2, c: 3 } # flow\n"
    text += "list:\n  - norm: 1\n    x: 2\n"
    after = "# head\na: 1 # one\n\n# before b\nb: { plan: '@plan', c: 3 } # flow\nlist:\n  - plan: '@plan'\n    x: 2\n"
    assert edited(text, rule) == after
    assert (
        edited("n:\n  norm: 1\n", lambda entry: "p: 1\nq: 2" if entry.id == "norm" else None) == "n:\n  p: 1\n  q: 2\n"
    )
    paths = []
    edited(text, lambda entry: paths.append((entry.path, entry.id, entry.value)))
    assert (("list", "*"), "x", "2") in paths and ((), "list", None) in paths
    with pytest.raises(ValueError, match="width: must not be the first entry"):
        edited("list:\n  - width: 1\n    x: 2\n", rule)
