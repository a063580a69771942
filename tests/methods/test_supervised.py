"""Learning from labels by the engine of pre-training: a plain loop's numbers, and an exact restart."""

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.data import DataLoader, MetaTensor
from monai.handlers import LrScheduleHandler
from monai.transforms import Compose, RandShiftIntensityd

from medgenesis.data import SeededSampler
from medgenesis.data.sampler import SampleKey
from medgenesis.data.screened_dataset import ScreenedDataset
from medgenesis.engines import PretextTrainer
from medgenesis.handlers import Checkpoints
from medgenesis.methods import Supervised

pytestmark = pytest.mark.usefixtures("one_thread")


def records(folder):
    for number in range(3):
        np.save(folder / f"{number}.npy", np.random.default_rng(number).random((8, 8, 8), dtype=np.float32))
    return [{"image": str(folder / f"{number}.npy"), "class": number % 2} for number in range(3)]


def dataset(folder):
    from medgenesis.data import preprocessing

    steps = [*preprocessing(intensity="unit").transforms, RandShiftIntensityd("image", 0.5, prob=1.0)]
    return ScreenedDataset(records(folder), Compose(steps), seed=4)


def test_chance_is_a_function_of_the_key(tmp_path):
    one, two = dataset(tmp_path), dataset(tmp_path)
    first = one[SampleKey(2, 1)]["image"]
    two[SampleKey(0, 0)]
    assert torch.equal(first, two[SampleKey(2, 1)]["image"])
    assert not torch.equal(first, two[SampleKey(3, 1)]["image"])


def trainer(folder, data, epochs):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.2), torch.nn.Linear(512, 2))
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    loader = DataLoader(data, batch_size=2, sampler=SeededSampler(len(data), 1))
    method = Supervised(network, torch.nn.CrossEntropyLoss(), "class", torch.long)
    return PretextTrainer(
        "cpu",
        epochs,
        loader,
        method,
        optimizer,
        schedule,
        [LrScheduleHandler(schedule, print_lr=False), Checkpoints(folder)],
        seed=5,
    )


def test_a_restart_changes_nothing_and_small_batches_count(tmp_path):
    data = dataset(tmp_path)
    whole = trainer(tmp_path / "whole", data, 3)
    whole.run()
    assert whole.state.iteration == 6  # three records in batches of two: none is left out
    stopped = trainer(tmp_path / "stopped", data, 3)

    def stop(engine):
        if engine.state.iteration == 4:
            raise KeyboardInterrupt

    stopped.add_event_handler(Events.ITERATION_COMPLETED, stop)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    again = trainer(tmp_path / "stopped", dataset(tmp_path), 3)
    again.run()
    for name, value in whole.method.state_dict().items():
        assert torch.equal(value, again.method.state_dict()[name]), name


def test_more_epochs_of_a_finished_cosine_learn_again(tmp_path):
    """The rate of the longer schedule at that epoch; torch's own recursion would stay at 0."""
    data = dataset(tmp_path)
    trainer(tmp_path, data, 2).run()
    longer = trainer(tmp_path, data, 4)
    rates = []
    longer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: rates.append(engine.optimizer.param_groups[0]["lr"])
    )
    longer.run()
    assert max(rates) > 0.004


@pytest.mark.parametrize("dtype", [None, torch.float])
def test_the_loss_is_that_of_plain_tensors(dtype):
    network = torch.nn.Conv2d(1, 1, 1)
    image, label = MetaTensor(torch.rand(2, 1, 4, 4)), MetaTensor(torch.randint(0, 2, (2, 1, 4, 4)).float())
    found = Supervised(network, torch.nn.MSELoss(), dtype=dtype)({"image": image, "label": label})["loss"]
    assert type(found) is torch.Tensor
    torch.testing.assert_close(found, ((network(image.as_tensor()) - label.as_tensor()) ** 2).mean())
