"""Where the guard stops, and where it does not."""

from types import SimpleNamespace

import pytest
import torch
from monai.data import MetaTensor
from torch import nn
from torch.utils.data import DataLoader

from medgenesis.data import PatchDataset
from medgenesis.engines import PretextMethod, PretextTrainer
from medgenesis.errors import TrainingError
from medgenesis.handlers import CollapseGuard
from medgenesis.transforms import RandSlabd


def engine(spread, /, reference=1.0, loss=0.1, iteration=1, **output):
    """An engine whose restored voxels have the sample standard deviation `spread`, the target's `reference`."""
    pattern = torch.tensor([-1.0, 1.0]).repeat(32).reshape(1, 1, 4, 4, 4)
    pattern = pattern / pattern.std()
    restored = {"restored": 0.5 + spread * pattern} if spread is not None else {}
    state = SimpleNamespace(
        output=[{"loss": torch.tensor(loss), **restored, **output}],
        batch={"target": reference * pattern},
        iteration=iteration,
    )
    return SimpleNamespace(state=state)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_finite_stops_at_once(loss):
    with pytest.raises(TrainingError, match="iteration 7"):
        CollapseGuard()(engine(0.5, loss=loss, iteration=7))


def test_the_last_of_patience_flat_batches_stops():
    guard = CollapseGuard(min_spread=0.02, patience=3)
    guard(engine(0.0199))
    guard(engine(0.0199))
    with pytest.raises(TrainingError, match="collapsed.*iteration 9"):
        guard(engine(0.0199, iteration=9))


def test_one_good_batch_starts_the_count_anew():
    guard = CollapseGuard(min_spread=0.02, patience=3)
    for spread in (0.01, 0.01, 0.0201, 0.01, 0.01, 0.5, 0, 0):
        guard(engine(spread))
    with pytest.raises(TrainingError):
        guard(engine(0))


@pytest.mark.parametrize(("spread", "reference", "stops"), [(0.019, 1, True), (0.021, 1, False), (0.019, 0.9, False)])
def test_the_spread_is_relative_to_the_targets(spread, reference, stops):
    guard = CollapseGuard(min_spread=0.02, patience=1)
    if stops:
        with pytest.raises(TrainingError):
            guard(engine(spread, reference))
    else:
        guard(engine(spread, reference))


def test_methods_that_restore_nothing_and_constant_targets_pass():
    guard = CollapseGuard(patience=1)
    guard(engine(None))
    guard(engine(0.0, reference=0.0))


def test_half_precision_is_measured_in_single():
    guard = CollapseGuard(min_spread=0.02, patience=1)
    flat = engine(0.0)
    flat.state.output[0]["restored"] = torch.full((1, 1, 64, 64, 32), 0.7, dtype=torch.float16)
    with pytest.raises(TrainingError):
        guard(flat)


@pytest.mark.parametrize(
    ("part", "bad", "good", "what"),
    [
        ("spread", 0.0199, 0.0201, "embeddings: must differ; found them collapsed"),
        ("pruned", 0.9901, 0.9899, "found nothing left to contrast"),
    ],
)
def test_embeddings_that_no_longer_differ_stop(part, bad, good, what):
    guard = CollapseGuard(patience=2)
    for value in (bad, good, bad):
        guard(engine(None, **{part: torch.tensor(value)}))
    with pytest.raises(TrainingError, match=f"{what}.*iteration 9"):
        guard(engine(None, iteration=9, **{part: torch.tensor(bad)}))


def test_each_sign_counts_for_itself():
    guard = CollapseGuard(patience=2)
    for _ in range(3):
        guard(engine(0.0, spread=torch.tensor(1.0)))
        guard(engine(0.5, spread=torch.tensor(0.0)))


class Breaking(PretextMethod):
    """Its loss is not a number in call `at`; `values` are the first voxels of that batch."""

    def __init__(self, at):
        super().__init__()
        self.weight, self.at, self.calls = nn.Parameter(torch.ones(())), at, 0
        self.network = nn.Identity()

    def forward(self, batch):
        self.calls += 1
        self.values = batch["image"][:, 0, 0, 0].tolist()
        return {"loss": self.weight * (float("nan") if self.calls == self.at else 1.0)}


def breaking_run(volumes, batch, at):
    """The message, and the files that the batch was made of."""
    records = [{"image": f"scan_{value}.nii.gz", "value": value} for value in range(volumes)]
    dataset = PatchDataset(
        records,
        lambda record: {"image": MetaTensor(torch.full((1, 2, 2), float(record["value"])))},
        RandSlabd("image", 1),
        patches_per_image=3,
        cache="none",
    )
    loader = DataLoader(dataset, batch, sampler=dataset.sampler(), drop_last=True)
    method = Breaking(at)
    optimizer = torch.optim.SGD(method.parameters(), 0.1)
    trainer = PretextTrainer("cpu", 3, loader, method, optimizer, None, [CollapseGuard()])
    with pytest.raises(TrainingError, match=f"iteration {at}, in a batch of") as error:
        trainer.run()
    return str(error.value), {f"scan_{value:.0f}.nii.gz" for value in method.values}


@pytest.mark.parametrize("at", [1, 2, 8])  # 3 batches an epoch
def test_the_files_of_the_broken_batch_are_named(at):
    message, files = breaking_run(5, batch=4, at=at)
    assert {name for name in [f"scan_{i}.nii.gz" for i in range(5)] if name in message} == files != set()
    assert "more" not in message.partition(":")[0]


def test_of_many_files_the_first_and_their_number():
    message, files = breaking_run(30, batch=60, at=1)
    named = {name for name in files if name in message}
    assert len(named) == 16 and f"and {len(files) - 16} more" in message
