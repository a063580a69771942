"""Encoders by their names: bundles, files, functions, controls, untrained ones."""

import sys
import types

import pytest
import torch

from medgenesis import bundles
from medgenesis.errors import CheckpointError, DatalistError
from medgenesis.networks import ResNet25D, UNet3D
from medgenesis.networks.input_normalisation import IMAGENET_MEAN, IMAGENET_STD
from medgenesis.storage.tables import read_table
from medgenesis.transfer.controls import control, hand_made, raw_intensities
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.named_encoder import open_encoder
from medgenesis.transfer.results import save_result
from medgenesis.weights.bundle_import import import_weights


@pytest.fixture
def resnet(tmp_path):
    """A ResNet-18 under torchvision's keys, with its classifier, as MoCo-CXR or torchvision might write it."""
    torch.manual_seed(1)
    weights = ResNet25D("resnet18").state_dict()
    torch.save({**weights, "fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}, tmp_path / "some.pth")
    return tmp_path / "some.pth"


def test_a_published_file_brings_its_own_normalisation(resnet):
    plain = ResNet25D("resnet18").eval()
    plain.load_state_dict({k: v for k, v in torch.load(resnet, weights_only=True).items() if not k.startswith("fc.")})
    batch = torch.rand(2, 3, 64, 64)
    mean, deviation = (torch.tensor(three)[:, None, None] for three in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        expected = {"supervised-r18": plain((batch - mean) / deviation), "other": plain(batch)}
    for entry, vectors in expected.items():
        encoder = open_encoder(f"mine={resnet}#{entry}")
        assert (encoder.name, encoder.dims, encoder.channels, encoder.size) == ("mine", 2, 3, (224, 224))
        assert torch.allclose(encoder.embed(batch), vectors, atol=1e-5)
        assert encoder.told["file"] == "some.pth" and str(resnet.parent) not in str(encoder.told)


def test_a_3d_file_of_ours_and_its_untrained_control(tmp_path):
    torch.manual_seed(3)
    network = UNet3D(width=4)
    torch.save(network.state_dict(), tmp_path / "own.pt")
    batch = torch.rand(1, 1, 16, 16, 16)
    encoder = open_encoder(str(tmp_path / "own.pt"))
    with torch.no_grad():
        expected = network.eval().encoder(batch)
    assert encoder.dims == 3 and encoder.name == "own"
    assert all(torch.equal(a, b) for a, b in zip(encoder.levels(batch), expected, strict=True))
    assert torch.allclose(encoder.embed(batch), expected[-1].mean((2, 3, 4)), atol=1e-6)
    one, same, other = (open_encoder(f"random:{tmp_path / 'own.pt'}", seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.embed(batch), same.embed(batch)) and one.fingerprint == same.fingerprint
    assert not torch.allclose(one.embed(batch), other.embed(batch)) and other.fingerprint != one.fingerprint
    assert not torch.allclose(one.embed(batch), encoder.embed(batch))
    assert one.name == "random:own" and one.told["untrained, seed"] == 0


def test_a_bundle_gives_the_encoder_and_settings_of_its_task_embed(tmp_path):
    folder = bundles.copy("models_genesis_ct", tmp_path / "mine")
    encoder = open_encoder(str(folder))  # the weights of the phantom
    assert encoder.name == "mine" and encoder.dims == 3 and encoder.intensity == "ct"
    assert encoder.told["weights"] == "phantom_demo_pretrained.pt"
    assert encoder.embed(torch.rand(1, 1, *encoder.size)).ndim == 2
    with pytest.raises(CheckpointError, match="must be the weights of the bundle; found no file"):
        open_encoder("region_prompts_ct")
    known = {"region_prompts_ct": (3, 1, (64, 64, 32)), "adam_cxr": (2, 3, (96, 96))}  # of the settings; of its weights
    for name, expected in known.items():
        untrained = open_encoder(f"random:{name}")
        assert (untrained.dims, untrained.channels, untrained.size) == expected


def import_of(network, folder, bundle, partial=False):
    """A file of some weights of a network, imported to a bundle's models."""
    torch.save(network, folder / "some.pt")
    configs = [bundles.path("models_genesis_ct") / "configs" / "pretrain.yaml"]
    import_weights(folder / "some.pt", configs, bundle / "models", given={"width": 4}, partial=partial)


def test_an_encoder_that_is_partly_random_says_so(tmp_path, caplog):
    torch.manual_seed(0)
    whole = UNet3D(width=4).state_dict()
    left = {key: value for key, value in whole.items() if not key.startswith("encoder.levels.3.")}
    folder = bundles.copy("models_genesis_ct", tmp_path / "mine")
    import_of(left, tmp_path, folder, partial=True)
    counted = {
        key: value.numel()
        for key, value in whole.items()
        if key.startswith("encoder.") and not key.endswith("num_batches_tracked")
    }
    share = sum(number for key, number in counted.items() if key in left) / sum(counted.values())
    for what in (folder, folder / "models" / "pretrained.pt"):
        caplog.clear()
        encoder = open_encoder(str(what))
        assert encoder.told["weights loaded"] == f"{len(counted.keys() & left.keys())} of {len(counted)}"
        assert encoder.told["share loaded"] == pytest.approx(share, abs=1e-4)
        assert "36 of 48 weights of the encoder" in caplog.text and "encoder.levels.3.0.conv.weight" in caplog.text
    save_result(tmp_path, "knn", {"name": "mine", **encoder.told}, {"dataset": "d"}, {}, {"auc": {"value": 0.5}})
    (row,) = read_table(tmp_path / "results.csv")
    assert row["weights loaded"] == "36 of 48" and float(row["share loaded"]) == pytest.approx(share, abs=1e-4)
    import_of(whole, tmp_path, folder)
    caplog.clear()
    for what in (str(folder), f"random:{folder}"):
        assert "weights loaded" not in open_encoder(what).told
    assert not caplog.messages


def test_a_name_stays_usable_beside_the_folder_of_its_runs(tmp_path, monkeypatch):
    """`weights import FILE --bundle models_genesis_ct` writes into models_genesis_ct/models of the current folder."""
    monkeypatch.chdir(tmp_path)
    before = open_encoder("models_genesis_ct")
    (tmp_path / "models_genesis_ct" / "runs").mkdir(parents=True)
    assert open_encoder("models_genesis_ct").fingerprint == before.fingerprint  # nothing was imported
    torch.manual_seed(1)
    network = UNet3D(width=4)
    import_of(network.state_dict(), tmp_path, tmp_path / "models_genesis_ct")
    encoder = open_encoder("models_genesis_ct")
    assert encoder.told["weights"] == "pretrained.pt" and encoder.told["bundle"] == "models_genesis_ct"
    own = network.encoder.state_dict()
    assert all(torch.equal(value, own[key]) for key, value in encoder.network.state_dict().items())
    assert open_encoder("random:models_genesis_ct").told["weights"] is None


def test_a_function_of_ones_own(monkeypatch):
    def embed(batch):
        return batch.flatten(1)[:, :7]

    def embed_without_dims(batch):
        return batch

    embed.dims, embed.size = 2, (16, 16)

    class Network(torch.nn.Module):
        dims, size, channels = 3, (8, 8, 8), 1

        def forward(self, batch):
            return [batch, batch[:, :, ::2]]

    module = types.ModuleType("mine_of_the_test")
    module.embed, module.Network, module.plain = embed, Network, embed_without_dims
    monkeypatch.setitem(sys.modules, "mine_of_the_test", module)
    assert open_encoder("mine_of_the_test:embed").embed(torch.rand(2, 3, 16, 16)).shape == (2, 7)
    assert len(open_encoder("a=mine_of_the_test:Network").levels(torch.rand(1, 1, 8, 8, 8))) == 2
    with pytest.raises(ValueError, match="must say by an attribute `dims`"):
        open_encoder("mine_of_the_test:plain")
    with pytest.raises(ValueError, match="must name a function or class that Python can import"):
        open_encoder("mine_of_the_test:absent")


def test_a_function_that_has_changed_and_another_normalisation_are_other_encoders(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for number in (1, 22):  # files of other sizes: nothing of the first is taken from a cache
        source = f"def embed(batch):\n    return batch.flatten(1)[:, :{number}]\n\n\nembed.dims = 2\n"
        (tmp_path / "changing_function.py").write_text(source)
        sys.modules.pop("changing_function", None)
        found.append(open_encoder("changing_function:embed").fingerprint)
    assert found[0] != found[1]
    networks = []
    for normalisation in ("none", "imagenet"):
        torch.manual_seed(0)
        networks.append(Encoder("a", ResNet25D("resnet18_w8", input_normalisation=normalisation), 2, 3, (32, 32)))
    assert networks[0].fingerprint != networks[1].fingerprint


def test_controls_are_what_they_say():
    batch = torch.rand(2, 1, 28, 28)
    assert torch.equal(raw_intensities(batch), batch.flatten(1))
    image = torch.zeros(1, 1, 10, 20)
    image[..., 4, 5] = 1
    found = hand_made(image)[0]
    assert found[:32].tolist() == pytest.approx([199 / 200, *[0] * 30, 1 / 200])
    assert found[32] == pytest.approx(1 / 200) and found[33:35].exp().tolist() == pytest.approx([10, 20])
    assert found[35:37].tolist() == pytest.approx([4 / 9, 5 / 19]) and found[37:].tolist() == pytest.approx(
        [0, 0], abs=1e-3
    )
    table = control("table")
    assert table.of_record({"numbers": {"b": 2, "a": 1}}).tolist() == [[1, 2]]
    with pytest.raises(DatalistError, match="^x: its record must have `numbers`"):
        table.of_record({"image": "x"})


def test_nothing_of_that_name_is_refused():
    with pytest.raises(ValueError, match="^encoder: must be a bundle .* found 'nothing'"):
        open_encoder("nothing")


class Filled(torch.nn.Module):
    """A network that comes with weights: all ones."""

    dims, channels, size = 2, 3, (16, 16)

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Conv2d(3, 4, 3)
        for parameter in self.parameters():
            torch.nn.init.ones_(parameter)

    def forward(self, batch):
        return self.body(batch)


class OwnWeight(Filled):
    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))


def test_an_untrained_function_has_none_of_its_weights(monkeypatch):
    module = types.ModuleType("mine")
    module.Filled, module.made, module.OwnWeight = Filled, Filled(), OwnWeight
    monkeypatch.setitem(sys.modules, "mine", module)
    ones = torch.ones(3 * 4 * 9)
    for what in ("mine:Filled", "mine:made"):
        assert torch.equal(open_encoder(what).network.body.weight.flatten(), ones)
        drawn = [open_encoder(f"random:{what}", seed=seed) for seed in (0, 0, 1)]
        first, same, other = (one.network.body.weight.flatten() for one in drawn)
        assert torch.equal(first, same) and not torch.equal(first, other) and not (first == 1).any()
        assert drawn[0].told["untrained, seed"] == 0
    assert torch.equal(module.made.body.weight.flatten(), ones)  # a copy was drawn
    with pytest.raises(ValueError, match="modules have reset_parameters, to be initialised anew; found OwnWeight in"):
        open_encoder("random:mine:OwnWeight")
