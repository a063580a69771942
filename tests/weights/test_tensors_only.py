"""Reading a pickle with code in it: the tensors come out, and nothing of the file runs."""

import os
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from medgenesis.errors import CheckpointError
from medgenesis.networks import UNet3D
from medgenesis.weights import load_pretrained, load_published
from medgenesis.weights.contents import read_weights_file
from medgenesis.weights.tensors_only import StandIn, read_tensors_only


class Hostile:
    """Leaves a file behind if a reader calls what the pickle names."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


class Evaluated(Hostile):
    def __reduce__(self):
        return eval, (f"open({str(self.path)!r}, 'w')",)


@pytest.mark.parametrize("hostile", [Hostile, Evaluated])
@pytest.mark.parametrize("form", ["zip", "legacy", "plain"])
def test_nothing_runs(tmp_path, hostile, form):
    path, witness = tmp_path / "o.pt", tmp_path / "witness"
    content = {"a": torch.arange(3.0), "b": np.arange(2.0), "code": hostile(witness), "none": None}
    if form == "plain":
        path.write_bytes(pickle.dumps({**content, "a": content["a"].numpy()}))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    found = read_tensors_only(path)
    assert not witness.exists()
    assert torch.equal(torch.as_tensor(found["a"]), torch.arange(3.0)) and np.array_equal(found["b"], np.arange(2.0))
    assert isinstance(found["code"], StandIn) and str(witness) in found["code"].args[0]
    with pytest.raises(CheckpointError, match="o.pt: must .*--tensors-only"):
        load_pretrained(UNet3D(width=2), path)
    assert not witness.exists()


@pytest.mark.filterwarnings("ignore:Couldn't retrieve source")
@pytest.mark.parametrize("zipped", [True, False])
def test_a_whole_pickled_module_gives_its_state_dict(tmp_path, zipped):
    network = UNet3D(width=2)
    torch.save({"epoch": 3, "model": network}, tmp_path / "o.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="UNet3D, a class: a whole pickled network.*--tensors-only"):
        load_pretrained(UNet3D(width=2), tmp_path / "o.pt")
    other = UNet3D(width=2)
    assert load_pretrained(other, tmp_path / "o.pt", tensors_only=True, skip_head="never").complete
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    )


def test_what_is_passed_over_is_said(tmp_path, caplog):
    entries = {**UNet3D(width=2).state_dict(), "hparams": Hostile(tmp_path / "witness")}
    torch.save({"state_dict": entries}, tmp_path / "o.pt")
    assert load_pretrained(UNet3D(width=2), tmp_path / "o.pt", tensors_only=True).complete
    assert "passed over, as no tensors: 1 entries (hparams)" in caplog.text


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\x80\x04garbage", "must be a pickle of tensors"), (b"<html>", "a web page"), (b"", "an empty file")],
)
def test_what_is_no_pickle(tmp_path, content, words):
    (tmp_path / "o.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=words):
        load_published(tmp_path / "o.pt", tensors_only=True)
    with pytest.raises(CheckpointError, match="found no such file"):
        read_tensors_only(tmp_path / "missing.pt")


def test_torchscript_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "o.pt")
    with pytest.raises(CheckpointError, match="TorchScript archive, which holds code"):
        read_tensors_only(tmp_path / "o.pt")


class Looped(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.register_buffer("passing", torch.zeros(1), persistent=False)


def test_a_module_pickled_whole(tmp_path):
    module = Looped()
    torch.save(module, tmp_path / "m.pt")
    assert read_weights_file(tmp_path / "m.pt", tensors_only=True).keys() == module.state_dict().keys()
    module._modules["self"] = module
    torch.save(module, tmp_path / "m.pt")
    with pytest.raises(CheckpointError, match="m.pt: must be a checkpoint; found objects that hold each other"):
        read_weights_file(tmp_path / "m.pt", tensors_only=True)
