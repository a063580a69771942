"""The catalogue: complete entries, and which one a file is."""

import re

import pytest
import torch
import yaml
from helpers.published_2d import backbone_shapes, unet_shapes

from medgenesis.bundles import names, path
from medgenesis.errors import CheckpointError
from medgenesis.networks.input_normalisation import INPUT_NORMALISATIONS
from medgenesis.weights import settings_of
from medgenesis.weights.catalog import CATALOG, candidates, chosen_entry, published
from medgenesis.weights.contents import Tensors
from medgenesis.weights.layouts import LAYOUTS
from medgenesis.weights.load import find_layout

# of the issue: what must be in it
WANTED = """models-genesis models-genesis-keras models-genesis-nnunet semantic-genesis transvw caid caid-id adam pirl
    moco-v2
    simclr-v1 byol swav supervised-r18 supervised-r50 supervised-d121 mimic-chexpert-lr-0.01 mimic-chexpert-lr-0.1
    mimic-chexpert-lr-1.0 moco-cxr-r18 moco-cxr-d121 openmind monai-swin-vit voco""".split()


def test_all_that_was_asked_for():
    listed = [entry.name for entry in CATALOG]
    assert len(set(listed)) == len(listed) and set(WANTED) <= set(listed)


def known_settings():
    texts = [file.read_text() for name in names() for file in (path(name) / "configs").glob("settings.yaml")]
    return {key for text in texts for key in re.findall(r"^(\w+):", text, flags=re.MULTILINE)}


@pytest.mark.parametrize("entry", CATALOG, ids=lambda entry: entry.name)
def test_entries_are_whole(entry):
    assert entry.layout in {layout.slug for layout in LAYOUTS}
    texts = (entry.title, entry.network, entry.learnt_from, entry.expects, entry.terms)
    assert all(texts) and entry.files and entry.address.startswith("https://")
    assert entry.commercial in (True, False, None)
    assert set(entry.settings) <= known_settings()
    assert entry.settings.get("input_normalisation", "none") in INPUT_NORMALISATIONS
    if "NC" in entry.terms or "non-commercial" in entry.terms or "research only" in entry.terms:
        assert entry.commercial is False


def shapes(entries):
    return {key: torch.empty(shape, device="meta") for key, shape in entries.items()}


def prefixed(prefix, entries):
    return {prefix + key: shape for key, shape in entries.items()}


R50, HEAD = backbone_shapes("resnet50"), {"fc.0.weight": (2, 2)}
FILES = {
    ("moco_v2_800ep_pretrain.pth.tar", "module.encoder_q.", "resnet50"): ["moco-v2"],
    ("checkpoint.pth", "module.encoder_q.", "resnet50"): ["caid-id", "adam"],
    ("best_checkpoint.pth", "", "resnet50"): ["caid-id", "adam"],
    ("mimic-chexpert_lr_0.1_bs_128_fd_128_qs_65536.pt", "model.encoder_q.", "densenet121"): ["mimic-chexpert-lr-0.1"],
    ("r8w-00001.pth.tar", "module.encoder_q.", "resnet18"): ["moco-cxr-r18"],
    ("d1w-00001.pth.tar", "module.encoder_q.", "densenet121"): ["moco-cxr-d121"],
    ("resnet18-f37072fd.pth", "", "resnet18"): ["supervised-r18"],
    ("densenet121-a639ec97.pth", "", "densenet121"): ["supervised-d121"],
    ("renamed.pt", "module.encoder_q.", "resnet18"): ["moco-cxr-r18"],
}


@pytest.mark.parametrize(("file", "prefix", "backbone"), FILES)
def test_which_one_a_file_may_be(file, prefix, backbone):
    entries = shapes(prefixed(prefix, backbone_shapes(backbone)))
    layout = find_layout(entries)
    known = layout.settings(layout.convert(entries))
    assert known["backbone"] == backbone
    found = candidates(file, layout, entries, known, {})
    assert [entry.name for entry in found] == FILES[file, prefix, backbone]


def test_a_fold_of_nnunet_and_two_of_nnssl():
    """All are called checkpoint_final.pth; the fold has the keys of OpenMind's encoder, and their terms differ."""
    keys = ("encoder.stem.convs.0.conv.weight", "encoder.stages.0.blocks.0.conv1.conv.weight")
    tensors = shapes(dict.fromkeys(keys, (32, 1, 3, 3, 3)))
    assert find_layout(Tensors(tensors, {"trainer_name": "nnUNetTrainer", "init_args": {}})) is None
    layout = find_layout(Tensors(tensors))
    found = candidates("checkpoint_final.pth", layout, tensors, {}, {})
    assert [entry.name for entry in found] == ["openmind", "nnfoundation-cnn"]


def test_what_entries_say_of_intensities_is_what_they_set():
    assert "intensity" not in published("models-genesis-nnunet").settings
    assert published("monai-swin-vit").settings["spacing_mm"] == [1.5, 1.5, 2.0]


