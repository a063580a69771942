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


def test_prompts_name_the_voxels_of_others(study):
    """Features by which ball and air are two directions: the answer is the ball, as far as the coarse grid shows it."""
    cases = [dataclasses.replace(case, label=(case.label > 0).to(torch.uint8)) for case in study.cases["training"]]

    class Tissue(torch.nn.Module):
        def forward(self, x):
            return torch.cat([(x < 0.35).float(), (x >= 0.35).float()], dim=1)

    found = dice_of_prompts(Tissue(), cases[:1], cases[1:], 1)
    assert found.shape == (5, 1) and found.min() > 0.9
