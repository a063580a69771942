"""Every error message of the package is written ``argument: rule; found value. Remedy.``"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("medgenesis", "transforms", "bundles")
UNKNOWN = "…"  # what is put in when the error is raised
RULE = re.compile(rf"[^:]+: .+; found .+\. ({UNKNOWN}|.+[.{UNKNOWN}])", flags=re.DOTALL)
NO_ACCESS = re.compile(rf"[^:]+: .*cannot be (read|written)\b.*\. .+[.{UNKNOWN}]", flags=re.DOTALL)

# file -> how the messages begin that have another form, and why
ALLOWED = {
    "medgenesis/__init__.py": ("module …",),  # Python's own words
    "medgenesis/renamed.py": ("module …",),
    "medgenesis/data/labels.py": ("…",),  # caught in the same file
    "transforms/functional/windows.py": ("its result differs",),  # caught in the same file
    "medgenesis/handlers/checkpoints.py": ("…: …",),  # the file, before a message in the grammar
    "medgenesis/storage/checkpoint.py": ("…",),  # the message of an error of writing, in the grammar
    "medgenesis/weights/layouts/layout.py": ("…: …",),  # the file, before a message in the grammar
    "medgenesis/handlers/collapse_guard.py": ("…: for … batches",),  # composed of signs in the grammar
}


def errors_in(source: str) -> Iterator[tuple[int, str]]:
    """Line and message of each error that is made in the source with an argument."""
    yield from _errors(ast.parse(source), {})


def _errors(node: ast.AST, outer: dict[str, str]) -> Iterator[tuple[int, str]]:
    texts = {**outer, **_texts(node, outer)}
    for child in _own(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _errors(child, texts)
        elif isinstance(child, ast.Call) and child.args and _name(child.func).endswith("Error"):
            yield child.lineno, _text(child.args[0], texts)


def _name(function: ast.expr) -> str:
    return getattr(function, "attr", "") or getattr(function, "id", "")


def _own(scope: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a scope; of the scopes in it only their heads."""
    for child in ast.iter_child_nodes(scope):
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _own(child)


def _texts(scope: ast.AST, outer: dict[str, str]) -> dict[str, str]:
    """The texts that names of a scope have, where each is assigned once."""
    assigned: dict[str, list[ast.expr]] = {}
    for node in _own(scope):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            assigned.setdefault(node.targets[0].id, []).append(node.value)
    return {name: _text(values[0], outer) for name, values in assigned.items() if len(values) == 1}


def _text(node: ast.expr, texts: dict[str, str]) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part, texts) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return _text(node.value, texts) if isinstance(node.value, ast.Name) else UNKNOWN
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _text(node.left, texts) + _text(node.right, texts)
    return texts.get(node.id, UNKNOWN) if isinstance(node, ast.Name) else UNKNOWN


def in_grammar(message: str) -> bool:
    return bool(RULE.fullmatch(message) or NO_ACCESS.fullmatch(message))


def test_messages_of_the_package():
    wrong = []
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for line, message in errors_in(path.read_text()):
            if not in_grammar(message) and not message.startswith(ALLOWED.get(name, ())):
                wrong.append(f"{name}:{line}: {message}")
    assert not wrong, "write `argument: rule; found value. Remedy.`:\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    "message",
    [
        '"side must be at least 1, got 0"',
        'f"side: must be at least 1, got {side}: give more"',
        'f"side: must be at least 1; found {side}"',
        'f"side: must be at least 1; found {side}."',
        'f"side: at least 1 - found {side} - give more"',
        'f"must be at least 1; found {side}. Give more."',
        'f"{path}: cannot be read ({error})"',
        "message",
    ],
)
def test_other_forms_are_found(message):
    ((line, found),) = errors_in(f"def f(side):\n    if side < 1:\n        raise ValueError({message})")
    assert line == 3 and not in_grammar(found)


@pytest.mark.parametrize(
    "body",
    [
        'raise ValueError(f"side: must be at least 1; found {side}. Give more.")',
        'raise errors.VolumeError(f"{path}: cannot be read ({error}). Copy it again.") from error',
        'what = f"side: must be at least 1; found {side}"; raise ValueError(f"{what}. Give more.")',
        'return ValueError(f"side: must be at least 1; found {side}. {remedy(side)}")',
    ],
)
def test_the_grammar_passes(body):
    ((_, found),) = errors_in(f"class A:\n    def f(side):\n        {body}")
    assert in_grammar(found), found


def test_names_that_are_assigned_twice_or_elsewhere_are_not_known():
    twice = 'def f():\n what = "a: b; found c"\n what = "d"\n raise ValueError(f"{what}. Give e.")'
    elsewhere = 'def g():\n what = "a: b; found c"\ndef f(what):\n raise ValueError(f"{what}. Give e.")'
    for source in (twice, elsewhere):
        ((_, found),) = errors_in(source)
        assert found == f"{UNKNOWN}. Give e."
