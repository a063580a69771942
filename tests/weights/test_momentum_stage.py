"""Full checkpoints of Adam and CAiD, to a stage of ours and back: every value once, and the next batch the same."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from medgenesis.errors import CheckpointError
from medgenesis.handlers import Checkpoints
from medgenesis.methods import Adam, CAiD, initialise_from_stage
from medgenesis.networks import ResNet25D, UNet25D
from medgenesis.weights.export import export_weights
from medgenesis.weights.inspection import inspect_weights
from medgenesis.weights.momentum_stage import is_momentum_stage, momentum_stage_keys, published_stage
from medgenesis.weights.origin import origin_of

NAME = "resnet18_w4"


def adam(level=2, **settings):
    return Adam(ResNet25D(NAME), level=level, dim=8, queue_size=16, **settings)


def caid(mode="caid"):
    network = UNet25D(NAME, activation="sigmoid") if mode == "caid" else ResNet25D(NAME)
    return CAiD(network, mode=mode, dim=8, queue_size=16)


def trained(method):
    """Every value another one, and integers too."""
    torch.manual_seed(1)
    state = {key: value + torch.rand(value.shape) if value.is_floating_point() else value + 3 for key, value in
             method.state_dict().items()}  # fmt: skip
    method.load_state_dict(state)
    return method


METHODS = {
    "adam": adam,
    "adam, one layer": lambda: adam(mlp=False),
    "caid": caid,
    "caid, id": lambda: caid("id"),
}


@pytest.mark.parametrize("name", METHODS)
def test_there_and_back(tmp_path, name):
    source, target = trained(METHODS[name]()), METHODS[name]()
    content = published_stage(source.state_dict())
    assert all(key.startswith("module.") for key in content["state_dict"]) and is_momentum_stage(content["state_dict"])
    torch.save({**content, "best_loss": torch.tensor(3.0), "optimizer": {"state": {}}}, tmp_path / "checkpoint.pth")
    initialise_from_stage(tmp_path / "checkpoint.pth", target)
    ours, theirs = target.state_dict(), source.state_dict()
    counts = {"discrimination.updates", "discrimination.batches"}
    assert all(torch.equal(ours[key], theirs[key]) for key in ours if key not in counts)
    # at 0 the first batch would copy the query branch over the key branch
    assert ours["discrimination.updates"] == 1 and ours["discrimination.batches"] == 0


def test_keys_as_the_published_programs_write_them():
    keys = published_stage(trained(adam()).state_dict())["state_dict"].keys()
    assert {"module.encoder_q.layer1.0.conv1.weight", "module.encoder_k.fc.2.bias", "module.queue_ptr"} <= keys
    content = published_stage(trained(caid()).state_dict())["state_dict"]
    wanted = ("encoder.conv1.weight", "decoder.blocks.0.conv1.0.weight", "segmentation_head.0.bias")
    assert all(f"module.encoder_{branch}.backbone.{key}" in content for branch in "qk" for key in wanted)
    assert "module.encoder_q.fc.0.weight" in content and content["module.queue"].shape == (8, 16)
    single = published_stage(trained(adam(mlp=False)).state_dict())["state_dict"]
    assert "module.encoder_q.fc.weight" in single and "module.encoder_q.fc.0.weight" not in single


def test_the_next_batch_is_that_of_an_uninterrupted_stage():
    """From the published form or from our own: the same loss, the same queue."""
    source = trained(adam())
    nn.init.normal_(source.discrimination.queue.keys)
    batch = {"image": torch.rand(4, 3, 32, 32), "key": torch.rand(4, 3, 32, 64)}
    outputs, queues = [], []
    for previous in ({"method": source.state_dict()}, published_stage(source.state_dict())):
        method = initialise_from_stage(previous, adam()).train()
        outputs.append(method(batch)["loss"])
        queues.append(method.discrimination.queue.keys.clone())
    assert torch.equal(outputs[0], outputs[1]) and torch.equal(queues[0], queues[1])


def test_the_terms_of_a_published_stage_stay_with_what_goes_on_from_it(tmp_path):
    """From their checkpoint to a stage of ours, to its last.pt and to the stage after that."""
    torch.save(published_stage(trained(adam()).state_dict()), tmp_path / "checkpoint.pth")
    method = initialise_from_stage(tmp_path / "checkpoint.pth", adam())
    for folder in ("one", "two"):
        saved = Checkpoints(tmp_path / folder)
        content = {"method": method.state_dict()}
        engine = SimpleNamespace(state=SimpleNamespace(rank=0), method=method, checkpoint=content.copy)
        (tmp_path / folder).mkdir()
        saved._save(engine, "last.pt")
        origin = inspect_weights(tmp_path / folder / "last.pt").origin
        assert origin["name"] == "adam or caid-id or caid" and origin["commercial_use"] is False
        assert origin["source"]["file"] == "checkpoint.pth" and origin["trained_further"]
        method = initialise_from_stage(tmp_path / folder / "last.pt", adam())
    assert origin_of(initialise_from_stage({"method": adam().state_dict()}, adam())) is None


def test_a_published_stage_of_another_size(tmp_path):
    content = published_stage(trained(adam()).state_dict())
    with pytest.raises(CheckpointError, match="must be the checkpoint of a stage with the same .*queue_size"):
        initialise_from_stage(content, Adam(ResNet25D(NAME), level=2, dim=8, queue_size=32))
    del content["state_dict"]["module.encoder_k.layer4.1.bn2.weight"]
    with pytest.raises(CheckpointError, match="1 of .* missing .*key_encoder.layer4.1.bn2.weight"):
        initialise_from_stage(content, adam())


def test_export_of_a_run(tmp_path):
    source = trained(adam())
    torch.save({"method": source.state_dict(), "epoch": 3}, tmp_path / "last.pt")
    export_weights(tmp_path / "last.pt", "momentum-contrast", tmp_path / "checkpoint.pth")
    content = torch.load(tmp_path / "checkpoint.pth", weights_only=True)
    assert momentum_stage_keys(content["state_dict"]).keys() == source.state_dict().keys() - {"discrimination.batches"}
    assert content["arch"] == NAME
    torch.save(source.network.state_dict(), tmp_path / "pretrained.pt")
    with pytest.raises(CheckpointError, match="pretrained.pt: must be last.pt of Adam or CAiD"):
        export_weights(tmp_path / "pretrained.pt", "momentum-contrast", tmp_path / "o.pth")
