"""The names of version 0.1 give what the new names give, with a warning."""

import importlib
import re
import subprocess
import sys

import pytest

from medgenesis.renamed import MODULES, NAMES, renamed_arguments

OLD_NAMES = [(package, old, new) for package, names in NAMES.items() for old, new in names.items()]


def located(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize(("package", "old", "new"), OLD_NAMES)
def test_an_old_name_is_the_new_one(package, old, new):
    with pytest.warns(FutureWarning, match=rf"^{re.escape(package)}\.{old} is now {re.escape(new)};"):
        assert getattr(importlib.import_module(package), old) is located(new)


def test_a_name_that_never_was_is_an_attribute_error():
    for package in NAMES:
        with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
            importlib.import_module(package).nonsense  # noqa: B018


def test_old_modules_are_the_new_ones_and_their_submodules():
    """In a process of its own, for a module that was imported once warns no more."""
    pairs = [(old, new) for old, new in MODULES.items()]
    lines = [
        "import importlib, warnings, medgenesis",
        "warnings.simplefilter('ignore')",
        *(f"assert importlib.import_module({old!r}) is importlib.import_module({new!r})" for old, new in pairs),
        "from medgenesis.data.phantom.build import make_phantom as old",
        "from medgenesis.datasets.phantom.build import make_phantom as new",
        "assert old is new",
        "import medgenesis.datasets.phantom as there",
        "assert there.__name__ == there.__spec__.name == 'medgenesis.datasets.phantom'",
        "warnings.simplefilter('error', FutureWarning)",
        "import medgenesis.io.dicom",
        "try: import medgenesis.data.nonsense",
        "except ModuleNotFoundError: pass",
        "else: raise SystemExit('nonsense was imported')",
    ]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)


def test_old_module_warns_where_it_is_imported():
    line = "import warnings; warnings.simplefilter('error'); import medgenesis.atomic"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True)
    assert done.returncode == 1 and "medgenesis.atomic is now medgenesis.storage.atomic" in done.stderr


def test_old_arguments_are_taken_by_their_new_names():
    @renamed_arguments(cut="crop")
    def function(first, crop=None):
        return first, crop

    with pytest.warns(FutureWarning, match="cut.*crop"):
        assert function(1, cut=2) == (1, 2)
    assert function(1, crop=2) == function(1, 2) == (1, 2)
    with pytest.raises(TypeError, match="^cut: "):
        function(1, cut=2, crop=2)


def test_calls_of_version_0_1_still_work():
    from medgenesis import data

    with pytest.warns(FutureWarning):
        crop = data.RandCubed("image", (4, 4, 4), rule="any")
    assert isinstance(crop, data.RandAcceptedCropd) and crop.criterion is data.CROP_CRITERIA["any"]
    with pytest.warns(FutureWarning, match="picture_side"):
        steps = data.preprocessing(picture_side=64)
    assert any(type(step).__name__ == "LimitImageSized" for step in steps.transforms)
