"""The demonstration: which bundle it takes. That it runs, `make demo` shows."""

import pytest

from medgenesis import bundles
from medgenesis.demo import run_demo
from medgenesis.demo.layout import Demo
from medgenesis.demo.steps import _take_bundle


def test_a_folder_holds_the_demonstration_of_one_method(tmp_path):
    _take_bundle(Demo(tmp_path, "models_genesis_ct"))
    with pytest.raises(ValueError, match="method = 'models_genesis_ct', now it is 'semantic_genesis_ct'"):
        run_demo(tmp_path, method="semantic_genesis_ct")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "steps.json"]


def test_a_bundle_of_unknown_origin_is_refused(tmp_path):
    bundles.copy("models_genesis_ct", tmp_path / "bundle")
    with pytest.raises(ValueError, match="metadata.json"):
        run_demo(tmp_path)


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
