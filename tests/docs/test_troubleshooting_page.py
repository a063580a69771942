"""Each message on docs/troubleshooting.md is one of the code."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
OURS = PAGE.split("## Messages of other libraries")[0]
HEADINGS = [line for line, after in zip(OURS.splitlines(), OURS.splitlines()[1:], strict=False) if after[:1] == ":"]


def text_of(node):
    """The text of a string in the source, "…" for what is put in when it is raised."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else "…"
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    return "…"


@pytest.fixture(scope="module")
def messages():
    sources = [path for folder in ("medgenesis", "transforms", "bundles") for path in (ROOT / folder).rglob("*.py")]
    nodes = [node for path in sources for node in ast.walk(ast.parse(path.read_text()))]
    return [text_of(node) for node in nodes if isinstance(node, (ast.Constant, ast.JoinedStr))]


@pytest.mark.parametrize("heading", HEADINGS)
def test_the_code_has_this_message(heading, messages):
    fragments = re.findall(r"`(.+?)`(?= and |$)", heading)
    assert fragments, heading
    for fragment in fragments:
        pattern = re.compile(".*?".join(map(re.escape, fragment.split("…"))), flags=re.DOTALL)
        assert any(pattern.search(message) for message in messages), fragment
