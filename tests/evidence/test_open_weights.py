"""Weights that are passed on: settings, terms and table go with them; sets whose licence forbids it are refused."""

import pytest
import torch
from helpers.evidence_rows import write_rows

from benchmarks.evidence import open_weights
from benchmarks.evidence.networks import restorer
from benchmarks.evidence.pretexts import PRETEXTS
from medgenesis.storage import read_checkpoint
from medgenesis.weights import settings_of


@pytest.fixture
def done(tmp_path, study):
    """Rows, and weights of seed 0."""
    for steps in (50, 200):
        write_rows(tmp_path / "rows", "scratch", "finetuned", 1, steps, 0.5)
        made = PRETEXTS["models_genesis"].plain(study)
        write_rows(tmp_path / "rows", "models_genesis", "finetuned", 1, steps, 0.6, pretext=made)
        write_rows(tmp_path / "rows", "position", "finetuned", 1, steps, 0.6)
    (tmp_path / "hippocampus").mkdir()
    torch.manual_seed(0)
    torch.save(restorer(study).state_dict(), tmp_path / "hippocampus" / "models_genesis-s0-abc.pt")
    return tmp_path


def test_file_and_card(done):
    path = open_weights.write_open("hippocampus", "models_genesis", done, done / "rows", done / "out")
    kept = settings_of(path)
    assert kept["width"] == 8 and kept["spacing_mm"] == [2.0] * 3 and kept.origin["terms"].startswith("CC BY-SA 4.0")
    made = read_checkpoint(done / "hippocampus" / "models_genesis-s0-abc.pt")
    for key, value in read_checkpoint(path).items():
        torch.testing.assert_close(value.float(), made[key].float(), atol=1e-3, rtol=1e-3)
    card = path.with_suffix(".md").read_text()
    assert (
        "license: cc-by-sa-4.0" in card
        and "no clinical model" in card
        and "steps 1000, batch 4" in card
        and "Simpson et al." in card
    )
    assert "| 50 | models_genesis | " in card and "+0.100 [+0.100, +0.100]" in card and "position" not in card


@pytest.mark.parametrize(
    "dataset, method, said",
    [
        ("lungs", "models_genesis", "set: must be one whose licence permits to pass weights on"),
        ("prostate", "models_genesis", "must have test rows of models_genesis on prostate"),
        ("hippocampus", "dense_contrast", "must have test rows of dense_contrast"),
        ("hippocampus", "position", r"must hold one file position-s0-\*.pt; found 0"),
    ],
)
def test_what_cannot_be_passed_on_is_refused(done, dataset, method, said):
    with pytest.raises(ValueError, match=said):
        open_weights.write_open(dataset, method, done, done / "rows", done / "out")


def test_a_card_alone_leaves_the_weights_as_they_are(done):
    given = ("hippocampus", "models_genesis")
    with pytest.raises(ValueError, match="must be there for a card alone; found none"):
        open_weights.write_open(*given, None, done / "rows", done / "out")
    path = open_weights.write_open(*given, done, done / "rows", done / "out")
    weights, card = path.read_bytes(), path.with_suffix(".md").read_text()
    for method, dice in (("scratch_levels", 0.55), ("scratch_probed", 0.5), ("models_genesis_probed", 0.7)):
        write_rows(done / "rows", method, "finetuned", 1, 50, dice, draws=range(20))
    assert open_weights.write_open(*given, None, done / "rows", done / "out") == path
    assert path.read_bytes() == weights
    added = set(path.with_suffix(".md").read_text().splitlines()) - set(card.splitlines())
    assert any(line.startswith("| 50 | models_genesis | as readout |") for line in added)
