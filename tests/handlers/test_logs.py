"""Tables, TensorBoard, the log and the report of a small run, against what the run itself had."""

import csv
import logging
import re

import numpy as np
import pytest
import torch
from helpers.toy import Late, toy_trainer, validator_of
from ignite.engine import Events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from medgenesis.engines import PretextTrainer
from medgenesis.handlers import MetricsCSV, PretextHandlers, Progress, TensorBoard, ValidatedSteps

pytestmark = pytest.mark.usefixtures("one_thread", "files_in_order")


@pytest.fixture
def files_in_order(monkeypatch):
    """TensorBoard reads files of one second and one process by their number, as text: .10 comes before .9."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


class Watch:
    """What a run had at the end of each epoch, and each batch's loss."""

    def __init__(self):
        self.epochs, self.losses, self.rates = [], {}, {}

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch)
        engine.add_event_handler(Events.ITERATION_STARTED, self.begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration)

    def begin(self, engine):
        self.rates[engine.state.iteration] = engine.optimizer.param_groups[0]["lr"]

    def iteration(self, engine):
        self.losses[engine.state.iteration] = engine.state.output[0]["loss"].item()

    def epoch(self, engine):
        validator = validator_of(engine)
        rate = self.rates[engine.state.iteration]
        self.epochs.append((engine.state.iteration, dict(engine.state.metrics), dict(validator.state.metrics), rate))


class StopAfter:
    def __init__(self, iteration):
        self.iteration = iteration

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED(once=self.iteration), self.stop)

    def stop(self, engine):
        raise KeyboardInterrupt


# ---- CSV


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_holds_what_the_run_had(tmp_path):
    watch = Watch()
    toy_trainer(tmp_path, extra=[watch]).run()
    rows = table(tmp_path / "metrics.csv")
    names = "epoch iteration loss restoration val_loss val_restoration learning_rate seconds cubes_per_second".split()
    assert list(rows[0]) == names
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for row, (iteration, metrics, validation, rate) in zip(rows, watch.epochs, strict=True):
        assert int(row["iteration"]) == iteration
        batch_losses = [watch.losses[i] for i in range(iteration - 6, iteration + 1)]
        assert float(row["loss"]) == pytest.approx(np.mean(batch_losses), rel=1e-5)
        assert float(row["restoration"]) == pytest.approx(metrics["restoration"], rel=1e-5)
        assert float(row["val_loss"]) == pytest.approx(validation["loss"], rel=1e-5)
        assert float(row["learning_rate"]) == pytest.approx(rate, rel=1e-5)
        assert float(row["cubes_per_second"]) > 0


def test_the_rate_is_that_of_the_epoch_and_not_of_the_next(tmp_path):
    """Of a schedule of epochs, also in a run that was stopped between them and within one."""
    folder = tmp_path / "run"

    def run(epochs, extra=()):
        toy = toy_trainer(tmp_path / "toy", scheduled=False)
        scheduler = torch.optim.lr_scheduler.StepLR(toy.optimizer, 1, 0.1)
        handlers = [*extra, PretextHandlers(folder, validator_of(toy), scheduler, save_every=1)]
        trainer = PretextTrainer("cpu", epochs, toy.data_loader, toy.method, toy.optimizer, scheduler, handlers)
        trainer.run()

    run(1)
    with pytest.raises(KeyboardInterrupt):
        run(4, [StopAfter(11)])
    run(4)
    rates = [0.05, 0.005, 0.0005, 0.00005]
    assert [float(row["learning_rate"]) for row in table(folder / "metrics.csv")] == pytest.approx(rates)
    assert scalars(folder / "tensorboard", "learning_rate") == pytest.approx(
        dict(zip((7, 14, 21, 28), rates, strict=True))
    )


def test_validated_steps_tell_the_rate_of_their_step(tmp_path):
    toy = toy_trainer(tmp_path / "toy", scheduled=False)
    scheduler = torch.optim.lr_scheduler.StepLR(toy.optimizer, 1, 0.5)
    handlers = [ValidatedSteps(tmp_path, 5, every=2)]
    PretextTrainer("cpu", 9, toy.data_loader, toy.method, toy.optimizer, scheduler, handlers).run()
    rows = {int(row["step"]): float(row["rate"]) for row in table(tmp_path / "curve.csv")}
    assert rows == pytest.approx({step: 0.05 * 0.5 ** (step - 1) for step in (2, 4, 5)})


