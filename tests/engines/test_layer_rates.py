"""Rates of parts and layers: each weight at the rate of the formula."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medgenesis.engines import parameter_groups
from medgenesis.networks import UNet3D

NETWORK = UNet3D(width=1)
NAMES = [name for name, _ in NETWORK.named_parameters()]


def rates_of(groups):
    by_id = {id(weight): group["lr"] for group in groups for weight in group["params"]}
    return {name: by_id[id(weight)] for name, weight in NETWORK.named_parameters()}


@settings(max_examples=30, deadline=None)
@given(
    rate=st.floats(1e-5, 1),
    shares=st.dictionaries(st.sampled_from(["encoder", "decoder", "head"]), st.floats(0.01, 2)),
    decay=st.floats(0.3, 1),
)
def test_rates_follow_the_formula(rate, shares, decay):
    """Layer by its name: encoder.levels.i is i, decoder.levels.i is 4 + i, the head is 7 of 0 to 7."""
    found = rates_of(parameter_groups(NETWORK, rate, shares, decay))
    for name in NAMES:
        part, _, level = name.partition(".levels.")
        part = name.partition(".")[0]
        depth = 7 if part == "head" else int(level[0]) + (4 if part == "decoder" else 0)
        assert found[name] == pytest.approx(rate * shares.get(part, 1) * decay ** (7 - depth))


def test_one_rate_is_one_group_as_ever():
    (group,) = parameter_groups(NETWORK, 0.1)
    assert [id(one) for one in group["params"]] == [id(one) for one in NETWORK.parameters()]
    plain = torch.nn.Linear(2, 2)  # which says nothing of parts
    assert len(parameter_groups(plain, 0.1, {}, 1.0)) == 1


@pytest.mark.parametrize(
    "rates, decay, said",
    [({"body": 1}, 1, "rates: must name"), ({"head": 0}, 1, "rates: must be"), ({}, 0, "layer_decay: must be")],
)
def test_wrong_rates_are_refused(rates, decay, said):
    with pytest.raises(ValueError, match=said):
        parameter_groups(NETWORK, 0.1, rates, decay)
