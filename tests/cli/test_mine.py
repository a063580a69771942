"""`medgenesis mine`: its arguments are settings of the config mine.yaml, and it does what that config does."""

import argparse
import functools
import re

import monai.bundle
import pytest
import yaml

from medgenesis import bundles, cli
from medgenesis.cli import mine
from medgenesis.cli.configs import find_bundle, merged_settings
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.mining import PatternTable

CONFIGS = find_bundle("semantic_genesis_ct").path / "configs"
DEFAULTS = merged_settings([CONFIGS / "mine.yaml"])
ALL = [
    *("--datalist list.json --out out --classes 3 --train-patients 4 --validation-patients 2 --rule any".split()),
    *("--cube-size 8 8 6 --size 16 16 8 --features bottleneck --epochs 2 --multi-resolution --seed 5".split()),
    *("--coordinates body --index faiss --set width=4 --set intensity=mri --set spacing_mm=[2,2,3]".split()),
]
SETTINGS = {
    **{"datalist": "list.json", "output_dir": "out", "classes": 3, "train_patients": 4, "validation_patients": 2},
    **{
        "crop_criterion": "any",
        "cube_size": [8, 8, 6],
        "volume_size": [16, 16, 8],
        "features": "bottleneck",
        "seed": 5,
    },
    **{"autoencoder_epochs": 2, "multi_resolution": True, "coordinates": "body", "index": "faiss"},
    **{"width": 4, "intensity": "mri", "spacing_mm": [2, 2, 3]},
}


@pytest.fixture
def asked(monkeypatch):
    """What the bundle runner was asked for, in place of running it."""
    calls = []
    monkeypatch.setattr(monai.bundle, "run", lambda **settings: calls.append(settings))
    return calls


@pytest.fixture
def parser():
    parser = argparse.ArgumentParser()
    mine.add_arguments(parser)
    return parser


def test_every_argument_is_a_setting_of_the_config(asked):
    assert cli.main(["mine", *ALL]) == 0
    (call,) = asked
    assert call.pop("config_file") == [str(CONFIGS / "mine.yaml")]
    assert call == SETTINGS
    assert set(call) <= set(DEFAULTS)


def test_what_is_not_said_is_left_to_the_config(asked, tmp_path):
    bundle = bundles.copy("semantic_genesis_ct", tmp_path / "my_bundle")
    assert cli.main(["mine", *ALL[:4], "--bundle", str(bundle), "--overlay", "quick"]) == 0
    configs = [str(bundle / "configs" / name) for name in ("mine.yaml", "quick.yaml")]
    assert asked == [{"config_file": configs, "datalist": "list.json", "output_dir": "out"}]


def test_an_id_that_the_config_does_not_use_is_refused(asked, capsys):
    assert cli.main(["mine", *ALL, "--set", "widht=4"]) == 2 and not asked
    assert "width" in capsys.readouterr().err


def test_the_defaults_that_the_help_tells_are_those_of_the_config(parser):
    told = {action.dest: re.search(r"\(default (.+)\)$", action.help or "") for action in parser._actions}
    told = {name: found[1] for name, found in told.items() if found}
    assert told.pop("bundle") == "semantic_genesis_ct" and len(told) == 11
    for name, text in told.items():
        value = yaml.safe_load(DEFAULTS[name].text)
        assert text == (" ".join(map(str, value)) if isinstance(value, list) else str(value)), name


@pytest.mark.parametrize(
    "arguments",
    [["--out", "out"], ["--datalist", "x"], [*ALL[:4], "--rule", "heart"], [*ALL[:4], "--cube-size", "8", "8"]],
    ids=str,
)
def test_what_cannot_be_parsed(asked, arguments, capsys):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["mine", *arguments])
    assert exit_.value.code == 2 and not asked
    assert capsys.readouterr().err.startswith("medgenesis mine: ")


def test_it_mines_as_the_config_does_and_errors_are_one_line(tmp_path, monkeypatch, capsys):
    # the bundle's logging would outlive the test
    run = functools.partial(monai.bundle.run, logging_file=False)
    monkeypatch.setattr(monai.bundle, "run", run)
    datalist = write_phantoms(tmp_path / "phantoms", 5, 0, shape=(24, 24, 20), split=(0.8, 0.2, 0.0))
    own = {"classes": 2, "train_patients": 3, "validation_patients": 1, "cube_size": [8, 8, 6], "crop_criterion": "any"}
    own |= {"volume_size": [16, 16, 16], "autoencoder_epochs": 1, "width": 2, "num_workers": 0, "device": "cpu"}
    said = "--classes 2 --train-patients 3 --validation-patients 1 --cube-size 8 8 6 --rule any --size 16 16 16"
    said = f"{said} --epochs 1 --set width=2 --set num_workers=0 --set device=cpu".split()
    assert cli.main(["mine", "--datalist", str(datalist), "--out", str(tmp_path / "by_command"), *said]) == 0
    run(
        config_file=str(CONFIGS / "mine.yaml"),
        datalist=str(datalist),
        output_dir=str(tmp_path / "by_config"),
        **own,
    )
    found, wanted = (PatternTable.load(tmp_path / name / "patterns.json") for name in ("by_command", "by_config"))
    assert found == wanted and found.num_classes == 2
    capsys.readouterr()
    said[1] = "3"
    assert cli.main(["mine", "--datalist", str(datalist), "--out", str(tmp_path / "by_command"), *said]) == 2
    error = capsys.readouterr().err
    assert "found that it was made with classes = 2, now it is 3" in error.splitlines()[-1]
    assert error.splitlines()[-1].startswith("medgenesis mine: ")