def test_a_resumed_run_drops_the_lines_that_it_repeats(tmp_path):
    """Killed in epoch 3 after two epochs; a table that had run ahead of its checkpoint loses that line."""
    with pytest.raises(KeyboardInterrupt):
        toy_trainer(tmp_path, extra=[StopAfter(16)]).run()
    path = tmp_path / "metrics.csv"
    first = table(path)
    assert [row["epoch"] for row in first] == ["1", "2"]
    lines = path.read_text().splitlines()
    ahead = [lines[2].replace("2,14", f"{epoch},{7 * epoch}", 1) for epoch in (3, 4)]
    path.write_text("\n".join([*lines, *ahead]) + "\n")
    toy_trainer(tmp_path).run()
    rows = table(path)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert rows[:2] == first
    assert rows[2]["iteration"] == "21" and rows[2]["loss"] != first[1]["loss"]


def test_a_new_run_does_not_keep_an_old_table(tmp_path):
    (tmp_path / "metrics.csv").write_text("epoch,iteration,loss\n1,7,0.5\n2,14,0.4\n")
    toy_trainer(tmp_path, epochs=1).run()
    assert [row["epoch"] for row in table(tmp_path / "metrics.csv")] == ["1"]


def test_columns_that_come_later_are_kept(tmp_path):
    class Sometimes:
        def attach(self, engine):
            engine.add_event_handler(Events.EPOCH_COMPLETED(once=2), self)

        def __call__(self, engine):
            engine.state.metrics["probe"] = 0.25

    toy_trainer(tmp_path, extra=[Sometimes(), MetricsCSV(tmp_path / "other.csv")]).run()
    rows = table(tmp_path / "other.csv")
    assert [row["probe"] for row in rows] == ["", "0.25", "0.25"]
    assert "val_loss" not in rows[0]


# ---- TensorBoard


def events(folder):
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    accumulator.Reload()
    return accumulator


def scalars(folder, tag):
    found = {}
    for event in events(folder).Scalars(tag):
        assert event.step not in found, f"{tag} twice at {event.step}"
        found[event.step] = event.value
    return found


def board(folder, every=3):
    return Late(lambda validator: TensorBoard(folder, validator, every=every))


def test_tensorboard_reads_what_the_run_had(tmp_path):
    watch = Watch()
    toy_trainer(tmp_path, extra=[watch, board(tmp_path / "tb")]).run()
    batches = scalars(tmp_path / "tb", "batch/loss")
    assert batches == pytest.approx({i: watch.losses[i] for i in range(3, 22, 3)})
    for tag, part, name in (("train/loss", 1, "loss"), ("validation/restoration", 2, "restoration")):
        wanted = {epoch[0]: epoch[part][name] for epoch in watch.epochs}
        assert scalars(tmp_path / "tb", tag) == pytest.approx(wanted)
    assert scalars(tmp_path / "tb", "learning_rate") == pytest.approx({e[0]: e[3] for e in watch.epochs})
    images = events(tmp_path / "tb").Images("original, corrupted, restored")
    assert [(image.step, image.width, image.height) for image in images] == [(i, 36, 24) for i in (7, 14, 21)]


def test_events_beyond_the_checkpoint_are_purged_on_resume(tmp_path):
    whole = tmp_path / "whole"
    toy_trainer(whole, extra=[board(whole / "tb", every=1)]).run()
    killed = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        toy_trainer(killed, extra=[board(killed / "tb", every=1), StopAfter(19)]).run()
    assert max(scalars(killed / "tb", "batch/loss")) > 14  # the checkpoint is of iteration 14
    toy_trainer(killed, extra=[board(killed / "tb", every=1)]).run()
    for tag in ("batch/loss", "train/loss", "validation/loss"):
        assert scalars(killed / "tb", tag) == scalars(whole / "tb", tag)


# ---- the log


