"""The demonstration: which bundle it takes. That it runs, `make demo` shows."""

import json

import pytest

from medgenesis import bundles
from medgenesis.demo import run_demo, steps
from medgenesis.demo.layout import Demo
from medgenesis.demo.steps import _take_bundle


def test_a_folder_holds_the_demonstration_of_one_method(tmp_path):
    _take_bundle(Demo(tmp_path, "models_genesis_ct"))
    with pytest.raises(ValueError, match="method = 'models_genesis_ct', now it is 'semantic_genesis_ct'"):
        run_demo(tmp_path, method="semantic_genesis_ct")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "steps.json"]


def test_a_bundle_of_unknown_origin_is_refused(tmp_path):
    bundles.copy("models_genesis_ct", tmp_path / "bundle")
    with pytest.raises(ValueError, match="folder: must be new, empty, or of an earlier demonstration"):
        run_demo(tmp_path)


@pytest.mark.parametrize("record", [None, {}, {"features": {"settings": {}, "finished": True}}])
def test_a_folder_of_other_files_is_refused_and_left_as_it_is(tmp_path, record):
    (tmp_path / "case_1.nii.gz").write_bytes(b"a scan")
    if record is not None:  # of another run
        (tmp_path / "steps.json").write_text(json.dumps(record))
    held = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="folder: must be new, empty, or of an earlier demonstration"):
        run_demo(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == held


@pytest.mark.parametrize("stopped_in", ["bundle", "phantoms"])
def test_a_stopped_demonstration_goes_on(tmp_path, monkeypatch, stopped_in):
    def stop(*args, **settings):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*{"bundle": (bundles, "copy"), "phantoms": (steps, "write_phantoms")}[stopped_in], stop)
        with pytest.raises(KeyboardInterrupt):
            run_demo(tmp_path)
    took = []
    for name in ("_make_phantoms", "_pretrain", "_finetune", "_segment", "_measure", "write_report"):
        monkeypatch.setattr(steps, name, lambda demo, name=name: took.append(name))
    run_demo(tmp_path)
    assert took[0] == "_make_phantoms" and took[-1] == "write_report"
    assert (tmp_path / "bundle" / "configs" / "metadata.json").is_file()


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
