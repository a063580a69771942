"""The crops that a training begins with: which they are, and how often each is read."""

from collections import Counter

import pytest
import torch
from helpers.boxes import write_boxes
from monai.transforms import Compose, RandShiftIntensityd

from medgenesis.data import SampleKey, SeededSampler, preprocessing
from medgenesis.data.screened_dataset import ScreenedDataset
from medgenesis.handlers import first_crops
from medgenesis.handlers.first_crops import FirstCrops


class Numbered(torch.utils.data.Dataset):
    """Two crops a sample, views of a volume that is larger than both; each reading is noted."""

    def __init__(self):
        self.read = []

    def __len__(self):
        return 3

    def __getitem__(self, key):
        self.read.append(key)
        volume = torch.full((1, 64, 8, 8), 100.0 * key.epoch + key.index)
        return [{"image": volume[:, at : at + 4], "label": volume[:, at : at + 4] + at} for at in (1, 2)]


def test_they_are_those_of_the_first_epochs_of_a_seed(tmp_path):
    steps = preprocessing(intensity="unit", label_keys=["label"]).transforms
    shifted = Compose([*steps, RandShiftIntensityd("image", 0.05, prob=1.0)])
    data = ScreenedDataset(write_boxes(tmp_path, 3), shifted, seed=4)
    one, same, other = ([image for image, _ in FirstCrops(data, seed).first(12)] for seed in (0, 0, 1))
    assert len(one) == 12 and all(map(torch.equal, one, same))
    assert len({float(image.mean()) for image in one}) > len(data)  # new chance in each epoch
    assert not all(map(torch.equal, one, other))


@pytest.mark.parametrize("kept", [9, 3, 1, 0])
def test_a_second_look_reads_what_there_was_no_room_for(monkeypatch, kept):
    monkeypatch.setattr(first_crops, "KEPT", kept * 2 * 2 * 256 * 4)  # two crops a sample, of 256 voxels, and labels
    data, order = Numbered(), SeededSampler(3, 2).order
    keys = [SampleKey(epoch, int(index)) for epoch in range(2) for index in order(epoch)]
    values = [(100.0 * key.epoch + key.index, at) for key in keys for at in (1, 2)]
    crops = FirstCrops(data, 2)
    for number in (3, 9, 9):  # of 2, 5 and 5 samples
        found = [(float(image.mean()), float((label - image).mean())) for image, label in crops.first(number)]
        assert found == values[:number]
    looks = (3, 3, 2, 2, 2)
    assert Counter(data.read) == {keys[i]: 1 if i < kept else looks[i] for i in range(5)}


def test_what_is_kept_holds_no_whole_volume():
    crops = FirstCrops(Numbered(), 0)
    list(crops.first(4))
    for image, label in crops.first(4):
        assert image.untyped_storage().nbytes() == image.nbytes and label.untyped_storage().nbytes() == label.nbytes