@pytest.mark.parametrize("validated", [True, False])
def test_a_line_an_epoch_in_the_log(tmp_path, caplog, validated, capsys):
    watch = Watch()
    progress = Late(lambda validator: Progress(validator if validated else None))
    with caplog.at_level(logging.INFO, logger="medgenesis"):
        toy_trainer(tmp_path, extra=[watch, progress]).run()
    lines = [r.getMessage() for r in caplog.records if r.name == "medgenesis.handlers.progress"]
    assert len(lines) == 3
    for number, (line, epoch) in enumerate(zip(lines, watch.epochs, strict=True), start=1):
        assert line.startswith(f"epoch {number} of 3: loss {epoch[1]['loss']:.5f}")
        assert (f", validation {epoch[2]['loss']:.5f}" in line) == validated
        speed, left = re.search(r"([\d.]+) cubes/s, at most (\S+) left$", line).groups()
        assert float(speed) > 0 and (left == "0:00:00" or number < 3)
    assert "Epoch" not in capsys.readouterr().err  # no bar where nobody looks


def test_the_log_does_without_a_validation_that_has_not_run(tmp_path, caplog):
    """Validation every second epoch: the first line has no figure to show."""

    class Unrun:
        class state:
            metrics: dict = {}

    with caplog.at_level(logging.INFO, logger="medgenesis"):
        toy_trainer(tmp_path, epochs=1, extra=[Progress(Unrun)]).run()
    (line,) = [r.getMessage() for r in caplog.records if r.name == "medgenesis.handlers.progress"]
    assert "validation" not in line


# ---- the report


def pretext_handlers(folder):
    """The handlers of a bundle, beside those of the toy run, whose rate they leave alone."""
    scheduler = torch.optim.lr_scheduler.ConstantLR(torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0))
    return Late(lambda validator: PretextHandlers(folder, validator, scheduler))


def test_a_run_that_is_stopped_and_continued_has_the_report_of_all_its_epochs(tmp_path, caplog):
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        toy_trainer(tmp_path, extra=[pretext_handlers(run), StopAfter(16)]).run()
    page = (run / "report.html").read_text()
    assert "2 epochs" in page and page.count("<img") == 2  # first and last epoch
    with caplog.at_level(logging.INFO, logger="medgenesis"):
        toy_trainer(tmp_path, extra=[pretext_handlers(run)]).run()
    page = (run / "report.html").read_text()
    assert (
        "3 epochs" in page and page.count('class="swatch"') == 3
    )  # two of the loss, the rate; the one part is the loss
    (written,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("written: ")]
    assert str(run / "report.html") in written and str(run / "metrics.csv") in written


def test_a_run_that_is_stopped_in_its_first_epoch_names_no_file(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="medgenesis"), pytest.raises(KeyboardInterrupt):
        toy_trainer(tmp_path, extra=[pretext_handlers(tmp_path / "run"), StopAfter(1)]).run()
    assert "written: " not in caplog.text


def test_a_run_that_is_refused_reports_nothing(tmp_path, caplog):
    class Refusal:
        def attach(self, engine):
            engine.add_event_handler(Events.STARTED, self.refuse)

        def refuse(self):
            raise ValueError("another run's folder")

    with caplog.at_level(logging.INFO, logger="medgenesis"), pytest.raises(ValueError, match="another run's folder"):
        toy_trainer(tmp_path, extra=[Refusal(), pretext_handlers(tmp_path / "run")]).run()
    assert "written: " not in caplog.text and not (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize("damage", ["", "\x00\x00", "epoch,loss\n1", "a,b\n1,2\n", "epoch,loss\nx,1\n"])
def test_a_damaged_table_is_said_with_a_remedy(tmp_path, damage):
    toy_trainer(tmp_path, epochs=1).run()
    (tmp_path / "metrics.csv").write_text(damage)
    if damage in ("", "epoch,loss\n1"):  # no line, or one that is short: nothing that is wrong
        toy_trainer(tmp_path, epochs=2).run()
        return
    with pytest.raises(ValueError, match=r"metrics.csv: must be the table of the epochs so far.*Rename or remove it"):
        toy_trainer(tmp_path, epochs=2).run()
