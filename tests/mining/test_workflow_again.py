"""A run of the config mine.yaml that is repeated or goes on: what is computed again, and what is not."""

import json
import shutil

import pytest
import torch
from helpers.mining_run import RESULTS, contents, mine

from medgenesis.engines import PretextTrainer
from medgenesis.errors import VolumeError
from medgenesis.mining import (
    PatternTable,
    discovery,
    workflow,
)


def test_a_second_run_computes_nothing(datalist, again, monkeypatch):
    before = contents(again)
    monkeypatch.setattr(PretextTrainer, "run", lambda self: pytest.fail("trained again"))
    for name in ("index_volumes", "extract_features", "discover", "one_pass"):
        monkeypatch.setattr(workflow, name, lambda *args, **kwargs: pytest.fail("computed again"))
    mine(datalist, again)
    assert contents(again) == before


def test_training_goes_on_where_it_was_stopped(datalist, mined, tmp_path, monkeypatch):
    run = PretextTrainer.run

    def stopped(self):
        self.state.max_epochs = 1
        run(self)
        raise SystemExit(143)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(PretextTrainer, "run", stopped)
        mine(datalist, tmp_path)
    assert not json.loads((tmp_path / "steps.json").read_text())["train_autoencoder"]["finished"]
    assert not RESULTS & {path.name for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="autoencoder/pretrained.pt: .*it was made with width = 2, now it is 4"):
        mine(datalist, tmp_path, width=4)
    mine(datalist, tmp_path)
    found, wanted = (
        torch.load(folder / "autoencoder" / "pretrained.pt", weights_only=True) for folder in (tmp_path, mined)
    )
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    tables = [PatternTable.load(folder / "patterns.json") for folder in (tmp_path, mined)]
    assert tables[0].training == tables[1].training


def test_discovery_goes_on_behind_the_last_class(datalist, mined, described, tmp_path, monkeypatch):
    discover, resumed = workflow.discover, []

    def watched(*args, resume, on_class, **kwargs):
        def stop_after_two(table):
            on_class(table)
            if resume is None and table.num_classes == 2:
                raise KeyboardInterrupt

        resumed.append(0 if resume is None else resume.num_classes)
        return discover(*args, resume=resume, on_class=stop_after_two, **kwargs)

    monkeypatch.setattr(workflow, "discover", watched)
    with pytest.raises(KeyboardInterrupt):
        mine(datalist, tmp_path, **described)
    left = {path.name for path in tmp_path.iterdir()}
    assert "patterns.partial.json" in left and "patterns.json" not in left
    with pytest.raises(ValueError, match="patterns.partial.json: .*it was made with seed = 0, now it is 1"):
        mine(datalist, tmp_path, **described, seed=1)
    mine(datalist, tmp_path, **described)
    assert resumed == [0, 2] and not (tmp_path / "patterns.partial.json").exists()
    assert PatternTable.load(tmp_path / "patterns.json").training == PatternTable.load(mined / "patterns.json").training


def test_what_was_removed_is_made_anew_and_nothing_else(datalist, again, monkeypatch):
    monkeypatch.setattr(PretextTrainer, "run", lambda self: pytest.fail("trained again"))
    monkeypatch.setattr(workflow, "extract_features", lambda *args, **kwargs: pytest.fail("described again"))
    for name in RESULTS - {"features.npz"}:
        (again / name).unlink()
    mine(datalist, again, classes=2)
    assert PatternTable.load(again / "patterns.json").num_classes == 2
    (again / "contact_sheet.png").unlink()
    mine(datalist, again, classes=2)
    assert (again / "contact_sheet.png").is_file()


def test_images_of_an_earlier_table_are_not_left_beside_a_new_one(datalist, again):
    (again / "patterns.json").unlink()
    with pytest.raises(ValueError, match=r"similarity.json: .*it was made with patterns \(fingerprint\)"):
        mine(datalist, again, classes=2)
    assert PatternTable.load(again / "patterns.json").num_classes == 2


@pytest.mark.parametrize("section", ["training", "validation"])
@pytest.mark.parametrize("learnt", [True, False])
def test_a_damaged_first_volume_is_skipped_again_and_again(datalist, described, tmp_path, section, learnt):
    copied = shutil.copytree(datalist.parent, tmp_path / "scans") / "datalist.json"
    listed = json.loads(copied.read_text())
    first = copied.parent / listed[section][0]["image"]
    first.write_bytes(b"no scan")
    few = {"train_patients": 3, "validation_patients": 1, "autoencoder_epochs": 1, "on_error": "skip"}
    features = {} if learnt else described
    for _ in range(2):
        mine(copied, tmp_path / "run", **few, **features)
        (tmp_path / "run" / "similarity.json").unlink()  # so that the second run has something to do
    table = PatternTable.load(tmp_path / "run" / "patterns.json")
    assert len(table.volumes) == 5 and str(first) not in {volume.image for volume in table.volumes}
    with pytest.raises(VolumeError, match=first.name):
        mine(copied, tmp_path / "strict", **{**few, "on_error": "stop"}, **features)


def test_the_folder_that_it_is_typed_in_does_not_matter(datalist, again, monkeypatch):
    monkeypatch.setattr(PretextTrainer, "run", lambda self: pytest.fail("trained again"))
    patient = json.loads(datalist.read_text())["training"][0]["patient"]
    for name in ("training", patient):
        (again / "elsewhere" / name).mkdir(parents=True)
        (again / "elsewhere" / name / "a.txt").write_text("1")
    monkeypatch.chdir(again / "elsewhere")
    cached = len(list((again / "cache").iterdir()))
    mine(datalist, again)
    assert len(list((again / "cache").iterdir())) == cached


def test_a_table_is_written_once_a_minute(datalist, described, tmp_path, monkeypatch):
    seen, save = [], PatternTable.save
    monkeypatch.setattr(PatternTable, "save", lambda self, path: (save(self, path), seen.append(self.num_classes)))
    mine(datalist, tmp_path / "fast", **described)
    assert seen == [3]
    monkeypatch.setattr(discovery, "_SAVE_EVERY", -1.0)
    mine(datalist, tmp_path / "slow", **described)
    assert seen == [3, 1, 2, 3, 3]
