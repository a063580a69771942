"""A short run of benchmarks/fuzz_inputs.py: each kind of file and each kind of damage at least once."""

import importlib
import os
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def fuzz(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.chdir(BENCHMARKS)
    return importlib.import_module("fuzz_inputs")


def test_no_fault_in_a_short_run(fuzz, capsys):
    assert fuzz.main(["--count", "90", "--seed", "7"]) == 0, capsys.readouterr().out
    *kinds, every = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in kinds] == list(fuzz.KINDS)
    assert sum(map(int, every.split()[1:])) == 90 and every.split()[-5:] == ["0"] * 5


def test_faults_are_found(fuzz, monkeypatch, capsys):
    answers = {3: "silent", 5: None, 7: "not named: ValueError: no name"}

    def outcome(seed, number):
        if answers.get(number, "refused") is None:
            os._exit(9)
        return answers.get(number, "refused")

    monkeypatch.setattr(fuzz, "outcome", outcome)
    assert fuzz.main(["--count", "20"]) == 1
    out = capsys.readouterr().out
    assert out.splitlines()[-1].split() == ["all", "17", "0", "0", "1", "1", "0", "0", "1"]
    assert "input 3 (packed.mha, more): silent" in out and "input 5 (packed.mhd" in out and "no name" in out
