"""Last and best checkpoints, resume, and a clean end on SIGTERM or Ctrl-C."""

import itertools
import logging
import math
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator

from medgenesis.data.contents import contents_of
from medgenesis.data.file_contents import Prints, changed_files, file_contents, images_known
from medgenesis.distributed import once_a_node
from medgenesis.engines import PretextEvents
from medgenesis.errors import CheckpointError, first_few
from medgenesis.handlers.save_weights import described
from medgenesis.stopping import STOPPING, note_signal
from medgenesis.storage.checkpoint import read_checkpoint, save_checkpoint
from medgenesis.storage.earlier_weights import keep_earlier
from medgenesis.storage.run_folder import check_writable, hold_folder
from medgenesis.weights.seen import kept_seen, note_seen, set_seen

logger = logging.getLogger(__name__)

_FILES = "files"  # key of a checkpoint: what is in the files of each list
_SHOWN = 3  # files in a message


class Checkpoints:
    """Save `last.pt` and `best.pt`, continue from `last.pt`, and stop cleanly when the cluster says so.

    Attach it to a `PretextTrainer` as the last handler of the list, so that it saves what the others have done.

    Args:
        output_dir: receives `last.pt` (every epoch, and where asked more often) and `best.pt` (lowest validation
            loss); made if absent.
        validator: the `PretextEvaluator` (or MONAI's) whose key metric says what is best, or None: then last is best.
        export: file that receives the best network's plain state dict (`models/pretrained.pt`), or None. What a run
            that begins finds there, the model of another one, is kept as `earlier/` in `output_dir`.
        every: also save `last.pt` every so many iterations, of each multiple at the first optimizer step at or after
            it, or None; what is lost by a kill is redone identically.
        settings: what the network is trained with, kept among the weights (`medgenesis.weights.with_settings`): the
            defaults of the tasks after it.
        resume: continue from `last.pt` where it exists; False refuses to overwrite it.

    SIGTERM, and Ctrl-C: the running batch group (at an epoch's end, the epoch) is finished, `last.pt` written, and the
    trainer exits with status 143, or 130. During validation it is noticed when that has ended. A second Ctrl-C stops at
    once. Only rank 0 writes. Files are written beside, then renamed. Fingerprints of the images that
    were trained on are kept among the weights (`medgenesis.weights.seen`), those of all files of the lists
    (`medgenesis.data.file_contents`) in the checkpoint: a run whose images or label maps have changed since is refused.

    Raises:
        OutputError: a folder cannot be written, or another run is at work in it.
        CheckpointError: `last.pt` is damaged, of another run, or of files that have changed since.
    """

    def __init__(
        self,
        output_dir: str | Path,
        validator: Evaluator | None = None,
        export: str | Path | None = None,
        every: int | None = None,
        resume: bool = True,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = Path(output_dir)
        self.validator, self.resume, self.every = validator, resume, every
        self.export = None if export is None else Path(export)
        self.settings = settings
        self._stop_asked = 0  # number of the signal
        self._previous: dict[int, Any] = {}
        self._files: dict[str, Prints] = {}  # by list
        self._process = 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.epoch_completed)
        engine.add_event_handler(PretextEvents.RUN_ENDED, self.run_ended)

    def start(self, engine: Engine) -> None:
        hold_folder(self.folder)
        if self.export is not None:
            check_writable(self.export.parent)
        if self.validator is not None:
            engine.validation_list = contents_of(self.validator.data_loader.dataset)
        last = self.folder / "last.pt"
        earlier = None
        if last.exists() and not engine.begins_anew:
            earlier = self._resume(engine, last)
        elif self.export is not None and engine.state.rank == 0:
            keep_earlier(self.export, self.folder / "earlier")
        once_a_node(lambda: self._note_files(engine, earlier))
        if earlier is not None:
            logger.info("continuing from %s: %d iterations done", last, engine.state.iteration)
        self._stop_asked = 0
        if threading.current_thread() is threading.main_thread():  # only there may signal handlers be set
            self._process = os.getpid()
            self._previous = {number: signal.signal(number, self._ask_to_stop) for number in STOPPING}

    def iteration_completed(self, engine: Engine) -> None:
        if not engine.at_step:  # gradients are pending: they are in no checkpoint
            return
        if engine.at_epoch_end:  # what ends it, validation for example, is still to come
            return
        if self._agreed_to_stop(engine):
            self._save(engine, "last.pt")
            self._stop(engine)
        elif self.every and engine.state.iteration % self.every < engine.group_size:  # a multiple lies in the group
            self._save(engine, "last.pt")

    def epoch_completed(self, engine: Engine) -> None:
        if self.validator is None or self._is_best(engine.state.epoch):
            self._save(engine, "best.pt")
            if self.export is not None and engine.state.rank == 0:
                state = engine.method.network.state_dict()
                save_checkpoint(described(state, engine.method, self.settings), self.export)
        self._save(engine, "last.pt")  # after the best: a kill between the two redoes the epoch
        if self._agreed_to_stop(engine):
            self._stop(engine)

    def _is_best(self, epoch: int) -> bool:
        """Whether this epoch's network is; while the best is 0, no class found at all, the latest one is."""
        state = self.validator.state
        if getattr(state, "epoch", None) != epoch:  # not validated in it
            return False
        name = getattr(state, "key_metric_name", None)
        metric = state.metrics.get(name)
        if metric is not None and math.isnan(metric):
            logger.warning("%s is not a number after epoch %d: these weights are not kept", name, epoch)
        return state.best_metric_epoch == epoch or metric == 0 == state.best_metric

    def run_ended(self, engine: Engine) -> None:
        for number in list(self._previous):
            signal.signal(number, self._previous.pop(number))

    def _resume(self, engine: Engine, last: Path) -> dict[str, Any]:
        """Continue; returns the checkpoint."""
        if not self.resume:
            raise CheckpointError(
                f"{last}: must not exist for a new run; found one. Choose another output folder, remove it, or resume."
            )
        try:
            checkpoint = read_checkpoint(last, map_location=engine.state.device)
        except CheckpointError as error:
            raise CheckpointError(
                f"{last}: must be the state of the run so far; found a file that cannot be read, damaged. "
                f"{self._remedy(engine)}, or choose another output_dir."
            ) from error
        try:
            engine.restore(checkpoint)
        except CheckpointError as error:
            raise CheckpointError(f"{last}: {error}") from error
        if self.validator is not None and "best_loss" in checkpoint:  # absent where the run had no validation so far
            self.validator.state.best_metric = checkpoint["best_loss"]
            self.validator.state.best_metric_epoch = checkpoint["best_epoch"]
        return checkpoint

    def _note_files(self, engine: Engine, earlier: Mapping[str, Any] | None) -> None:
        """Note what is in the files of the lists; of a run that goes on, refuse those that have changed."""
        datasets = {"training": engine.data_loader.dataset}
        if self.validator is not None:
            datasets["validation"] = self.validator.data_loader.dataset
        self._files = {name: file_contents(dataset) for name, dataset in datasets.items()}
        seen = [] if earlier is None else kept_seen(earlier["method"])
        if earlier is not None:
            known = earlier.get(_FILES)
            if known is None:  # of before: it says which images were seen, or nothing
                known = {"training": images_known(seen, self._files["training"])} if seen else {}
            self._refuse_changed(
                sorted(
                    {
                        file
                        for name in datasets.keys() & known.keys()
                        for file in changed_files(datasets[name], known[name], self._files[name])
                    }
                )
            )
        if seen:
            set_seen(engine.method.network, seen)
        else:
            note_seen(engine.method.network, itertools.chain.from_iterable(self._files["training"].get("image", ())))

    def _refuse_changed(self, files: list[str]) -> None:
        if files:
            raise CheckpointError(
                f"{self.folder / 'last.pt'}: must be of a run on the files as they are now; found {len(files)} that "
                f"have changed since it began ({first_few(files, _SHOWN)}). Choose another output_dir, or put the "
                "earlier files back."
            )

    def _remedy(self, engine: Engine) -> str:
        """What is left where the last checkpoint is damaged: the best one holds the whole state of its epoch."""
        best = self.folder / "best.pt"
        try:
            epoch = -(-read_checkpoint(best)["iteration"] // engine.state.epoch_length)  # the last may be a part of one
        except (CheckpointError, KeyError, TypeError):
            return "Remove it to begin anew"
        return f"Copy {best} over it to go on from epoch {epoch}, with the same result"

    def _save(self, engine: Engine, name: str) -> None:
        if engine.state.rank != 0:
            return
        checkpoint = engine.checkpoint()
        checkpoint["method"] = described(checkpoint["method"], engine.method, self.settings)
        checkpoint[_FILES] = self._files
        if self.validator is not None:
            checkpoint["best_loss"] = float(self.validator.state.best_metric)  # an AUC is NumPy's, which torch refuses
            checkpoint["best_epoch"] = self.validator.state.best_metric_epoch
        save_checkpoint(checkpoint, self.folder / name)

    def _stop(self, engine: Engine) -> None:
        name = signal.Signals(engine.state.interrupted).name
        logger.warning("%s: saved %s, stopping; the same command continues", name, self.folder / "last.pt")
        engine.terminate()

    def _ask_to_stop(self, number: int, frame: Any) -> None:
        if os.getpid() != self._process:  # a worker that was forked with this handler: it ends with its loader
            return
        self._stop_asked = number
        note_signal(number)  # one that comes after the last step ends what trains again and again
        if number == signal.SIGINT and number in self._previous:  # asked again, it stops at once
            signal.signal(number, self._previous.pop(number))
            logger.warning("Ctrl-C: stopping when this step is saved; again: at once, what is not saved is redone")

    def _agreed_to_stop(self, engine: Engine) -> bool:
        """Whether any rank was asked to stop: all must stop at the same iteration."""
        asked = self._stop_asked
        if engine.wrapped is not engine.method:
            shared = torch.tensor(float(asked), device=engine.state.device)
            torch.distributed.all_reduce(shared, torch.distributed.ReduceOp.MAX)
            asked = int(shared.item())
        engine.state.interrupted = asked
        return bool(asked)
