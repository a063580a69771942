"""What a run that is continued must agree in, and what may change."""

import pytest
import torch
from helpers.toy import end_as_if_never_stopped, rows, same, toy_trainer
from ignite.engine import Events
from monai.handlers import CheckpointLoader

from medgenesis.errors import CheckpointError

pytestmark = pytest.mark.usefixtures("one_thread")


class Plateau:
    """The loss of validation no longer falls: the rate is halved after each epoch but the first."""

    def attach(self, engine):
        optimizer = engine.optimizer
        engine.lr_scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: engine.lr_scheduler.step(1.0))


def test_a_rate_that_a_plateau_has_reduced_stays_reduced(tmp_path, caplog):
    """Such a schedule keeps no initial rate: what was typed is compared with what was typed."""
    whole = toy_trainer(tmp_path / "whole", epochs=4, scheduled=False, extra=[Plateau()])
    whole.run()
    for epochs in (3, 4):
        again = toy_trainer(tmp_path / "again", epochs=epochs, scheduled=False, extra=[Plateau()])
        again.run()
    assert "from here on" not in caplog.text
    assert rows(tmp_path / "again") == rows(tmp_path / "whole")
    assert float(rows(tmp_path / "whole")[-1]["learning_rate"]) < 0.05
    same(again.method.state_dict(), whole.method.state_dict())


def test_a_learning_rate_typed_anew_holds_from_there_on(tmp_path, caplog):
    """Warm-up and steps go on where they are, at a hundredth of the rate; typed once more it is not applied again."""
    toy_trainer(tmp_path / "old", epochs=2).run()
    old = [row["learning_rate"] for row in rows(tmp_path / "old")]
    toy_trainer(tmp_path / "new", epochs=1).run()
    toy_trainer(tmp_path / "new", epochs=2, lr=0.0005).run()
    assert "learning rate: 0.0005 from here on; it was 0.05" in caplog.text
    caplog.clear()
    last = toy_trainer(tmp_path / "new", epochs=3, lr=0.0005)
    last.run()
    assert "from here on" not in caplog.text
    new = [row["learning_rate"] for row in rows(tmp_path / "new")]
    assert float(new[0]) == float(old[0]) and float(new[1]) == pytest.approx(float(old[1]) / 100, rel=1e-5)
    assert float(new[2]) < float(new[1])


@pytest.mark.parametrize("made_with", [{"cube_size": [32, 32, 32]}, {"cube_size": [16, 16, 16], "crop": {"border": 1}}])
def test_what_made_the_run_must_be_the_same(tmp_path, made_with):
    toy_trainer(tmp_path, epochs=1, made_with={"cube_size": [16, 16, 16], "datalist": "A.json"}).run()
    toy_trainer(tmp_path, epochs=2, made_with={"cube_size": [16, 16, 16], "datalist": "renamed.json"}).run()
    with pytest.raises(CheckpointError, match=r"last.pt.*other settings: c.*now it is.*another output_dir") as raised:
        toy_trainer(tmp_path, epochs=3, made_with={"datalist": "A.json", **made_with}).run()
    assert "datalist" not in str(raised.value)


def test_a_checkpoint_of_before_is_continued_with_a_warning(tmp_path, caplog):
    toy_trainer(tmp_path, epochs=1).run()
    toy_trainer(tmp_path, epochs=2, made_with={"cube_size": 16}).run()
    assert "does not say its configuration: not compared" in caplog.text


def test_a_damaged_checkpoint_can_be_replaced_by_the_best(tmp_path):
    toy_trainer(tmp_path / "whole").run()
    toy_trainer(tmp_path / "stopped", epochs=2).run()
    last = tmp_path / "stopped" / "last.pt"
    last.write_bytes(last.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"last.pt: .*damaged. Copy .*best.pt over it to go on from epoch \d"):
        toy_trainer(tmp_path / "stopped").run()
    last.write_bytes((tmp_path / "stopped" / "best.pt").read_bytes())
    end_as_if_never_stopped(tmp_path)


def test_a_new_run_keeps_the_model_of_an_earlier_one(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "pretrained.pt").write_bytes(b"better")
    toy_trainer(tmp_path).run()
    toy_trainer(tmp_path).run()
    assert [path.name for path in (tmp_path / "earlier").iterdir()] == ["pretrained.pt"]
    assert (tmp_path / "earlier" / "pretrained.pt").read_bytes() == b"better"


def test_a_run_from_loaded_weights_is_a_new_one(tmp_path):
    """MONAI Label puts a `CheckpointLoader` before our handlers at each press on "Train"."""
    toy_trainer(tmp_path, epochs=1).run()
    network = torch.nn.Sequential(*toy_trainer(tmp_path, epochs=1).method.network)
    loader = CheckpointLoader(str(tmp_path / "models" / "pretrained.pt"), {"model": network})
    again = toy_trainer(tmp_path, epochs=1, network=network, extra=[loader])
    again.run()
    assert again.begins_anew and again.state.iteration == 7
    assert (tmp_path / "earlier" / "pretrained.pt").is_file()
