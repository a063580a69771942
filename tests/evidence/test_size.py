"""The programme at another size: its own networks, grid and rows; the same rules, on another device too."""

import dataclasses
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.evidence_rows import write_rows

from benchmarks.evidence import __main__ as command
from benchmarks.evidence import finetuning, pretexts, programme
from benchmarks.evidence.networks import restorer, segmenter
from benchmarks.evidence.page import PROTOCOL, write_page
from benchmarks.evidence.programme import Programme
from benchmarks.evidence.protocol import MEAN_MASK, SCRATCH
from benchmarks.evidence.rows import Cell
from benchmarks.evidence.size import FULL, SIZES, SMALL, Size

TINY = Size("tiny", 2, "resnet18_w8", 1, 3)


@pytest.fixture
def fine(study):
    """The small set with its images on the grid of the labels."""

    def enlarged(case):
        return dataclasses.replace(case, image=F.interpolate(case.image[None], scale_factor=2)[0], sides=(32, 24, 32))

    cases = {name: [enlarged(case) for case in some] for name, some in study.cases.items()}
    crop = TINY.crop(study.crop)
    return dataclasses.replace(study, cases=cases, unlabelled=cases["training"], crop=crop, size=TINY)


def test_a_crop_shows_the_same_part_of_the_image():
    assert SMALL.crop((16, 24, 8)) == (16, 24, 8) and FULL.crop((16, 24, 8)) == (32, 48, 16)
    assert SIZES == {"small": SMALL, "full": FULL}


def test_networks_are_those_of_the_size(fine, study):
    counts = [sum(one.numel() for one in segmenter(of, 0).parameters()) for of in (fine, study)]
    assert 10 < counts[1] / counts[0] < 17  # of widths 2 and 8
    assert restorer(fine).head.conv.out_channels == 1
    flat = dataclasses.replace(study, crop=(32, 32), size=FULL)
    first = next(one for one in segmenter(flat, 0).modules() if isinstance(one, torch.nn.Conv2d))
    assert first.out_channels == 64  # of ResNet-18 as published


def test_rows_of_two_sizes_never_mix(fine, study, tmp_path):
    cell = Cell("balls", "models_genesis", "finetuned", 1, 0, 0, 50)
    one, other = (Programme(of, tmp_path).settings(cell, 0.1) for of in (study, fine))
    assert one["pretext"]["steps"] == 1000 and other["pretext"]["steps"] == 3000 and "size" not in one
    paths = {Programme(of, tmp_path).row_file(cell, 0.1, tmp_path).path for of in (study, fine)}
    assert len(paths) == 2 and other["size"]["name"] == "tiny"


def _cells_run(study, folder, monkeypatch):
    """Dice of a fine-tuned, a frozen and a one-shot cell."""
    for name in ("models_genesis", "region_prompts"):
        short = dataclasses.replace(pretexts.PRETEXTS[name], steps=1, batch=2)
        monkeypatch.setitem(pretexts.PRETEXTS, name, short)
    monkeypatch.setattr(finetuning, "NORM_BATCHES", 1)
    made = Programme(study, folder, folder / "rows")
    cells = [("models_genesis", "finetuned", 2), ("models_genesis", "frozen", 0), ("region_prompts", "one_shot", 0)]
    cells.append((SCRATCH, "finetuned", 2))
    return [
        made._dice(Cell("balls", method, readout, 1, 0, 0, steps), 0.01, study.cases["test"])
        for method, readout, steps in cells
    ]


def test_every_readout_answers_on_the_grid_of_the_labels(fine, tmp_path, monkeypatch):
    trained = []
    own = pretexts.train
    monkeypatch.setattr(pretexts, "train", lambda *args, **named: trained.append(args[2]) or own(*args, **named))
    found = _cells_run(fine, tmp_path, monkeypatch)
    assert all(dice.shape == (3, 2) and np.isfinite(dice).all() for dice in found)
    assert trained == [3, 3]  # three times the steps


@pytest.mark.gpu
def test_every_readout_answers_on_a_gpu(fine, study, tmp_path, monkeypatch):
    for number, one in enumerate((fine, study)):
        found = _cells_run(dataclasses.replace(one, device="cuda"), tmp_path / str(number), monkeypatch)
        assert all(dice.shape == (3, 2) and np.isfinite(dice).all() for dice in found)


def test_the_command_keeps_each_size_in_a_folder_of_its_own(fine, study, tmp_path, monkeypatch):
    asked = []
    of_size = {"small": study, "full": dataclasses.replace(fine, size=FULL)}
    monkeypatch.setattr(command, "FOLDER", tmp_path / "rows")
    monkeypatch.setattr(
        command, "read_set", lambda name, work, size, device: asked.append(device) or of_size[size.name]
    )
    cell = Cell("balls", MEAN_MASK, "one_shot", 1, 0, 0, 0)
    monkeypatch.setattr(programme, "planned", lambda name: iter([cell]))
    threads = torch.get_num_threads()
    try:
        for size in SIZES:
            command.main(["run", "--set", "hippocampus", "--size", size, "--work", str(tmp_path / "work")])
    finally:
        torch.set_num_threads(threads)
    files = [
        sorted(path.name for path in folder.glob("*.csv")) for folder in (tmp_path / "rows", tmp_path / "rows/full")
    ]
    assert [len(names) for names in files] == [1, 1] and files[0] != files[1] and asked == ["cpu", "cpu"]


def test_the_page_of_another_size_is_secondary_and_its_link_holds(tmp_path):
    for steps in (50, 200):
        write_rows(tmp_path / "rows", "scratch", "finetuned", 1, steps, 0.5)
    page = write_page(tmp_path / "rows", tmp_path / "rows", FULL)
    text = page.read_text()
    assert "The primary end point. " not in text and "**All of this page is secondary**" in text
    assert "evidence tabulate --size full`" in text and "Learning rates" not in text
    (link,) = re.findall(r"\[the protocol\]\((.*)\)", text)
    assert (page.parent / link).resolve() == PROTOCOL
    assert "The primary end point. " in write_page(tmp_path / "rows", tmp_path).read_text()


def test_a_gpu_is_for_the_full_size(capsys):
    with pytest.raises(SystemExit):
        command.main(["run", "--device", "cuda"])
    assert "--device: must be cpu at the small size" in capsys.readouterr().err
