"""The packages keep to the layers of CONTRIBUTING.md, and no public name hides behind a module of the same name."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import medgenesis

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = {"medgenesis": ROOT / "medgenesis", "medgenesis.transforms": ROOT / "transforms"}


def layers():
    """Package -> layer, from the table of CONTRIBUTING.md, the one place where it stands."""
    rows = re.findall(r"^\| (\d) \| (.+?) \|$", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.MULTILINE)
    return {name: int(layer) for layer, cell in rows for name in re.findall(r"`(?:medgenesis/)?(\w+)/?`", cell)}


def modules():
    """Module -> source file; the folders at the top by their real place."""
    for name, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = [*name.split("."), *path.relative_to(folder).with_suffix("").parts]
            yield ".".join(part for part in parts if part != "__init__"), path


def imported(path):
    """The modules of medgenesis that a source file imports, inside of functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            own = node.module == "medgenesis"
            yield from [f"medgenesis.{alias.name}" for alias in node.names] if own else [node.module]
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def package_of(module):
    parts = module.split(".")
    return parts[1] if parts[0] == "medgenesis" and len(parts) > 1 else None


def edges():
    found = {}
    for module, path in modules():
        for target in imported(path):
            pair = package_of(module), package_of(target)
            if None not in pair and pair[0] != pair[1] and pair[1] != "__version__":
                found.setdefault(pair, []).append(path.relative_to(ROOT).as_posix())
    return found


def test_every_package_has_a_layer():
    packages = {package_of(module) for module, _ in modules()} - {None, "__main__"}
    assert packages - set(layers()) == set()


def test_no_package_imports_upwards():
    known = layers()
    upward = {pair: files for pair, files in edges().items() if pair[0] in known and known[pair[0]] < known[pair[1]]}
    assert upward == {}


def test_no_packages_import_each_other_in_a_circle():
    targets = {}
    for source, target in edges():
        targets.setdefault(source, set()).add(target)
    for start in targets:
        reached, todo = set(), list(targets[start])
        while todo:
            package = todo.pop()
            if package not in reached:
                reached.add(package)
                todo += targets.get(package, ())
        assert start not in reached, f"{start} imports itself by way of others"


PACKAGES = ["medgenesis", *(m.name for m in pkgutil.walk_packages(medgenesis.__path__, "medgenesis.") if m.ispkg)]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_name_is_that_of_a_module(package):
    """From Python 3.12 on pydoc.locate, and so a `_target_`, would find the module once it has been imported."""
    module = importlib.import_module(package)
    submodules = {info.name for info in pkgutil.iter_modules(module.__path__)}
    public = {
        name for name in getattr(module, "__all__", ()) if name not in submodules or callable(getattr(module, name))
    }
    assert public & submodules == set()
