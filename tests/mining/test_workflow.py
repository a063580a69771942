"""The four steps as the config mine.yaml chains them: what they leave, how they go on, what they refuse."""

import csv
import json
import os
import shutil
import sys

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.data import Dataset, load_decathlon_datalist
from PIL import Image

from medgenesis import bundles
from medgenesis.data import preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.engines import PretextEvaluator, PretextTrainer
from medgenesis.errors import CheckpointError, DatalistError, VolumeError, cause_of
from medgenesis.mining import (
    PatternTable,
    ResizeVolumed,
    VolumeFeatures,
    VolumeLoader,
    partial,
    pattern_similarity,
    records_to_mine,
    volume_features,
    workflow,
)
from medgenesis.mining.workflow import MiningRun
from medgenesis.networks import AutoEncoder3D, UNet3D
from medgenesis.weights import load_pretrained

TINY = {
    "width": 2,
    "volume_size": [16, 16, 16],
    "cube_size": [8, 8, 6],
    "crop_criterion": "any",
    "min_distance": 3,
    "classes": 3,
    "train_patients": 3,
    "validation_patients": 2,
    "autoencoder_epochs": 2,
    "volumes_per_batch": 2,
    "num_workers": 0,
    "device": "cpu",
}
RESULTS = {"features.npz", "patterns.json", "similarity.json", "contact_sheet.png", "features.png"}


@pytest.fixture(scope="module")
def datalist(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("phantoms"), 6, 0, shape=(24, 24, 20), split=(0.7, 0.3, 0.0))


def parsed(datalist, folder, **settings):
    root = bundles.path("semantic_genesis_ct")
    settings = {"bundle_root": str(root), "datalist": str(datalist), "output_dir": str(folder), **TINY, **settings}
    made = ConfigWorkflow(f"{root}/configs/mine.yaml", workflow_type=None, logging_file=False, **settings)
    made.initialize()
    return made


def mine(datalist, folder, **settings):
    """Run the config; its error is the one that a user sees last."""
    try:
        parsed(datalist, folder, **settings).run()
    except RuntimeError as error:
        raise cause_of(error) from None


@pytest.fixture(scope="module")
def mined(datalist, tmp_path_factory):
    """A folder where all is done."""
    folder = tmp_path_factory.mktemp("run") / "mined"
    mine(datalist, folder)
    return folder


@pytest.fixture
def again(mined, tmp_path):
    """A copy of it, as deep in the tree: paths of patterns.json stay right."""
    return shutil.copytree(mined, mined.parent / tmp_path.name)


@pytest.fixture
def described(datalist, mined):
    """Settings with which no auto-encoder is learnt, which saves time."""
    return {"features": str(mined / "autoencoder" / "pretrained.pt")}


