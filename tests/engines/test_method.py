"""The contract of a pretext method: its defaults, and what the engine refuses."""

import pytest
import torch
from monai.data import MetaTensor
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


class Sliced(PretextMethod):
    """Looks at every second voxel, of what the network gives and of the mask."""

    def __init__(self):
        super().__init__()
        self.network = nn.Conv3d(1, 1, 1)

    def forward(self, batch):
        hidden = batch["mask"][..., ::2, ::2, ::2]
        return {"loss": (self.network(batch["image"])[..., ::2, ::2, ::2] * hidden).sum()}


def test_batches_with_meta_data_are_compiled_as_plain_ones():
    method, image, mask = Sliced(), torch.rand(2, 1, 4, 4, 4), torch.rand(2, 1, 4, 4, 4) > 0.5
    batch = {"image": MetaTensor(image), "mask": MetaTensor(mask), "patient": ["p", "q"]}
    expected = (method.network(image) * mask)[..., ::2, ::2, ::2].sum().item()
    loss = method(batch)["loss"]
    assert type(loss) is torch.Tensor and loss.item() == pytest.approx(expected)
    assert isinstance(batch["image"], MetaTensor)  # the caller's own is left as it is
    loss = torch.compile(method, backend="aot_eager")(batch)["loss"]
    loss.backward()
    assert loss.item() == pytest.approx(expected) and method.network.weight.grad.abs().sum() > 0


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
