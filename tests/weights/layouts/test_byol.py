"""BYOL's pickle of JAX and Haiku, written here with classes that nobody else has, onto the backbone."""

import collections
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from helpers.published_2d import backbone_maps, backbone_shapes, random_weights

from medgenesis.errors import CheckpointError
from medgenesis.networks import ResNet25D
from medgenesis.weights import load_pretrained, load_published

NAME = "resnet18"


def haiku_trees(weights):
    """The same values as parameters and statistics by Haiku's names, in alphabetical order as the file holds them."""
    params, state = collections.defaultdict(dict), collections.defaultdict(dict)
    for key, value in weights.items():
        layer, name = key.rsplit(".", 1)
        if name == "num_batches_tracked":
            continue
        parts = layer.split(".")
        if parts[0] in ("conv1", "bn1"):
            module = "res_net18/~/initial_" + ("conv" if parts[0] == "conv1" else "batchnorm")
        else:
            block = f"res_net18/~/block_group_{int(parts[0][5:]) - 1}/~/block_{parts[1]}/~/"
            if parts[2] == "downsample":
                module = block + ("shortcut_conv" if parts[3] == "0" else "shortcut_batchnorm")
            else:
                kind, number = parts[2][:-1], int(parts[2][-1]) - 1
                module = block + {"conv": "conv_", "bn": "batchnorm_"}[kind] + str(number)
        array = value.numpy()
        if value.ndim == 4:
            params[module]["w"] = array.transpose(2, 3, 1, 0)
        elif name in ("weight", "bias"):
            params[module]["scale" if name == "weight" else "offset"] = array.reshape(1, 1, 1, -1)
        else:
            at = f"{module}/~/{'mean' if name == 'running_mean' else 'var'}_ema"
            state[at] = {"average": array.reshape(1, 1, 1, -1), "counter": np.array(9), "hidden": array.reshape(-1) + 1}
    params["projector/linear"]["w"] = np.ones((2, 2), np.float32)
    return [{key: dict(tree[key]) for key in sorted(tree)} for tree in (params, state)]


class Frozen:
    """As haiku's frozen mapping: rebuilt from a dictionary."""

    def __init__(self, mapping):
        self.mapping = mapping

    def __reduce__(self):
        return Frozen, (dict(self.mapping),)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A file whose classes live in modules that are gone when it is read."""
    modules = {name: types.ModuleType(name) for name in ("haiku_of_the_test", "byol_of_the_test")}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    fields = ["online_params", "target_params", "online_state", "target_state", "opt_state"]
    state_class = collections.namedtuple("ExperimentState", fields, module="byol_of_the_test")
    modules["byol_of_the_test"].ExperimentState = state_class
    monkeypatch.setattr(Frozen, "__module__", "haiku_of_the_test")
    modules["haiku_of_the_test"].Frozen = Frozen

    def write(weights, wrap=Frozen):
        params, state = haiku_trees(weights)
        target = haiku_trees({key: value * 0 - 1 for key, value in weights.items()})
        content = state_class(wrap(params), wrap(target[0]), wrap(state), wrap(target[1]), {"count": np.array(3)})
        path = tmp_path / "pretrain_res50x1.pkl"
        path.write_bytes(pickle.dumps({"experiment_state": content, "step": 7, "rng": np.zeros(2)}, protocol=2))
        for name in modules:
            monkeypatch.delitem(sys.modules, name, raising=False)
        return path

    return write


@pytest.mark.parametrize("wrap", [Frozen, dict])
def test_by_names_onto_the_backbone(published, wrap):
    weights = random_weights(backbone_shapes(NAME))
    path = published(weights, wrap)
    network = ResNet25D(NAME).eval()
    report = load_pretrained(network, path, skip_head="never", tensors_only=True)
    assert report.complete and report.layout == "BYOL of JAX"
    assert "projector/linear/w" in report.dropped and len(report.made) == 20
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = backbone_maps(weights, x)[-1].mean((2, 3))
        assert torch.allclose(network(x), expected, atol=1e-4 * expected.abs().max())


def test_only_where_it_is_asked_for(published):
    path = published(random_weights(backbone_shapes(NAME)))
    with pytest.raises(CheckpointError, match="pretrain_res50x1.pkl: must .*"):
        load_published(path)


def test_a_layer_is_missing(published):
    weights = random_weights(backbone_shapes(NAME))
    path = published({key: value for key, value in weights.items() if not key.startswith("layer2.1.conv2")})
    with pytest.raises(CheckpointError, match="1 missing in the file .layer2.1.conv2.weight"):
        load_published(path, tensors_only=True)
