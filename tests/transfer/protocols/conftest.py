"""A comparison whose runs are stand-ins, for the tests of what it makes of them."""

import pytest
from helpers.comparison import made_comparison


@pytest.fixture
def comparison(tmp_path, monkeypatch):
    """A comparison whose fine-tuning draws Dice values, and the list of the runs that were asked for."""
    return made_comparison(tmp_path, monkeypatch)
