"""`settings.yaml` of a copied bundle, read by this version: what is lacking, and what another version wrote."""

import json
import logging

import pytest

from medgenesis import __version__
from medgenesis.bundles import settings


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "settings.yaml").write_text("width: 8\nspacing_mm: null\n")
    return tmp_path


def test_a_setting_that_is_lacking_is_named(bundle):
    with pytest.raises(ValueError, match=r"settings.yaml: must have 'preset', .*; found no such line. Copy the bundle"):
        settings(bundle)["preset"]
    assert settings(bundle).get("preset", "published") == "published"


@pytest.mark.parametrize("made, told", [("0.1.0", True), (__version__, False), (None, False)])
def test_a_copy_of_another_version_is_told(bundle, made, told, caplog):
    required = {} if made is None else {"required_packages_version": {"medgenesis": made}}
    (bundle / "configs" / "metadata.json").write_text(json.dumps(required))
    with caplog.at_level(logging.WARNING):
        settings(bundle)
        settings(bundle)
    assert [f"made for medgenesis {made}, and {__version__} is" in one for one in caplog.messages] == [True] * told


def test_a_table_goes_before_weights_and_both_before_the_file(bundle):
    found = settings(bundle, {"width": 16, "spacing_mm": 1.0}, {"spacing_mm": 2.0})
    assert found == {"width": 16, "spacing_mm": 2.0}
