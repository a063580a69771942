"""The statistics of batch norm, estimated again with the weights of now before each validation."""

import contextlib
from collections.abc import Generator, Iterable, Iterator

import torch
from ignite.engine import Engine, Events
from monai.data import DataLoader
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from medgenesis.data import SeededSampler
from medgenesis.handlers.validate_every import is_validated
from medgenesis.networks.normalisation import AlwaysBatchNorm2d, AlwaysBatchNorm3d


class ReestimateNorm:
    """Before each validation, give batch norm the mean statistics of training batches under the weights of now.

    In training they are a running mean with a memory of about ten batches of weights that have changed since, and
    after few steps still hold what they began with: an early network is then judged (and kept) by statistics that are
    not its own. The batches are a function of (seed, epoch) alone, and those of frozen parts are left alone.

    Args:
        batches: of training, as many as an epoch has at most.
        interval: epochs between validations; it is done before each, and at the end.

    Raises:
        ValueError: fewer than 1 batch.

    References:
        Wu, Johnson, Rethinking "batch" in BatchNorm, 2021 (arXiv 2105.07576), section 3.
    """

    def __init__(self, batches: int, interval: int = 1) -> None:
        if batches < 1:
            raise ValueError(
                f"norm_batches: must be at least 1; found {batches}. Give 0 to leave statistics as they are."
            )
        self.batches, self.interval = batches, interval

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if not is_validated(engine.state.epoch, self.interval, engine.state.max_epochs):
            return
        with torch.autocast(engine.state.device.type, enabled=engine.scaler.is_enabled()):
            reestimate_norms(engine.method.network, self._images(engine), engine.state.device)

    def _images(self, engine: Engine) -> Iterator[Tensor]:
        loader = engine.data_loader
        sampler = SeededSampler(len(loader.dataset), loader.sampler.seed)
        sampler.rank, sampler.world_size = 0, 1  # every process: the same
        sampler.set_position(engine.state.epoch)  # the order of the epoch to come
        again = DataLoader(loader.dataset, batch_size=loader.batch_size, sampler=sampler, drop_last=loader.drop_last)
        for _, batch in zip(range(self.batches), again, strict=False):
            yield torch.as_tensor(batch["image"])


def reestimate_norms(network: nn.Module, images: Iterable[Tensor], device: torch.device | str) -> None:
    """Give batch norm the mean statistics of these batches (B, C, *spatial); the network is in evaluation mode after.

    Args:
        network: changed in place; without such norms no batch is asked for.
        images: batches.
        device: of the network.
    """
    network.eval()  # the engine sets the mode of each training step
    norms = estimated_norms(network)
    if not norms:
        return
    with torch.no_grad(), averaging(norms):
        for image in images:
            network(image.to(device))


def estimated_norms(network: nn.Module) -> list[_BatchNorm]:
    """The batch norms of a network whose statistics are estimated, not those of frozen parts or "batch_always"."""
    return [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm)
        and not isinstance(module, (AlwaysBatchNorm2d, AlwaysBatchNorm3d))
        and module.running_mean is not None
        and (module.weight is None or module.weight.requires_grad)
    ]


@contextlib.contextmanager
def averaging(norms: list[_BatchNorm]) -> Generator[None]:
    """Inside, these norms take the plain mean of the batches that pass; everything else is in evaluation mode."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    yield
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
