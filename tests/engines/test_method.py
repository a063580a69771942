"""The contract of a pretext method: its defaults, and what the engine refuses."""

import pytest
import torch
from torch import nn

from medgenesis.engines import PretextEvaluator, PretextMethod
from medgenesis.engines.method import check_method


class Least(PretextMethod):
    """As little as a method needs."""

    def __init__(self):
        super().__init__()
        self.network = nn.Linear(2, 2)

    def forward(self, batch):
        return {"loss": self.network(batch["image"]).square().mean()}


def test_the_defaults_are_enough():
    method = Least()
    check_method(method)
    assert (method.parts, dict(method.settings), method.least_batch) == ((), {}, 1)
    method.check_batch(1)
    loader = [{"image": torch.ones(3, 2)}]
    evaluator = PretextEvaluator("cpu", loader, method)
    evaluator.run()
    expected = method.network(torch.ones(1, 2)).square().mean().item()
    assert evaluator.state.metrics["loss"] == pytest.approx(expected)


def test_what_does_not_restore_says_so():
    with pytest.raises(ValueError, match="^method: must restore images; found Least"):
        Least().restore(torch.zeros(1, 2))


@pytest.mark.parametrize("method", [nn.Linear(1, 1), object()])
def test_another_module_is_refused(method):
    with pytest.raises(ValueError, match=f"^method: .*PretextMethod; found {type(method).__name__}"):
        PretextEvaluator("cpu", [], method)


def test_a_method_without_network_is_refused():
    with pytest.raises(ValueError, match="^method: must have `network`"):
        check_method(PretextMethod())
