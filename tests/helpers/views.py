"""Tiny networks with the interfaces of ResNet25D and UNet25D, and batches of two views, for the tests beside."""

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from medgenesis.data.sampler import SeededSampler


class Backbone(nn.Module):
    """Slabs (B, 3, H, W) -> pooled features (B, 6), with batch norm."""

    out_channels = 6

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x))).mean((2, 3))


class Encoder(Backbone):
    def forward(self, x):
        shallow = torch.relu(self.conv(x))
        return [shallow, torch.relu(self.norm(shallow))]


class Unet(nn.Module):
    """Slabs (B, 3, H, W) -> logits (B, 1, H, W)."""

    def __init__(self, activation=None):
        super().__init__()
        self.encoder = Encoder()
        self.decoder = nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(6, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.head = nn.Sequential(nn.Conv2d(4, 1, 1), activation or nn.Identity())

    def forward(self, x):
        return self.head(self.decoder(self.encoder(x)[-1]))


def two_views(batch=4, side=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    views = {name: torch.rand(batch, 3, side, side, generator=generator) for name in ("image", "key")}
    return {**views, "target": torch.rand(batch, 1, side, side, generator=generator)}


class Slabs(Dataset):
    """Views that are a function of (epoch, index) alone: two noisy versions of one of `count` slabs."""

    def __init__(self, count=8, side=8):
        generator = torch.Generator().manual_seed(1)
        brightness = torch.rand(count, 3, 1, 1, generator=generator)
        self.clean = 0.6 * brightness + 0.2 * torch.rand(count, 3, side, side, generator=generator)

    def __len__(self):
        return len(self.clean)

    def __getitem__(self, key):
        epoch, index = key
        generator = torch.Generator().manual_seed(1000 * epoch + index)
        clean = self.clean[index]
        image, other = (clean + 0.2 * torch.rand(clean.shape, generator=generator) for _ in range(2))
        return {"image": image, "key": other, "target": clean[1:2]}


def loader_of(slabs, batch=4):
    return DataLoader(slabs, batch, sampler=SeededSampler(len(slabs)), drop_last=True)


def state_of(module):
    """A copy of every parameter and buffer."""
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def differing(before, module):
    """Names of the entries that are no longer bitwise as they were."""
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}
