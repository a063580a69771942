"""Two gloo processes against the same by hand in one."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.two_processes import METHODS
from helpers.views import Backbone, Unet, two_views

from medgenesis.methods import BarlowTwins, CAiD, MomentumContrast

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What both processes saved."""
    folder = tmp_path_factory.mktemp("ranks")
    command = [sys.executable, "-m", "helpers.two_processes"]
    tests = Path(__file__).parents[1]
    processes = [
        subprocess.Popen([*command, str(rank), str(folder)], stderr=subprocess.PIPE, text=True, cwd=tests)
        for rank in (0, 1)
    ]
    complaints = [process.communicate(timeout=240)[1] for process in processes]
    assert all(process.returncode == 0 for process in processes), "\n".join(complaints)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def test_shuffled_batch_norm_is_the_permutation_by_hand(ranks):
    torch.manual_seed(0)
    backbone = Backbone()
    method, pair = MomentumContrast(backbone, dim=5, queue_size=24), two_views(8)
    torch.manual_seed(5)
    order = torch.randperm(8)  # as rank 0 draws it
    assert set(order[:4].tolist()) not in ({0, 1, 2, 3}, {4, 5, 6, 7})
    keys = torch.empty(8, 5)
    for rank, group in enumerate((order[:4], order[4:])):
        twin = copy.deepcopy(backbone)
        twin(pair["image"].chunk(2)[rank])  # the query pass, before the key branch is copied
        keys[group] = F.normalize(method.head(twin(pair["key"][group])), dim=1).detach()
        statistics = ranks[rank]["shuffled"]["state"]["key_encoder.norm.running_mean"]
        torch.testing.assert_close(statistics, twin.norm.running_mean)
    queries = [F.normalize(method.head(copy.deepcopy(backbone)(half)), dim=1) for half in pair["image"].chunk(2)]
    for rank, query in enumerate(queries):
        torch.testing.assert_close(ranks[rank]["shuffled"]["state"]["queue.keys"][:, :8].T, keys)
        positive = (query * keys.chunk(2)[rank]).sum(1).mean().item()
        assert ranks[rank]["shuffled"]["positive"].item() == pytest.approx(positive, abs=1e-5)
        assert ranks[rank]["shuffled"]["state"]["queue.pointer"].tolist() == [8]


@pytest.mark.parametrize("name", METHODS)
def test_both_ranks_end_with_the_same_state(ranks, name):
    """4 steps of 4 + 4; a module that the loss does not reach, or a queue changed in place, would have stopped them."""
    first, second = (results[name] for results in ranks)
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key
    if "discrimination.queue.pointer" in first:
        assert first["discrimination.queue.pointer"].tolist() == [4 * 8 % 24]
        assert first["discrimination.updates"] == 4


def test_a_part_is_frozen_and_thawed_alike_on_both_ranks(ranks):
    """The encoder's weights are rank 0's and stay for an epoch; gradients are then shared for it too."""
    first, second = (results["thawed"] for results in ranks)
    encoder = [name for name in first["0"] if name.startswith("network.encoder.")]
    for epoch in "123":
        for name, value in first[epoch].items():
            assert torch.equal(value, second[epoch][name]), (epoch, name)
    assert all(torch.equal(first["0"][name], first["1"][name]) for name in encoder)
    for before, after in (("1", "2"), ("2", "3")):
        assert any(not torch.equal(first[before][name], first[after][name]) for name in encoder)


def test_a_head_that_is_fitted_is_rank_0s_on_both_ranks(ranks):
    first, second = (results["probed"] for results in ranks)
    for moment in ("begun", "ended"):
        weights = [name for name in first[moment] if "running" not in name and "tracked" not in name]
        assert any(name.startswith("network.head.convs.") for name in weights)
        for name in weights:
            assert torch.equal(first[moment][name], second[moment][name]), (moment, name)


def test_barlow_twins_correlates_over_both_processes(ranks):
    torch.manual_seed(0)
    method = CAiD(Unet(), BarlowTwins, mode="id", dim=6)
    method.network.encoder.norm = torch.nn.Identity()
    method.discrimination.projector = torch.nn.Linear(6, 6)
    method(two_views(8))["loss"].backward()
    for results in ranks:
        for name, gradient in results["gradients"].items():
            torch.testing.assert_close(
                gradient, method.get_parameter(name).grad, rtol=1e-3, atol=1e-4
            )  # biases: rounding
        assert max(gradient.abs().max() for gradient in results["gradients"].values()) > 0.1


def test_the_global_batch_is_what_must_divide_the_queue(ranks):
    for results in ranks:
        assert "found 24 and a global batch of 16" in results["refused"]
