"""What the configs name can be called on every Python: from 3.12 on a name that is also a module's finds the module."""

import contextlib
import importlib
import pkgutil
import re
from pydoc import locate
from types import ModuleType

import pytest

import medgenesis
from medgenesis import bundles

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
