"""The one trainer of all pretext methods."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import EventEnum, Events
from monai.engines import Trainer
from monai.handlers import CheckpointLoader
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from medgenesis.data.contents import contents_of
from medgenesis.data.patch_dataset import SeededDataset
from medgenesis.data.volume_check import with_file
from medgenesis.distributed import waiting
from medgenesis.engines.batches import ready, weights_in_channels_last
from medgenesis.engines.continuing import CONFIGURATION, LISTS, check_same_run
from medgenesis.engines.epoch_rates import iterations_for
from medgenesis.engines.loaders import check_loader, position_sampler
from medgenesis.engines.method import PretextMethod, check_method
from medgenesis.engines.schedules import hold_rates, initial_rates, load_schedule, note_initial_rates
from medgenesis.errors import CheckpointError

logger = logging.getLogger(__name__)


class PretextEvents(EventEnum):
    """What a `PretextTrainer` fires beside Ignite's events."""

    RUN_ENDED = "run_ended"  # however the run ended: completed, terminated or by an error


class PretextTrainer(Trainer):
    """Train a pretext method: a module whose forward returns its loss and its named parts.

    A MONAI `Trainer` (an Ignite engine), so every MONAI and Ignite handler works with it. What differs between
    methods is the method; what differs between runs is a setting or a handler.

    Args:
        device: where to train.
        max_epochs: epochs to train in all, restarts included.
        train_data_loader: loader with a `SeededSampler`, and whole batches (`drop_last=True`) unless the method takes
            others (its `whole_batches`).
        method: see `PretextMethod`; moved to `device`, and wrapped in DistributedDataParallel
            where `torch.distributed` is initialised. A run goes on only with the same `method.settings`.
        optimizer: over the parameters of `method`.
        lr_scheduler: stepped by a handler (MONAI's `LrScheduleHandler`); here so that checkpoints hold it.
        train_handlers: attached in this order.
        amp: automatic mixed precision, on a CUDA device (float16 with loss scaling).
        accumulation_steps: batches whose gradients are averaged for one optimizer step; an epoch's last group may be
            smaller.
        steps: optimizer steps in all, restarts included, unless `max_epochs` end before: the last of them ends training
            and completes its epoch, in the middle of one too; None: `max_epochs` alone.
        clip_norm: largest norm of the gradient, or None.
        channels_last: keep slabs, volumes and weights in channels-last memory order (faster convolutions).
        seed: of what the network itself draws (dropout), reset at every iteration from (seed, iteration, rank), so
            that a restart changes nothing.
        made_with: what else a run that is continued must agree in, plain data: the settings of a bundle, as
            `medgenesis.bundles.made_with` gives them. The contents of the lists are compared in any case.

    Raises:
        ValueError: a loader without `SeededSampler`, an empty epoch, `accumulation_steps` below 1, no
            `PretextMethod`, or a batch size that it refuses (its `check_batch`).

    Notes:
        `state.output` is a list of one dictionary, what the method gave for the batch: the form from which MONAI's
        handlers (`MLFlowHandler`, `from_engine(["loss"], first=True)`) take a loss. `iteration` counts batches, as in
        Ignite, not optimizer steps. `learning_rate` is the one (of the first group) that the latest optimizer step
        used; the optimizer may have that of the next step already. A run that is continued with another learning
        rate goes on with it from there, and says so. MONAI's `CheckpointLoader` among the handlers makes it a new run,
        which starts from these weights (MONAI Label): `begins_anew`.
    """

    def __init__(
        self,
        device: torch.device | str,
        max_epochs: int,
        train_data_loader: DataLoader,
        method: PretextMethod,
        optimizer: torch.optim.Optimizer,
        lr_scheduler: Any = None,
        train_handlers: Sequence | None = None,
        *,
        amp: bool = False,
        accumulation_steps: int = 1,
        steps: int | None = None,
        clip_norm: float | None = None,
        channels_last: bool = False,
        seed: int = 0,
        made_with: Mapping[str, Any] | None = None,
    ) -> None:
        device = torch.device(device)
        check_loader(train_data_loader, accumulation_steps, getattr(method, "whole_batches", True))
        check_method(method)
        method.check_batch(train_data_loader.batch_size, train_data_loader.sampler.world_size)
        self.method = method.to(device)  # parameters keep their identity, so the optimizer stays right
        self.channels_last = channels_last
        if channels_last:
            weights_in_channels_last(self.method)
        self.wrap()
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler
        note_initial_rates(optimizer)
        self.learning_rate = float(optimizer.param_groups[0]["lr"])
        self.accumulation_steps, self.clip_norm, self.seed = accumulation_steps, clip_norm, seed
        super().__init__(device, max_epochs, train_data_loader, amp=amp, decollate=False, event_names=[PretextEvents])
        self.scaler = torch.amp.GradScaler(device.type, enabled=amp and device.type == "cuda")
        self.made_with, self.validation_list = made_with, None  # the second is set by the handler that validates
        self.begins_anew = any(isinstance(handler, CheckpointLoader) for handler in train_handlers or ())
        self.state.interrupted = 0  # the number of a signal, set by the handler that ends the run for it
        batches = len(train_data_loader)
        self.last_iteration = None if steps is None else iterations_for(steps, batches, accumulation_steps)
        self._sums: dict[str, Tensor] = {}  # of this epoch so far: "loss", the parts, and "batches"
        self.add_event_handler(Events.EPOCH_STARTED, position_sampler)
        self.add_event_handler(Events.ITERATION_COMPLETED, _end_after_last_step)
        self.add_event_handler(Events.EPOCH_COMPLETED, _average_epoch)
        for handler in train_handlers or ():
            handler.attach(self)

    def run(self) -> None:
        """Train until `max_epochs`, from wherever a checkpoint handler has put the state.

        Raises:
            SystemExit: with status 143 or 130, after a handler has ended the run for a SIGTERM or a Ctrl-C
                (`state.interrupted`), so that what comes after training in a script does not start.
            TrainingError: another process of the training does not answer in time.
        """
        try:
            # not MONAI's Trainer.run: it would replace the loss scaler, and with it what was resumed
            with waiting():
                super(Trainer, self).run()
        finally:
            self.fire_event(PretextEvents.RUN_ENDED)
        if self.state.interrupted:
            raise SystemExit(128 + self.state.interrupted)

    def wrap(self) -> None:
        """Let processes share the gradients of the weights that are learnt from now on (see `Supervised.freeze`)."""
        self.wrapped = _distributed(self.method, next(self.method.parameters()).device)

    @property
    def at_step(self) -> bool:
        """Whether the batch just seen ended with an optimizer step (no gradients are pending)."""
        position = (self.state.iteration - 1) % self.state.epoch_length + 1
        return position % self.accumulation_steps == 0 or self.at_epoch_end

    @property
    def group_size(self) -> int:
        """Batches whose gradients make one step, of the group of the present one: an epoch's last may be short."""
        position = (self.state.iteration - 1) % self.state.epoch_length
        first = position - position % self.accumulation_steps
        return min(self.accumulation_steps, self.state.epoch_length - first)

    @property
    def at_epoch_end(self) -> bool:
        """Whether the batch just seen is its epoch's last one."""
        return self.state.iteration % self.state.epoch_length == 0 or self.state.iteration == self.last_iteration

    def files_of_batch(self) -> list[str]:
        """The files that the samples of the present batch are made of, each once; of a data set of ours, else none."""
        dataset, size = self.data_loader.dataset, self.data_loader.batch_size
        if not isinstance(dataset, SeededDataset):
            return []
        epoch, position = divmod(self.state.iteration - 1, self.state.epoch_length)
        order = self.data_loader.sampler.order(epoch)[position * size : (position + 1) * size]
        return list(dict.fromkeys(dataset.file(int(index)) for index in order))

    def _iteration(self, engine: "PretextTrainer", batchdata: dict[str, Tensor]) -> list[dict[str, Any]]:
        _reseed(self.state.device, self.seed, self.state.iteration, self.state.rank)
        batch = self._ready(batchdata)
        self.wrapped.train()
        with torch.autocast(self.state.device.type, enabled=self.scaler.is_enabled()):
            output = self.wrapped(batch)
        self.state.batch = batch
        self.scaler.scale(output["loss"] / self.group_size).backward()
        if self.at_step:
            self._optimizer_step()
        output = {**output, "loss": output["loss"].detach()}
        self._accumulate(output)
        return [output]

    def _ready(self, batchdata: dict[str, Tensor]) -> dict[str, Any]:
        try:
            return ready(batchdata, self.data_loader.dataset, self.state.device, self.channels_last)
        except Exception as error:  # of a transform that was deferred
            named = with_file(error, ", ".join(self.files_of_batch()))
            raise named from named.__cause__

    def checkpoint(self) -> dict[str, Any]:
        """All that `restore` needs to continue as if nothing had happened; readable with `weights_only=True`."""
        return {
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": None if self.lr_scheduler is None else self.lr_scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "iteration": self.state.iteration,
            "metrics": dict(self.state.metrics),
            "sums": {name: value.item() for name, value in self._sums.items()},
            "settings": self._settings(),
        }

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Put the trainer where `checkpoint()` was taken; a learning rate that is another by now holds from there on.

        Raises:
            CheckpointError: the checkpoint is of another method, network or optimizer, or of a run with other settings
                (lists, seed, batches, processes, those of the method and of the config), which could not continue
                exactly.
        """
        check_same_run(checkpoint.get("settings") or {}, self._settings())
        rates = initial_rates(self.optimizer)
        try:
            self.method.load_state_dict(checkpoint["method"])
            self.optimizer.load_state_dict(checkpoint["optimizer"])
            if self.lr_scheduler is not None:
                load_schedule(self.lr_scheduler, checkpoint["lr_scheduler"])
            self.scaler.load_state_dict(checkpoint["scaler"])
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            first = str(error).strip().splitlines()[:3]
            raise CheckpointError(
                "checkpoint: must be of the same network, method, optimizer and schedule; found another: "
                f"{' '.join(first)}. Use the configuration that wrote it, or another output folder."
            ) from error
        note_initial_rates(self.optimizer, rates)  # which checkpoints of before may lack
        earlier = initial_rates(self.optimizer)
        if rates != earlier:
            hold_rates(self.optimizer, self.lr_scheduler, rates)
            logger.warning("learning rate: %s from here on; it was %s", _listed(rates), _listed(earlier))
        self.state.iteration = checkpoint["iteration"]
        self.state.epoch = self.state.iteration // self.state.epoch_length
        if self.last_iteration is not None and self.state.iteration >= self.last_iteration:  # all steps are done
            self.state.epoch = max(self.state.epoch, self.state.max_epochs)
        self.state.metrics.update(checkpoint.get("metrics", {}))  # some stand for several epochs
        device = self.state.device
        self._sums = {k: torch.tensor(v, dtype=torch.float64, device=device) for k, v in checkpoint["sums"].items()}

    def _settings(self) -> dict[str, Any]:
        lists = dict(zip(LISTS, (contents_of(self.data_loader.dataset), self.validation_list), strict=True))
        configuration = {} if self.made_with is None else {CONFIGURATION: dict(self.made_with)}
        return {
            **{name: content for name, content in lists.items() if content is not None},
            "seed": self.seed,
            "data seed": self.data_loader.sampler.seed,
            "batch size": self.data_loader.batch_size,
            "batches an epoch": self.state.epoch_length,
            "accumulation steps": self.accumulation_steps,
            "processes": self.data_loader.sampler.world_size,
            **self.method.settings,
            **configuration,
        }

    def _accumulate(self, output: dict[str, Any]) -> None:
        for name in ("loss", *self.method.parts):
            self._sums[name] = self._sums.get(name, 0) + output[name].detach().double()
        self._sums["batches"] = self._sums.get("batches", torch.zeros_like(self._sums["loss"])) + 1

    def _optimizer_step(self) -> None:
        self.learning_rate = float(self.optimizer.param_groups[0]["lr"])  # schedules go on before anything is logged
        if self.clip_norm is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.method.parameters(), self.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)


def _listed(rates: Sequence[float]) -> str:
    return ", ".join(f"{rate:g}" for rate in dict.fromkeys(rates))


def _end_after_last_step(trainer: PretextTrainer) -> None:
    if trainer.state.iteration == trainer.last_iteration and trainer.state.iteration % trainer.state.epoch_length:
        trainer.terminate_epoch()  # which is completed all the same: validated, saved


def _average_epoch(trainer: PretextTrainer) -> None:
    """Put the epoch's mean loss and parts, over all ranks, into `state.metrics`.

    All ranks then take rank 0's buffers (running statistics of batch norm), so that what is validated is what is saved.
    """
    sums, trainer._sums = trainer._sums, {}
    values = torch.stack(list(sums.values()))
    if trainer.wrapped is not trainer.method:
        torch.distributed.all_reduce(values)
        for buffer in trainer.method.buffers():
            torch.distributed.broadcast(buffer, 0)
    means = dict(zip(sums, (values / values[list(sums).index("batches")]).tolist(), strict=True))
    means.pop("batches")
    trainer.state.metrics.update(means)


def _distributed(method: nn.Module, device: torch.device) -> nn.Module:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return method
    return DistributedDataParallel(method, device_ids=[device] if device.type == "cuda" else None)


def _reseed(device: torch.device, *parts: int) -> None:
    """`torch.manual_seed`, which formats a stack trace for each kind of device that is not there, without these."""
    seed = int(np.random.SeedSequence(parts).generate_state(1)[0])
    if device.type not in ("cpu", "cuda"):
        torch.manual_seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)