def test_by_its_checksum_whatever_its_name():
    entries = shapes(prefixed("module.encoder_q.", R50))
    layout = find_layout(entries)
    found = candidates("checkpoint.pth", layout, entries, {"backbone": "resnet50"}, {"md5": "a04e12f8" + "0" * 24})
    assert [entry.name for entry in found] == ["moco-v2"]


def test_a_file_of_torchvision_is_told_by_what_its_name_holds():
    entries = shapes(R50)
    layout = find_layout(entries)
    known = layout.settings(layout.convert(entries))

    def found(file, sha256="f" * 64):
        return [entry.name for entry in candidates(file, layout, entries, known, {"sha256": sha256})]

    assert found("renamed.pt", "0676ba61" + "0" * 56) == found("resnet50-19c8e357.pth") == ["supervised-r50"]
    assert len(found("resnet50-11ad3fa6.pth")) > 1  # IMAGENET1K_V2, of another training: asked
    assert published("supervised-r50").contradicted_by({"sha256": "f" * 64, "md5": "0" * 32})
    assert not published("supervised-r50").contradicted_by({"sha256": "19c8e357" + "0" * 56, "md5": "0" * 32})
    assert not published("adam").contradicted_by({"sha256": "f" * 64, "md5": "0" * 32})  # none is known


@pytest.mark.parametrize("bundle", names())
def test_large_files_are_those_of_the_catalogue(bundle):
    """What `download_large_files` of MONAI fetches: one address and checksum a file, also in the catalogue."""
    for file in yaml.safe_load((path(bundle) / "large_files.yml").read_text())["large_files"]:
        (entry,) = [one for one in CATALOG if one.address == file["url"]]
        assert not entry.gated and entry.named(file["path"])
        known = f"{file['hash_type']}:{file['hash_val']}" if file["hash_val"] else None
        whole = [
            one for one in entry.digests if len(one.partition(":")[2]) >= 32
        ]  # of others the first digits are known
        assert known in (whole or [None])


@pytest.mark.parametrize("bundle", names())
def test_addresses_in_large_files_are_those_of_the_catalogue(bundle):
    """Of an author's repository one address, wherever it is named."""
    told = re.findall(r"github\.com/([\w.-]+/[\w-]+)", (path(bundle) / "large_files.yml").read_text())
    known = {found[1] for one in CATALOG if (found := re.match(r"https://github\.com/([\w.-]+/[\w-]+)", one.address))}
    assert {*told} - {"fhaghighi/TransVW"} <= known  # whose file the catalogue has by its own address


def test_several_must_be_told_apart(caplog):
    among = [published("adam"), published("caid-id")]
    with pytest.raises(
        CheckpointError, match=r"best.pth: must be told .*2 of them have \(adam, caid-id\). Add --entry"
    ):
        chosen_entry("best.pth", among, None)
    assert chosen_entry("best.pth", among, "adam") is among[0]
    assert chosen_entry("best.pth", among, "other") is None and chosen_entry("best.pth", [], None) is None
    with pytest.raises(ValueError, match="entry: must be one of models-genesis, .*; found 'adm'"):
        chosen_entry("best.pth", among, "adm")
    with pytest.raises(CheckpointError, match="must be a file of voco; found keys, a network or a checksum of another"):
        chosen_entry("best.pth", among, "voco")
    with pytest.raises(CheckpointError, match="which holds its own origin. Leave --entry out"):
        chosen_entry("pretrained.pt", [], "byol", ours=True)
    with pytest.raises(CheckpointError, match="a.pth: must be a file of byol; .* It may be none of the catalogue"):
        chosen_entry("a.pth", [], "byol")
    assert chosen_entry("a.pth", among[:1], "caid-id", among) is among[1]
    assert chosen_entry("a.pth", among[:1], None) is among[0]
    assert "a.pth: taken for adam by its keys alone" in caplog.text


def test_the_unet_of_caid_is_not_its_encoder():
    entries = shapes(unet_shapes())
    layout = find_layout(entries)
    assert [entry.name for entry in candidates("best_checkpoint.pth", layout, entries, {}, {})] == ["caid"]


@pytest.mark.parametrize(
    ("file", "normalisation"), [("moco_v2_800ep_pretrain.pth.tar", "imagenet"), ("checkpoint.pth", None)]
)
def test_a_file_that_starts_a_task_brings_what_it_tells(tmp_path, caplog, file, normalisation):
    entries = {key: torch.tensor(1.0).expand(shape) for key, shape in prefixed("module.encoder_q.", R50).items()}
    torch.save({"state_dict": entries}, tmp_path / file)
    found = settings_of(tmp_path / file)
    assert found["backbone"] == "resnet50" and found.get("input_normalisation") == normalisation
    told = "its keys do not tell its input_normalisation (caid-id: none, adam: imagenet): type it"
    assert (told in caplog.text) is (normalisation is None)
