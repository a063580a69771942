"""What a training with labels records and says, against what it had."""

import logging

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader, MetaTensor
from monai.engines import SupervisedEvaluator
from monai.handlers import ValidationHandler, from_engine
from monai.handlers.mean_dice import MeanDice
from monai.transforms import AsDiscreted
from scipy.ndimage import binary_erosion, distance_transform_edt

from medgenesis.data import SeededSampler
from medgenesis.engines import PretextTrainer
from medgenesis.handlers import SegmentationCases, TrainingLogs, progress
from medgenesis.handlers.segmentation_cases import case_rows
from medgenesis.handlers.written import say_written
from medgenesis.methods import Supervised
from medgenesis.storage.tables import read_table

SPACING = (2.0, 1.0, 3.0)


def item(seed):
    rng = np.random.default_rng(seed)
    affine = np.diag([*SPACING, 1.0])
    image = MetaTensor(torch.from_numpy(rng.random((1, 8, 8, 8), dtype=np.float32)), affine=affine)
    return {"image": image, "label": MetaTensor((image > 0.5).float(), affine=affine)}


class Items(list):
    """Taken by the keys of a `SeededSampler`, (epoch, index)."""

    def __getitem__(self, key):
        return super().__getitem__(key[1])


@pytest.fixture
def trainer(tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Conv3d(1, 2, 1)
    items = Items(item(seed) for seed in range(4))
    loader = DataLoader(items, batch_size=2, sampler=SeededSampler(len(items), 0))
    dice = {"val_mean_dice": MeanDice(include_background=False, output_transform=from_engine(["pred", "label"]))}
    evaluator = SupervisedEvaluator(
        "cpu",
        DataLoader([item(seed) for seed in (8, 9)], batch_size=1),
        network,
        postprocessing=AsDiscreted(["pred", "label"], argmax=[True, False], to_onehot=2),
        key_val_metric=dice,
        val_handlers=[SegmentationCases(tmp_path, "Test")],
    )
    losses = []
    trainer = PretextTrainer(
        "cpu",
        3,
        loader,
        Supervised(network, lambda pred, label: torch.nn.functional.cross_entropy(pred, label[:, 0].long())),
        torch.optim.SGD(network.parameters(), 0.1),
        train_handlers=[ValidationHandler(2, evaluator), TrainingLogs(tmp_path, evaluator, "Test")],
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda e: losses.append(e.state.output[0]["loss"].item()))
    trainer.losses, trainer.validator = losses, evaluator
    return trainer


def test_the_table_the_log_and_the_report_are_what_the_run_had(trainer, tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="medgenesis"):
        trainer.run()
    rows = read_table(tmp_path / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [float(row["loss"]) for row in rows] == pytest.approx(np.reshape(trainer.losses, (3, 2)).mean(1), rel=1e-5)
    assert [bool(row["val_mean_dice"]) for row in rows] == [False, True, False]  # not the figure of an earlier epoch
    lines = [record.getMessage() for record in caplog.records if record.name == "medgenesis.handlers.progress"]
    assert lines[0].startswith(f"epoch 1 of 3: loss {float(rows[0]['loss']):.5f}, ")
    assert " cubes/s, at most " in lines[0]
    assert f", val mean dice {float(rows[1]['val_mean_dice']):.4f}, " in lines[1]
    assert lines[2].endswith("at most 0:00:00 left")
    written = [record.getMessage() for record in caplog.records if record.getMessage().startswith("written: ")]
    assert str(tmp_path / "report.html") in written[-1]
    assert "3 epochs" in (page := (tmp_path / "report.html").read_text()) and "Cases, the worst first: 2" in page


def test_files_that_are_not_there_are_not_said_to_be_written(tmp_path, caplog):
    (tmp_path / "metrics.csv").write_text("epoch\n1\n")
    with caplog.at_level(logging.INFO, logger="medgenesis"):
        say_written(None, tmp_path / "absent.html")
        assert not caplog.records
        say_written(tmp_path / "metrics.csv", None, str(tmp_path / "absent.html"))
    assert [record.getMessage() for record in caplog.records] == [f"written: {tmp_path / 'metrics.csv'}"]


def test_a_run_that_ends_within_its_first_epoch_names_no_file(tmp_path, caplog):
    network = torch.nn.Conv3d(1, 2, 1)
    items = Items(item(seed) for seed in range(4))
    trainer = PretextTrainer(
        "cpu",
        1,
        DataLoader(items, batch_size=2, sampler=SeededSampler(len(items), 0)),
        Supervised(network, lambda pred, label: torch.nn.functional.cross_entropy(pred, label[:, 0].long())),
        torch.optim.SGD(network.parameters(), 0.1),
        train_handlers=[TrainingLogs(tmp_path / "logs")],
    )
    trainer.add_event_handler(Events.ITERATION_COMPLETED, trainer.terminate)
    with caplog.at_level(logging.INFO, logger="medgenesis"):
        trainer.run()
    written = [record.getMessage() for record in caplog.records if record.getMessage().startswith("written: ")]
    assert not (tmp_path / "logs" / "metrics.csv").exists() and written == []


def test_an_epoch_that_takes_long_says_how_far_it_is(trainer, caplog, monkeypatch):
    clock = iter(range(0, 100_000, 20))
    monkeypatch.setattr(progress.time, "perf_counter", lambda: float(next(clock)))
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: False, raising=False)
    with caplog.at_level(logging.INFO, logger="medgenesis"):
        trainer.run()
    lines = [record.getMessage() for record in caplog.records if record.name == "medgenesis.handlers.progress"]
    assert any(line.startswith("epoch 1 of 3, batch 1 of 2: loss ") and " left" in line for line in lines)


def by_hand(found, truth):
    """Distances between the surfaces in mm, both ways, by a distance transform of the whole volume."""
    borders = [one & ~binary_erosion(one) for one in (found, truth)]
    ways = []
    for border, other in (borders, borders[::-1]):
        ways.append(distance_transform_edt(~other, sampling=SPACING)[border])
    whole = np.concatenate(ways)
    return max(np.percentile(way, 95) for way in ways), whole.mean(), (whole <= 3).mean()


def test_measures_are_those_of_a_slow_computation():
    found, truth = np.zeros((2, 12, 14, 10), bool), np.zeros((2, 12, 14, 10), bool)
    found[1, 2:8, 3:9, 2:7], truth[1, 3:9, 3:11, 2:6] = True, True
    found[0], truth[0] = ~found[1], ~truth[1]
    (row,) = case_rows(torch.from_numpy(found), torch.from_numpy(truth), SPACING, tolerance=3)
    hausdorff, surface, near = by_hand(found[1], truth[1])
    assert row["surface_dice"] == pytest.approx(near, rel=1e-4) and 0.5 < near < 1
    assert row["hausdorff_95"] == pytest.approx(hausdorff, rel=1e-4)
    assert row["surface_distance"] == pytest.approx(surface, rel=1e-4)
    assert row["dice"] == pytest.approx(2 * (found[1] & truth[1]).sum() / (found[1].sum() + truth[1].sum()))
    assert row["found_ml"] == pytest.approx(found[1].sum() * 6 / 1000) and row["unit"] == "mm"
    assert row["reference_ml"] == pytest.approx(truth[1].sum() * 6 / 1000)


def test_an_absent_class_has_empty_cells():
    label = torch.zeros(3, 4, 4)
    label[0, 1:], label[1, 0] = 1, 1
    pred = torch.zeros(3, 4, 4)
    pred[0] = 1
    one, two = case_rows(pred, label, None)
    assert one["dice"] == one["surface_dice"] == 0 and two["surface_dice"] is None
    assert one["hausdorff_95"] is None and one["surface_distance"] is None
    assert two["dice"] is None and two["found_ml"] is None and two["unit"] == "pixels"


def test_the_worst_cases_alone_are_drawn(tmp_path, monkeypatch):
    items = [item(seed) for seed in range(5)]
    wrong = {2: 0.9, 4: 0.5}  # share of voxels that are answered wrongly

    class Stub:
        def __init__(self):
            self.count = 0

        def __call__(self, image, network):
            truth = (image > 0.5).float()
            share = wrong.get(self.count, 0.0)
            self.count += 1
            flip = torch.linspace(0, 1, truth.numel()).reshape(truth.shape) < share
            answer = torch.where(flip, 1 - truth, truth)
            return torch.cat([1 - answer, answer], dim=1)

    monkeypatch.setattr("medgenesis.handlers.segmentation_cases.WORST", 2)
    SupervisedEvaluator(
        "cpu",
        DataLoader(items, batch_size=1),
        torch.nn.Identity(),
        inferer=Stub(),
        postprocessing=AsDiscreted(["pred", "label"], argmax=[True, False], to_onehot=2),
        val_handlers=[SegmentationCases(tmp_path)],
    ).run()
    assert sorted(path.name for path in (tmp_path / "cases").glob("*.png")) == ["case_0003.png", "case_0005.png"]
    dice = [float(row["dice"]) for row in read_table(tmp_path / "cases.csv")]
    assert dice[0] == dice[1] == dice[3] == 1 and dice[2] < dice[4] < 1


@pytest.mark.parametrize("ends", [(-2.0, 3.0), (0.0, 1.0)])
def test_a_picture_of_z_scores_spans_their_percentiles(tmp_path, ends):
    shape = (9, 10, 10)
    values = np.random.default_rng(0).permutation(np.linspace(*ends, 900, dtype=np.float32)).reshape(shape)
    maps = torch.nn.functional.one_hot((torch.from_numpy(values) > 1).long(), 2).movedim(-1, 0)
    one = {"image": MetaTensor(torch.from_numpy(values)[None]), "pred": maps, "label": maps}
    engine = Engine(lambda engine, batch: [one])
    SegmentationCases(tmp_path).attach(engine)
    engine.state.rank = 0
    engine.run([0])
    found = nib.load(tmp_path / "cases" / "worst_image.nii.gz").get_fdata()
    ordered = np.sort(values.astype(float), axis=None)
    low, high = ordered[[0, -1]] if ends == (0.0, 1.0) else np.interp((0.005 * 899, 0.995 * 899), range(900), ordered)
    np.testing.assert_allclose(found, ((values - low) / (high - low)).clip(0, 1) * 255, atol=0.501)
