"""A run whose batches are corrupted by the trainer is the run whose loader does it, also where it is continued."""

import pytest
import torch
from helpers.toy import same
from ignite.engine import Events

from medgenesis.data.patch_dataset import SeededDataset, chain
from medgenesis.engines import PretextEvaluator, PretextTrainer
from medgenesis.errors import IntensityRangeError
from medgenesis.methods import MaskedAutoencoder, ModelsGenesis
from medgenesis.transforms import RandGenesisd, RandMaskBlocksd

pytestmark = pytest.mark.usefixtures("one_thread")


class Noise(SeededDataset):
    """Volumes that are cubes already; of `wrong`, out of the range."""

    def __init__(self, transform, deferred, wrong=None):
        super().__init__(chain(dict, transform, deferred), seed=2, keys=("image", "target", "mask"))
        self.wrong = wrong

    def __len__(self):
        return 8

    def file(self, index):
        return f"volume_{index}.nii.gz"

    def source(self, index):
        volume = torch.rand(1, 8, 8, 8, generator=torch.Generator().manual_seed(index))
        return {"image": volume + 7 if index == self.wrong else volume}


def trainer(method_class, transform, deferred, epochs=2, **settings):
    torch.manual_seed(0)
    method = method_class(torch.nn.Conv3d(1, 1, 3, padding=1))
    dataset = Noise(transform, deferred, **settings)
    optimizer = torch.optim.SGD(method.parameters(), lr=0.5)
    return PretextTrainer("cpu", epochs, dataset.loader(2), method, optimizer, channels_last=True)


@pytest.mark.parametrize(
    ("method", "transform"),
    [(ModelsGenesis, RandGenesisd()), (MaskedAutoencoder, RandMaskBlocksd(target_key="target", block_size=4))],
)
def test_weights_are_equal_also_after_a_restart(method, transform):
    whole, left, begun = (trainer(method, transform, deferred) for deferred in (False, True, True))
    whole.run()
    left.run()
    same(left.method.state_dict(), whole.method.state_dict())
    assert left.state.metrics == whole.state.metrics and left.state.batch.keys() == whole.state.batch.keys()
    begun.add_event_handler(Events.ITERATION_COMPLETED(once=5), begun.terminate)
    begun.run()
    again = trainer(method, transform, deferred=True)
    again.restore(begun.checkpoint())
    again.run()
    same(again.method.state_dict(), whole.method.state_dict())
    losses = []
    for deferred in (False, True):
        judge = PretextEvaluator("cpu", Noise(transform, deferred).loader(3, fixed=True), whole.method)
        judge.run()
        losses.append(judge.state.metrics["loss"])
    assert losses[0] == losses[1]


def test_an_error_on_the_device_names_the_files_of_the_batch():
    with pytest.raises(IntensityRangeError, match=r"volume_5\.nii\.gz.*: volume: must lie in value_range"):
        trainer(ModelsGenesis, RandGenesisd(), deferred=True, wrong=5).run()
