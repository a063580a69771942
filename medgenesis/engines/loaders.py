"""What a trainer asks of its loader, so that a restart sees the samples that are still to come."""

from typing import TYPE_CHECKING

from torch.utils.data import DataLoader

from medgenesis.data.sampler import SeededSampler

if TYPE_CHECKING:
    from medgenesis.engines.pretext import PretextTrainer


def check_loader(loader: DataLoader, accumulation_steps: int, whole_batches: bool) -> None:
    """Refuse a loader that a run could not continue with (ValueError); `whole_batches`: left-over samples must go."""
    if not isinstance(getattr(loader, "sampler", None), SeededSampler):
        raise ValueError(
            "train_data_loader: must have a medgenesis.data.SeededSampler, without which a restart would replay old "
            f"samples; found {type(getattr(loader, 'sampler', None)).__name__}. PatchDataset.sampler() makes one."
        )
    if (whole_batches and not loader.drop_last) or len(loader) < 1:
        raise ValueError(
            "train_data_loader: must have drop_last=True and at least one whole batch an epoch; found "
            f"drop_last={loader.drop_last}, {len(loader.sampler)} samples an epoch, batches of {loader.batch_size}. "
            "Use a smaller batch or more cubes a volume."
        )
    if accumulation_steps < 1:
        raise ValueError(
            f"accumulation_steps: must be at least 1; found {accumulation_steps}. Give 1 to take a step each batch."
        )


def position_sampler(trainer: "PretextTrainer") -> None:
    """Point the sampler at the epoch that starts, and behind what a resumed run has already seen of it."""
    seen = trainer.state.iteration % trainer.state.epoch_length
    loader = trainer.data_loader
    loader.sampler.set_position(trainer.state.epoch - 1, seen * loader.batch_size)
