"""What the configs name can be called, with the arguments that they give, on every Python.

From 3.12 on a name that is also a module's finds the module.
"""

import contextlib
import importlib
import inspect
import pkgutil
import re
from pydoc import locate
from types import ModuleType

import pytest
import yaml
from helpers.nnunet import plans

import medgenesis
from medgenesis import bundles
from medgenesis.data.nnunet import plan_of

NAMES = bundles.names()
TARGET = re.compile(r"_target_: ([\w.]+)")
CALLED = re.compile(r"(medgenesis(?:\.\w+)+)\(")


@pytest.fixture(scope="session")
def every_module():
    """All modules of ours, imported: so a name is looked up as late in a run, where any of them may have been."""
    for module in pkgutil.walk_packages(medgenesis.__path__, "medgenesis."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ModuleNotFoundError):  # of what is optional: triton, numba
                importlib.import_module(module.name)


@pytest.mark.parametrize("name", NAMES)
def test_no_target_is_a_module(name, every_module):
    texts = [path.read_text() for path in (bundles.path(name) / "configs").glob("*.yaml")]
    targets = {target for text in texts for pattern in (TARGET, CALLED) for target in pattern.findall(text)}
    assert len(targets) > 10
    for target in targets:
        found = locate(target)
        assert callable(found) and not isinstance(found, ModuleType), target


def _given(node):
    """(target, names of its arguments) of every `_target_` in a config."""
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str) and not node["_target_"].startswith(("$", "@")):
            yield node["_target_"], [name for name in node if not name.startswith("_")]
        node = list(node.values())
    for one in node if isinstance(node, list) else ():
        yield from _given(one)


def _refused(root):
    """Arguments in a bundle's configs that their target does not take; and how many targets there are."""
    refused, seen = [], 0
    for path in sorted((root / "configs").glob("*.yaml")):
        for target, names in _given(yaml.safe_load(path.read_text())):
            parameters = inspect.signature(locate(target)).parameters.values()
            free = any(one.kind is one.VAR_KEYWORD for one in parameters)
            unknown = set(names) - {one.name for one in parameters}
            refused += [] if free or not unknown else [(path.name, target, *sorted(unknown))]
            seen += 1
    return refused, seen


@pytest.mark.parametrize("name", NAMES)
def test_targets_take_what_they_are_given(name):
    refused, seen = _refused(bundles.path(name))
    assert not refused and seen > 10


@pytest.mark.parametrize("name", bundles.can_be_planned())
def test_targets_of_a_planned_bundle_take_what_they_are_given(name, tmp_path):
    refused, seen = _refused(bundles.copy_planned(name, tmp_path / "b", plan_of(plans(), source="plans"), "plans"))
    assert not refused and seen > 10
