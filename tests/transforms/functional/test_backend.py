"""Which kernels serve: compiled ones, or torch's where numba is off or cannot be imported, with equal results."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.variants import SUBJECTS, build, call, cube

from medgenesis.transforms.functional import backend

RUN_ALL = """
import sys; sys.path.insert(0, sys.argv[1])
import torch
from helpers.variants import SUBJECTS, build, call, cube
from medgenesis.transforms.functional.backend import compiled_for
results = {name: call(build(name).set_random_state(1), cube(2, 20, 33, 12)) for name in SUBJECTS}
torch.save({"compiled": compiled_for(torch.zeros(1)) is not None, "results": results}, sys.argv[2])
"""


@pytest.mark.slow
def test_numba_switched_off_by_its_own_variable_gives_the_same(tmp_path):
    file = tmp_path / "results.pt"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    subprocess.run([sys.executable, "-c", RUN_ALL, Path(__file__).parents[2], file], env=environment, check=True)
    saved = torch.load(file, weights_only=True)
    assert not saved["compiled"] and set(saved["results"]) == set(SUBJECTS)
    for subject, found in saved["results"].items():
        expected = call(build(subject).set_random_state(1), cube(2, 20, 33, 12))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 if subject == "SemanticGenesis" else 2e-5)


@pytest.fixture
def asked_anew():
    """The choice is made once; the tests here have it made again."""
    backend._compiled.cache_clear()
    yield
    backend._compiled.cache_clear()


def test_numba_switched_off_serves_torch_without_a_word(monkeypatch, caplog, asked_anew):
    monkeypatch.setattr(pytest.importorskip("numba").config, "DISABLE_JIT", True)  # what the variable sets
    assert backend.compiled_for(torch.zeros(1)) is None and not caplog.records


def test_without_numba_torch_serves_and_says_so_once(monkeypatch, caplog, asked_anew):
    expected = call(build("Genesis").set_random_state(1), cube(1, 12, 12, 12))
    monkeypatch.setitem(sys.modules, "numba", None)  # what Python does for a module that is not there
    backend._compiled.cache_clear()
    with caplog.at_level(logging.WARNING):
        found = [call(build("Genesis").set_random_state(1), cube(1, 12, 12, 12)) for _ in range(2)]
    assert backend.compiled_for(torch.zeros(1)) is None
    assert [record.levelname for record in caplog.records if "numba" in record.message] == ["WARNING"]
    assert all((one - expected).abs().max() <= 2e-6 for one in found)


@pytest.mark.gpu
def test_compiled_kernels_never_get_a_tensor_of_another_device():
    assert backend.compiled_for(torch.zeros(1, device="cuda")) is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_what_compiled_kernels_read_is_contiguous_and_of_single_or_double_precision(dtype):
    volume = torch.rand(3, 4, 5, dtype=torch.float64).to(dtype).mT.requires_grad_()
    read = backend.as_float(volume)
    assert read.is_contiguous() and not read.requires_grad and torch.equal(read, volume.detach().to(read.dtype))
    assert read.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
