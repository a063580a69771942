"""The demonstration: which bundle it takes. That it runs, `make demo` shows."""

import pytest

from medgenesis import bundles
from medgenesis.demo import run_demo
from medgenesis.demo.layout import Demo
from medgenesis.demo.steps import _take_bundle


def test_a_folder_holds_the_demonstration_of_one_method(tmp_path):
    bundles.copy("models_genesis_ct", tmp_path / "bundle")
    with pytest.raises(FileExistsError, match="semantic_genesis_ct.*another folder"):
        run_demo(tmp_path, method="semantic_genesis_ct")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle"]


@pytest.mark.parametrize(
    ("method", "discovers"),
    [
        ("models_genesis_ct", False),
        ("masked_autoencoder_ct", False),
        ("semantic_genesis_ct", True),
        ("transvw_ct", True),
    ],
)
def test_methods_that_learn_from_patterns_discover_them_first(tmp_path, method, discovers):
    demo = Demo(tmp_path, method)
    _take_bundle(demo)
    _take_bundle(demo)  # typed again
    assert demo.discovers is discovers
