"""Images, tables, TensorBoard and the log of a small run, against what the run itself had."""

import csv
import logging
import re

import numpy as np
import pytest
import torch
from helpers.toy import toy_trainer
from ignite.engine import Events
from monai.handlers import ValidationHandler
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from medgenesis.handlers import MetricsCSV, PretextHandlers, Preview, Progress, TensorBoard
from medgenesis.handlers.preview import pretext_image, pretext_triples

pytestmark = pytest.mark.usefixtures("one_thread")


class Late:
    """Attaches a handler that is made of the toy run's own validator."""

    def __init__(self, make):
        self.make = make

    def attach(self, engine):
        self.make(validator_of(engine)).attach(engine)


def validator_of(trainer):
    for handlers in trainer._event_handlers.values():
        for handler, *_ in handlers:
            owner = getattr(handler, "__self__", handler)
            if isinstance(owner, ValidationHandler):
                return owner.validator
    raise LookupError


class Watch:
    """What a run had at the end of each epoch, and each batch's loss."""

    def __init__(self):
        self.epochs, self.losses = [], {}

    def attach(self, engine):
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration)

    def iteration(self, engine):
        self.losses[engine.state.iteration] = engine.state.output[0]["loss"].item()

    def epoch(self, engine):
        validator = validator_of(engine)
        rate = engine.optimizer.param_groups[0]["lr"]
        self.epochs.append((engine.state.iteration, dict(engine.state.metrics), dict(validator.state.metrics), rate))


class StopAfter:
    def __init__(self, iteration):
        self.iteration = iteration

    def attach(self, engine):
        engine.add_event_handler(Events.ITERATION_COMPLETED(once=self.iteration), self.stop)

    def stop(self, engine):
        raise KeyboardInterrupt


# ---- images


def test_an_image_is_the_middle_slices_side_by_side():
    rng = np.random.default_rng(0)
    target, image, restored = (rng.uniform(-0.2, 1.2, (3, 2, 5, 4, 6)).astype(np.float32) for _ in range(3))
    target = target.clip(0, 1)
    restored[1, 0, 2, 1, 3] = np.nan
    batch = {"target": torch.from_numpy(target), "image": torch.from_numpy(image)}
    drawing = pretext_triples(batch, torch.from_numpy(restored), count=2, gap=1)
    assert drawing.dtype == np.uint8 and drawing.shape == (2 * (4 + 2), 3 * (5 + 2))
    wanted = np.full(drawing.shape, 255)
    for row in range(2):
        for column, volume in enumerate((target, image, restored)):
            for x in range(5):
                for y in range(4):
                    value = volume[row, 0, x, y, 3]
                    value = 0 if np.isnan(value) else min(max(value, 0), 1)
                    wanted[row * 6 + 1 + y, column * 7 + 1 + x] = round(float(value) * 255)
    assert np.abs(drawing.astype(int) - wanted).max() <= 1  # halves may round either way
    assert (drawing == wanted).mean() > 0.99


def test_z_scored_images_are_shown_from_the_least_to_the_greatest_value_of_the_target():
    target = torch.linspace(-2, 3, 60).reshape(1, 1, 5, 4, 3)
    drawing = pretext_triples({"target": target, "image": target / 2}, target * 2, gap=0)
    for columns, volume in zip(
        (slice(0, 5), slice(5, 10), slice(10, 15)), (target, target / 2, target * 2), strict=True
    ):
        wanted = ((volume[0, 0, :, :, 1].T + 2) / 5).clamp(0, 1) * 255
        assert np.abs(drawing[:, columns] - wanted.numpy()).max() <= 0.51


def test_slabs_have_their_plane_drawn():
    target = torch.rand(1, 3, 5, 4)
    drawing = pretext_triples({"target": target[:, 1:2], "image": target}, target[:, 2:], gap=0)
    wanted = np.concatenate(target[0, [1, 1, 2]].numpy(), axis=1)  # rows are rows: a slab is turned for display
    np.testing.assert_array_equal(drawing, (wanted * 255).round().astype(np.uint8))


def test_two_views_are_drawn_where_nothing_is_restored():
    image, key = torch.rand(2, 6, 3, 5, 4)
    caption, drawing = pretext_image({"image": image, "key": key}, {"loss": torch.tensor(1.0)})
    assert caption == "two views" and drawing.shape == (4 * (5 + 4), 2 * (4 + 4))
    np.testing.assert_array_equal(drawing[2:7, 2:6], (image[0, 1].numpy() * 255).round().astype(np.uint8))
    np.testing.assert_array_equal(drawing[29:34, 10:14], (key[3, 1].numpy() * 255).round().astype(np.uint8))
    assert pretext_image({"image": image}, {"loss": torch.tensor(1.0)}) is None
    caption, _ = pretext_image({"image": image, "key": key, "target": image}, {"restored": image})
    assert caption == "original, corrupted, restored"


def test_previews_show_the_last_validation_batch(tmp_path):
    shown = []

    class Keep:
        def attach(self, engine):
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)

        def __call__(self, engine):
            state = validator_of(engine).state
            shown.append({**state.batch, "restored": state.output["restored"].clone()})

    preview = Late(lambda validator: Preview(tmp_path / "previews", validator, every=2, scale=3))
    toy_trainer(tmp_path, epochs=4, extra=[preview, Keep()]).run()
    assert sorted(p.name for p in (tmp_path / "previews").iterdir()) == ["epoch_0002.png", "epoch_0004.png"]
    for epoch in (2, 4):
        drawing = np.asarray(Image.open(tmp_path / "previews" / f"epoch_{epoch:04d}.png"))
        batch = shown[epoch - 1]
        assert drawing.shape == (2 * 12 * 3, 3 * 12 * 3)  # the last batch holds two cubes of 8^3
        small = drawing[1::3, 1::3]
        for row in range(2):
            for column, name in enumerate(("target", "image", "restored")):
                drawn = small[12 * row + 2 : 12 * row + 10, 12 * column + 2 : 12 * column + 10]
                plane = batch[name][row, 0, :, :, 4].numpy().T
                assert np.abs(drawn / 255 - plane).max() <= 0.5 / 255 + 1e-6
        np.testing.assert_array_equal(drawing, small.repeat(3, 0).repeat(3, 1))
    assert torch.equal(shown[0]["image"], shown[3]["image"])


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
