"""The study's encoders: overlays agree with the catalogue, and a published file gives the features that it should."""

import re

import numpy as np
import pytest
import torch
import yaml
from helpers.published_2d import backbone_shapes, random_weights
from helpers.study_encoders import CONFIGS, ENCODERS
from PIL import Image

from medgenesis.networks import ResNet25D
from medgenesis.storage import read_table
from medgenesis.weights.catalog import published
from medgenesis.weights.pretrained import load_pretrained


def test_they_are_the_thirteen_of_the_study():
    assert len(ENCODERS) == 13


@pytest.mark.parametrize("name", ENCODERS)
def test_an_overlay_says_what_the_catalogue_says(name):
    text = ENCODERS[name]
    entry, overlay = published(re.search(r"weights list (\S+)", text)[1]), yaml.safe_load(text)
    file = overlay.pop("init").rpartition("/")[2].strip("'")
    assert overlay == {key: entry.settings[key] for key in ("backbone", "input_normalisation")}
    assert entry.named(file) or f"--as {file.removesuffix('.pt')}" in text  # BYOL's is made of the published one
    page = (CONFIGS.parent / "docs" / "README.md").read_text()
    listed = re.search(r"mimic", name) and "`mimic-chexpert_lr_…_bs_128_fd_128_qs_65536.pt`" in page
    assert listed or f"`{file}`" in page
    large = yaml.safe_load((CONFIGS.parent / "large_files.yml").read_text())["large_files"]
    assert (entry.address in {one["url"] for one in large}) == (not entry.gated and entry.name != "byol")


def test_features_of_a_published_file_are_those_of_its_network(copied, tmp_path):
    bundle = copied("transfer_encoders", tmp_path / "study")
    (bundle.root / "models").mkdir()
    weights = random_weights(backbone_shapes("resnet18"))
    torch.save(weights, bundle.root / "models" / "resnet18-f37072fd.pth")
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "xray.png")
    (tmp_path / "list.json").write_text('{"training": [{"image": "xray.png", "intensity": "xray"}]}')
    bundle.run("embed", "supervised_r18", datalist=str(tmp_path / "list.json"), size=64)
    (row,) = read_table(bundle.root / "runs" / "embed" / "embeddings.csv")
    network = ResNet25D("resnet18", input_normalisation="none").eval()
    load_pretrained(network, weights, skip_head="never")
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]
    image = (torch.from_numpy(pixels / 255.0).float().expand(3, -1, -1) - mean) / deviation
    with torch.no_grad():
        expected = network(image[None])[0]
    found = [float(value) for key, value in row.items() if key != "image"]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