def contents(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


# what they leave


def test_a_table_images_and_numbers(datalist, mined):
    assert RESULTS <= {path.name for path in mined.iterdir()}
    table = PatternTable.load(mined / "patterns.json")
    assert table.class_counts("training") == dict.fromkeys(range(3), 3)
    assert table.class_counts("validation") == dict.fromkeys(range(3), 2)
    assert len(load_decathlon_datalist(str(mined / "patterns.json"), data_list_key="training")) == 9
    assert VolumeFeatures.load(mined / "features.npz").vectors.shape == (6, 16 * TINY["width"])
    assert all(np.ptp(np.asarray(Image.open(mined / name))) > 0 for name in ("contact_sheet.png", "features.png"))
    listed = json.loads(datalist.read_text())
    keys = {record["patient"] for section in ("training", "validation") for record in listed[section]}
    assert {volume.patient for volume in table.volumes} == keys
    assert not any(key in (mined / name).read_text() for key in keys for name in ("steps.json", "similarity.json"))


def test_the_numbers_are_those_of_both_sections(mined):
    found = json.loads((mined / "similarity.json").read_text())
    table = PatternTable.load(mined / "patterns.json")
    load = VolumeLoader(table.volumes, preprocessing())
    for section in ("training", "validation"):
        wanted = vars(pattern_similarity(table, load, section=section))
        assert found[section].keys() == wanted.keys()
        assert all(found[section][name] == pytest.approx(value) for name, value in wanted.items())


def test_undefined_numbers_are_null(datalist, described, tmp_path):
    mine(datalist, tmp_path, **described, validation_patients=1)
    found = json.loads((tmp_path / "similarity.json").read_text(), parse_constant=pytest.fail)
    assert found["validation"]["within"] is None and found["validation"]["per_class"] == [None] * 3


def test_the_features_are_those_of_the_best_auto_encoder(datalist, mined):
    network = AutoEncoder3D(width=TINY["width"])
    load_pretrained(network, mined / "autoencoder" / "pretrained.pt", skip_head="never")
    dataset = Dataset(records_to_mine(datalist), preprocessing())
    wanted = volume_features(network, dataset, TINY["volume_size"])
    found = VolumeFeatures.load(mined / "features.npz")
    assert found.volumes == wanted.volumes
    np.testing.assert_allclose(found.vectors, wanted.vectors, rtol=1e-5, atol=1e-6)
    assert found.vectors.std(axis=0).max() > 0


def test_the_auto_encoder_learns_from_whole_volumes(datalist, mined, tmp_path):
    made = parsed(datalist, tmp_path)
    (training, validation) = (made.parser.get_parsed_content(f"{name}#dataset") for name in ("train", "validate"))
    assert (len(training), len(validation)) == (4, 2)
    resize = ResizeVolumed("image", TINY["volume_size"])
    for record, sample in zip(records_to_mine(datalist)[:4], training, strict=False):
        whole = resize(preprocessing()(record))["image"].as_tensor()
        assert torch.equal(sample["image"], sample["target"]) and torch.equal(sample["image"], whole)
    with (mined / "autoencoder" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"] and float(rows[1]["loss"]) < float(rows[0]["loss"])


@pytest.mark.parametrize("features, kind", [("bottleneck", AutoEncoder3D), ("unet", UNet3D)])
def test_the_variants(datalist, tmp_path, features, kind):
    made = parsed(datalist, tmp_path, features=features)
    trainer = made.parser.get_parsed_content("train#trainer")
    assert type(trainer.method.network) is kind
    assert isinstance(trainer.lr_scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau)


def test_the_bottleneck_variant_describes_too(datalist, mined, tmp_path):
    mine(datalist, tmp_path, features="bottleneck", autoencoder_epochs=1, validation_patients=0)
    vectors = VolumeFeatures.load(tmp_path / "features.npz").vectors
    assert vectors.shape == (6, 32) and not np.allclose(vectors, VolumeFeatures.load(mined / "features.npz").vectors)


def test_a_plateau_halves_the_rate(datalist, tmp_path, monkeypatch):
    evaluate = PretextEvaluator._iteration
    flat = {"loss": torch.tensor(1.0)}
    monkeypatch.setattr(PretextEvaluator, "_iteration", lambda *args: {**evaluate(*args), **flat})
    trainer = parsed(datalist, tmp_path, lr_patience=0, autoencoder_epochs=3).parser.get_parsed_content("train#trainer")
    trainer.run()
    assert trainer.optimizer.param_groups[0]["lr"] == 0.001 / 4, "the first epoch is the best, two are not better"


def test_a_checkpoint_in_place_of_an_auto_encoder(datalist, mined, described, tmp_path, monkeypatch):
    monkeypatch.setattr(PretextTrainer, "run", lambda self: pytest.fail("nothing is to be learnt"))
    made = parsed(datalist, tmp_path, **described)
    made.run()
    assert len(made.parser.get_parsed_content("train#dataset")) == 1, "one volume stands for all"
    found, wanted = (PatternTable.load(folder / "patterns.json") for folder in (tmp_path, mined))
    assert (found.training, found.validation) == (wanted.training, wanted.validation)
    assert not (tmp_path / "autoencoder" / "pretrained.pt").exists()


# how they go on


def test_a_second_run_computes_nothing(datalist, again, monkeypatch):
    before = contents(again)
    monkeypatch.setattr(PretextTrainer, "run", lambda self: pytest.fail("trained again"))
    for name in ("volume_features", "discover", "pattern_similarity", "draw_contact_sheet"):
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
    assert not json.loads((tmp_path / "steps.json").read_text())["autoencoder"]["finished"]
    assert not RESULTS & {path.name for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match="autoencoder/pretrained.pt: was made with width = 2, now it is 4"):
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
    with pytest.raises(ValueError, match="patterns.partial.json: was made with seed = 0, now it is 1"):
        mine(datalist, tmp_path, **described, seed=1)
    mine(datalist, tmp_path, **described)
    assert resumed == [0, 2] and not (tmp_path / "patterns.partial.json").exists()
    assert PatternTable.load(tmp_path / "patterns.json").training == PatternTable.load(mined / "patterns.json").training


def test_what_was_removed_is_made_anew_and_nothing_else(datalist, again, monkeypatch):
    monkeypatch.setattr(PretextTrainer, "run", lambda self: pytest.fail("trained again"))
    monkeypatch.setattr(workflow, "volume_features", lambda *args, **kwargs: pytest.fail("described again"))
    for name in RESULTS - {"features.npz"}:
        (again / name).unlink()
    mine(datalist, again, classes=2)
    assert PatternTable.load(again / "patterns.json").num_classes == 2
    (again / "contact_sheet.png").unlink()
    mine(datalist, again, classes=2)
    assert (again / "contact_sheet.png").is_file()


def test_images_of_an_earlier_table_are_not_left_beside_a_new_one(datalist, again):
    (again / "patterns.json").unlink()
    with pytest.raises(ValueError, match=r"similarity.json: was made with patterns \(checksum\)"):
        mine(datalist, again, classes=2)
    assert PatternTable.load(again / "patterns.json").num_classes == 2


# what they refuse


@pytest.mark.parametrize(
    "settings, file",
    [
        ({"width": 4}, "autoencoder/pretrained.pt"),
        ({"features": "unet"}, "autoencoder/pretrained.pt"),
        ({"intensity": {"preset": "custom", "a_min": -1000, "a_max": 999}}, "autoencoder/pretrained.pt"),
        ({"volume_size": [16, 16, 8]}, "autoencoder/pretrained.pt"),
        ({"classes": 2}, "patterns.json"),
        ({"min_distance": 4}, "patterns.json"),
        ({"crop_criterion": "foreground"}, "patterns.json"),
        ({"multi_resolution": True}, "patterns.json"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_other_settings_overwrite_nothing(datalist, mined, settings, file):
    before = contents(mined)
    with pytest.raises(ValueError, match=f"{file}: was made with .*choose another folder, or remove"):
        mine(datalist, mined, **settings)
    assert contents(mined) == before


def test_other_weights_are_other_settings(datalist, mined, described, tmp_path):
    mine(datalist, tmp_path, **described)
    weights = torch.load(described["features"], weights_only=True)
    weights["encoder.levels.0.0.conv.weight"] *= 2
    torch.save(weights, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=r"features.npz: was made with weights \(checksum\)"):
        mine(datalist, tmp_path, features=str(tmp_path / "other.pt"))


def test_volumes_that_have_changed_are_other_volumes(datalist, again, tmp_path):
    copied = shutil.copytree(datalist.parent, tmp_path / "moved") / "datalist.json"
    with pytest.raises(ValueError, match=r"was made with volumes \(checksum\)"):
        mine(copied, again)
    image = next((copied.parent / "images").iterdir())
    mine(copied, tmp_path / "new", features=str(again / "autoencoder" / "pretrained.pt"))
    os.utime(image, ns=(0, 0))
    with pytest.raises(ValueError, match=r"features.npz: was made with volumes \(checksum\)"):
        mine(copied, tmp_path / "new", features=str(again / "autoencoder" / "pretrained.pt"))
    image.unlink()
    with pytest.raises(DatalistError, match=image.name):
        mine(copied, tmp_path / "new")
    with pytest.raises(DatalistError, match=f"patterns.json: 1 of 6 volumes are absent, the first .*{image.name}"):
        PatternTable.load(tmp_path / "new" / "patterns.json")


def test_a_training_without_weights_is_no_success(datalist, tmp_path, monkeypatch):
    monkeypatch.setattr(PretextTrainer, "run", lambda self: None)
    with pytest.raises(CheckpointError, match="pretrained.pt: was not written"):
        mine(datalist, tmp_path)
    assert not json.loads((tmp_path / "steps.json").read_text())["autoencoder"]["finished"]


class Unread:
    """A preprocessing that must not be called."""

    def __call__(self, record):
        pytest.fail("read before the settings were checked")


@pytest.mark.parametrize(
    "settings, error, said",
    [
        ({"discovery": {"train_patients": 5}}, DatalistError, "`train_patients` is 5 .* 'training' has 4 patients"),
        ({"discovery": {"classes": 5}}, DatalistError, "`classes` is 5"),
        ({"discovery": {"validation_patients": 3}}, DatalistError, "'validation' has 2 patients"),
        ({"discovery": {"rule": "heart"}}, ValueError, "heart"),
        ({"discovery": {"coordinates": "mm"}}, ValueError, "`coordinates` must be one of auto, voxel, body, got 'mm'"),
        ({"discovery": {"index": "tree"}}, ValueError, "`index` must be one of"),
        ({"discovery": {"cube_size": [8, 8]}}, ValueError, "`cube_size` must be three sides"),
        ({"discovery": {"classes": 1}}, ValueError, "`classes` must be at least 2"),
        ({"discovery": {"clases": 3}}, TypeError, "clases"),
        ({"features": "bottelneck"}, ValueError, "bottleneck, unet or the file of a checkpoint, got 'bottelneck'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_work_is_said_before_anything_is_read(datalist, tmp_path, settings, error, said):
    records = records_to_mine(datalist)
    discovery = {"classes": 3, "train_patients": 3, "validation_patients": 2, **settings.pop("discovery", {})}
    with pytest.raises(error, match=said):
        MiningRun(Dataset(records, Unread()), tmp_path / "run", discovery=discovery, **settings)
    assert not (tmp_path / "run").exists()


def test_a_missing_index_is_said_before_anything_is_read(datalist, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    few = {"classes": 3, "train_patients": 3, "validation_patients": 2, "index": "faiss"}
    with pytest.raises(ImportError, match="pip install"):
        MiningRun(Dataset(records_to_mine(datalist), Unread()), tmp_path, discovery=few)


def test_cubes_that_no_network_of_ours_takes_are_said(datalist, tmp_path, caplog):
    few = {"classes": 3, "train_patients": 3, "validation_patients": 2}
    MiningRun(Dataset(records_to_mine(datalist), Unread()), tmp_path, discovery={**few, "cube_size": [16, 16, 8]})
    assert not caplog.text
    MiningRun(Dataset(records_to_mine(datalist), Unread()), tmp_path, discovery={**few, "cube_size": [16, 16, 6]})
    assert "[16, 16, 6] voxels: UNet3D and YNet3D learn from cubes whose sides divide by 8" in caplog.text


def dark(path, of=0.05):
    """What mining takes for air: the scan at a fraction of its range above air."""
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image((image.get_fdata() + 1000) * of - 1000, image.affine), path)


@pytest.mark.parametrize(
    "change, settings, said",
    [
        (lambda path: None, {"cube_size": [8, 8, 24]}, r"\(24, 24, 20\) is smaller than the cube \(8, 8, 24\)"),
        (lambda path: rescale(path), {}, "more of one patient than of another: resample"),
        (dark, {"coordinates": "body"}, "body box is not known.*lower `body_threshold`"),
    ],
    ids=["cube", "spacing", "body"],
)
def test_what_volumes_cannot_give_is_said_before_anything_is_learnt(
    datalist, tmp_path, monkeypatch, change, settings, said
):
    monkeypatch.setattr(PretextTrainer, "run", lambda self: pytest.fail("learnt before the volumes were checked"))
    copied = shutil.copytree(datalist.parent, tmp_path / "scans") / "datalist.json"
    change(sorted((copied.parent / "images").iterdir())[3])
    with pytest.raises(VolumeError, match=said):
        mine(copied, tmp_path / "run", **settings)
    assert not (tmp_path / "run" / "steps.json").exists()


def rescale(path):
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(), image.affine @ np.diag([1.2, 1, 1, 1])), path)


def test_a_volume_without_body_is_mined_by_voxels(datalist, described, tmp_path, caplog):
    copied = shutil.copytree(datalist.parent, tmp_path / "scans") / "datalist.json"
    for path in (copied.parent / "images").iterdir():
        dark(path)
    mine(copied, tmp_path / "run", **described)
    assert PatternTable.load(tmp_path / "run" / "patterns.json").num_classes == 3
    assert "shows no body" in caplog.text
    with pytest.raises(ValueError, match="features.npz: was made with body_threshold = 0.1, now it is 0.01"):
        mine(copied, tmp_path / "run", **described, body_threshold=0.01)
    mine(copied, tmp_path / "low", **described, body_threshold=0.01, coordinates="body")
    assert PatternTable.load(tmp_path / "low" / "patterns.json").settings["coordinates"] == "body"


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


def test_features_that_tell_nobody_apart_are_no_features(datalist, described, tmp_path):
    weights = torch.load(described["features"], weights_only=True)
    torch.save({name: torch.zeros_like(value) for name, value in weights.items()}, tmp_path / "zero.pt")
    for _ in range(2):
        with pytest.raises(CheckpointError, match="zero.pt: gives 6 volumes the same features.*learnt nothing"):
            mine(datalist, tmp_path / "run", features=str(tmp_path / "zero.pt"))
    assert not (tmp_path / "run" / "patterns.json").exists()


def test_a_table_is_written_once_a_minute(datalist, described, tmp_path, monkeypatch):
    seen, save = [], PatternTable.save
    monkeypatch.setattr(PatternTable, "save", lambda self, path: (save(self, path), seen.append(self.num_classes)))
    mine(datalist, tmp_path / "fast", **described)
    assert seen == [3]
    monkeypatch.setattr(partial, "_SAVE_EVERY", -1.0)
    mine(datalist, tmp_path / "slow", **described)
    assert seen == [3, 1, 2, 3, 3]


def test_without_a_validation_section(datalist, described, tmp_path):
    listed = json.loads(datalist.read_text())
    listed["training"] += listed.pop("validation")
    alone = datalist.with_name("training_only.json")
    alone.write_text(json.dumps(listed))
    with pytest.raises(DatalistError, match="'validation' has 0 patients"):
        mine(alone, tmp_path / "run")
    made = parsed(alone, tmp_path / "run", validation_patients=0)
    assert len(made.parser.get_parsed_content("validate#dataset")) == 6, "it is judged by what it learns from"
    mine(alone, tmp_path / "run", **described, validation_patients=0)
    assert PatternTable.load(tmp_path / "run" / "patterns.json").validation == []
    assert json.loads((tmp_path / "run" / "similarity.json").read_text()).keys() == {"training"}
