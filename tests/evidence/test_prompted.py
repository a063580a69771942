"""Pretexts of voxels in the programme: what they begin, and the answers of prompts."""

import dataclasses

import pytest
import torch

from benchmarks.evidence import pretexts
from benchmarks.evidence.frozen import frozen_network
from benchmarks.evidence.networks import segmenter
from benchmarks.evidence.prompted import dice_of_prompts
from medgenesis.weights import load_pretrained


@pytest.mark.parametrize("name", ["region_prompts", "dense_contrast", "position"])
def test_pretexts_of_voxels_begin_a_fine_tuning(name, tmp_path, study, monkeypatch):
    monkeypatch.setitem(pretexts.PRETEXTS, name, dataclasses.replace(pretexts.PRETEXTS[name], steps=2, batch=2))
    weights = pretexts.pretrained(name, study, 0, tmp_path)
    network = segmenter(study, seed=0)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    load_pretrained(network, weights, skip_head="always")
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key] if key.startswith("head.") else weights[key]), key
    frozen_network(study, weights, seed=0)


def test_each_level_of_adam_begins_with_the_backbone_of_the_one_before(study, tmp_path, monkeypatch):
    flat = dataclasses.replace(study, crop=(32, 32))
    moved = []

    def train(method, *args, **options):
        moved.append((method.level, float(method.network.conv1.weight.detach().flatten()[0])))
        torch.nn.init.constant_(method.network.conv1.weight, method.level + 1)

    monkeypatch.setattr(pretexts, "train", train)
    weights = pretexts.pretrained("adam", flat, 0, tmp_path)
    assert [level for level, _ in moved] == [0, 2, 4] and [first for _, first in moved[1:]] == [1, 3]
    assert (weights["conv1.weight"] == 5).all()
    network = segmenter(flat, seed=0)
    load_pretrained(network, weights, skip_head="always")
    assert (network.state_dict()["encoder.conv1.weight"] == 5).all()


def test_prompts_name_the_voxels_of_others(study):
    """Features by which ball and air are two directions: the answer is the ball, as far as the coarse grid shows it."""
    cases = [dataclasses.replace(case, label=(case.label > 0).to(torch.uint8)) for case in study.cases["training"]]

    class Tissue(torch.nn.Module):
        def forward(self, x):
            return torch.cat([(x < 0.35).float(), (x >= 0.35).float()], dim=1)

    found = dice_of_prompts(Tissue(), cases[:1], cases[1:], 1)
    assert found.shape == (5, 1) and found.min() > 0.9
