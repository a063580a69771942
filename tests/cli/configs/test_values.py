"""Values of a command line: handed to MONAI's runner as they are, unless it would misread them in silence."""

import re
import shlex

import pytest

from medgenesis import bundles
from medgenesis.cli.configs import find_bundle, parsed_settings, split_setting


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("width=8", ("width", "8")),
        ("save-every=a=b", ("save_every", "a=b")),
        ("spacing_mm=[2,2,3]", ("spacing_mm", "[2,2,3]")),
        ("cache=none", ("cache", "none")),
        ("name='a#b'", ("name", "'a#b'")),
        ("data=runs/a#2/x.json", ("data", "runs/a#2/x.json")),
        ("init=None", ("init", "$None")),
    ],
)
def test_what_is_handed_over(text, wanted):
    assert split_setting(text) == wanted


@pytest.mark.parametrize("text", ["amp=true", "amp=false", "init=null", "out=run#2", "width", "=8", ""])
def test_what_the_runner_would_misread(text):
    with pytest.raises(ValueError, match="^[a-z-]+: .*; found .*Write"):
        split_setting(text)


def test_values_are_read_as_fire_reads_them():
    given = [
        "width=8",
        "spacing_mm=[2,2,3]",
        "cache=memory",
        "on-error=skip",
        "train#trainer#amp=False",
        "datalist=a.json",
    ]
    assert parsed_settings(given, find_bundle("models_genesis_ct").files("pretrain")) == {
        "width": 8,
        "spacing_mm": [2, 2, 3],
        "cache": "memory",
        "on_error": "skip",
        "train::trainer::amp": False,
        "datalist": "a.json",
    }
    with pytest.raises(ValueError, match="widht"):
        parsed_settings(["widht=8"], find_bundle("models_genesis_ct").files("pretrain"))


def test_the_remedy_names_the_folder_as_it_is_to_be_typed(tmp_path):
    folder = bundles.copy("models_genesis_ct", tmp_path / "my models" / "net")
    with pytest.raises(ValueError) as refused:
        find_bundle(str(folder)).files("pretrian")
    command = re.search("`(medgenesis run .* --help)`", str(refused.value))[1]
    assert shlex.split(command) == ["medgenesis", "run", str(folder), "--help"]
    with pytest.raises(ValueError, match="`medgenesis run models_genesis_ct --help`"):
        find_bundle("models_genesis_ct").files("pretrain", ["quikc"])
