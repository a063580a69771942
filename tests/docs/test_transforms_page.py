"""The code on docs/transforms.md runs as it stands there: both overlays of MONAI's spleen bundle, all of the Python."""

import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, MetaTensor
from monai.networks.nets import UNet
from monai.utils import set_determinism

from medgenesis import transforms
from medgenesis.datasets.phantom import LABELS, make_phantom

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "transforms.md").read_text()
SPLEEN = next(value for value, name in LABELS.items() if name == "spleen")
SMALL = {  # seconds on one core; what the overlays set stays
    "epochs": 2,
    "device": "$torch.device('cpu')",
    "network_def::channels": [4, 8, 8, 8, 8],
    "train::random_transforms::0::spatial_size": [32, 32, 32],
    "train::random_transforms::0::num_samples": 2,
    "train::dataset::data": "$[{'image': i, 'label': l} for i, l in zip(@images[:1], @labels[:1])]",
    "train::dataset::num_workers": 0,
    "train::dataloader::batch_size": 1,
    "train::dataloader::num_workers": 0,
    "validate::dataset::data": "$[{'image': i, 'label': l} for i, l in zip(@images[1:], @labels[1:])]",
    "validate::dataloader::num_workers": 0,
}


def blocks(language):
    """The page's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def block(language, word):
    """The one block that holds a word."""
    (found,) = (text for text in blocks(language) if word in text)
    return found


def volume(*shape, seed=0):
    return MetaTensor(torch.rand(*shape, generator=torch.Generator().manual_seed(seed)))


@pytest.fixture(scope="module")
def spleens(tmp_path_factory):
    """Two phantoms with their spleens, on the grid that the bundle resamples to."""
    folder = tmp_path_factory.mktemp("spleens")
    for k in range(2):
        phantom = make_phantom(0, k, shape=(48, 48, 40))
        for part, array in (("imagesTr", phantom.image), ("labelsTr", (phantom.label == SPLEEN).astype(np.uint8))):
            (folder / part).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(array, np.diag([-1.5, -1.5, 2, 1])), folder / part / f"{k}.nii.gz")
    return folder


def configured(folder, overlay, monkeypatch):
    """The bundle with an overlay of the page, its "initialize" done, as `monai.bundle run` does it."""
    monkeypatch.chdir(folder)
    Path("overlay.yaml").write_text(overlay)
    config = ConfigParser()
    config.read_config([Path(__file__).with_name("spleen_bundle.yaml"), "overlay.yaml"])
    config.update(SMALL | {"dataset_dir": str(folder), "bundle_root": str(folder)})
    for k in range(len(config["initialize"])):
        config.get_parsed_content(f"initialize::{k}")
    return config


@pytest.fixture
def pretrained(spleens, monkeypatch, one_thread):
    overlay = block("yaml", "RandGenesisd")
    assert len(overlay.strip().splitlines()) < 15
    config = configured(spleens, overlay, monkeypatch)
    config["ckpt_dir"] = "pretrained"
    yield config
    set_determinism(None)


def test_the_spleen_bundle_becomes_pretraining_and_its_weights_start_the_segmentation(pretrained, spleens, monkeypatch):
    network = pretrained.get_parsed_content("network")
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trainer = pretrained.get_parsed_content("train::trainer")
    trainer.run()
    assert trainer.state.iteration == 2 and np.isfinite(trainer.state.output[0]["loss"])
    evaluator = pretrained.get_parsed_content("validate::evaluator")
    for section, engine in (("train", trainer), ("validate", evaluator)):
        whole = pretrained.get_parsed_content(f"{section}::dataset")._cache[0]["image"]
        for cube in engine.state.batch:
            assert cube["image"].shape == cube["label"].shape == (1, 32, 32, 32)
            assert torch.isin(cube["label"], whole).all(), "the target is the undamaged cube"
            assert len(cube["label"].unique()) > 2, "and no segmentation"
            assert not torch.equal(cube["image"], cube["label"]), "the network's input is damaged"
    weights = {name for name in before if name.endswith(("weight", "bias"))}
    assert any(not torch.equal(before[name], network.state_dict()[name]) for name in weights)
    assert torch.isfinite(evaluator.state.metric_details["val_error"]).all()

    segmentation = configured(spleens, block("yaml", "copy_model_state"), monkeypatch).get_parsed_content("network")
    saved, loaded = torch.load("pretrained/model.pt", weights_only=True), segmentation.state_dict()
    other = [name for name in saved if not torch.equal(saved[name], loaded[name])]
    assert other and all(name.startswith("model.2.") for name in other), "only the last layers start anew"
    assert f"model updated: {len(saved) - len(other)} of {len(saved)} variables" in PAGE


@pytest.fixture
def given():
    """The names that the page takes for granted."""
    network = UNet(3, 1, 1, channels=(4, 8), strides=(2,))
    return {
        "volume": volume(1, 32, 32, 20),
        "loader": DataLoader([{"image": volume(1, 32, 32, 16, seed=k)} for k in range(4)], batch_size=2),
        "device": torch.device("cpu"),
        "network": network,
        "optimizer": torch.optim.SGD(network.parameters(), 0.1),
        "torch": torch,
    }


@pytest.fixture
def page(given):
    """All names, after the page's Python code was run from top to bottom."""
    for text in blocks("python"):
        exec(text, given)
    return given


def test_the_plain_loop_trains_on_corrupted_batches(given):
    loop = block("python", "in loader:\n    corrupted")
    assert len(loop.strip().splitlines()) < 15
    before = [parameter.detach().clone() for parameter in given["network"].parameters()]
    exec(loop, given)
    assert torch.isin(given["target"], given["batch"]["image"]).all()
    assert not torch.isin(given["corrupted"], given["batch"]["image"]).all()
    after = list(given["network"].parameters())
    assert all(torch.isfinite(p).all() for p in after) and not all(map(torch.equal, before, after))


def test_what_was_drawn_is_replayed_as_the_page_says(page):
    assert torch.equal(page["again"], page["corrupted"])
    assert torch.equal(page["other"](page["volume"], randomize=False)[0], page["again"])


@pytest.mark.parametrize("workers", [1, 4])
def test_the_seeded_data_set_of_the_page_gives_the_same_for_any_number_of_workers(page, workers, one_thread):
    def epochs(workers):
        data = page["Seeded"](page["data"], transforms.RandGenesisd("image"))
        sampler = page["SeededSampler"](len(page["data"]), seed=3)
        loader = DataLoader(data, sampler=sampler, batch_size=2, num_workers=workers)
        for epoch in range(2):
            sampler.set_position(epoch)
            yield torch.cat([torch.cat([batch["image"], batch["target"]], 1) for batch in loader]).as_tensor()

    first, second = epochs(0)
    assert all(map(torch.equal, epochs(workers), (first, second)))
    assert len({cube.sum().item() for cube in (*first, *second)}) == 16, "each cube of each epoch is another"
