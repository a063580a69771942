"""SparseUNet3D: what is hidden is not seen, and what is seen is normalised alone, against a slow computation."""

import numpy as np
import pytest
import torch

from medgenesis.engines.batches import in_channels_last, weights_in_channels_last
from medgenesis.networks import SparseUNet3D, UNet3D
from medgenesis.transforms import BatchedMaskBlocks

NORMS = pytest.mark.parametrize("norm", ["batch", "instance", "batch_always"])


def masked(*shape, block_size=8, seed=0):
    """A batch in [0, 1) and its mask."""
    transform = BatchedMaskBlocks(block_size=block_size).set_random_state(seed)
    volume = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    transform(volume)
    return volume, transform.params.mask("cpu")[:, None]


def network(norm="batch", **settings):
    torch.manual_seed(0)
    made = SparseUNet3D(width=2, norm=norm, **settings)
    for name, value in made.named_buffers():
        if "running" in name:
            value.uniform_(0.5, 1.5)
    return made


def slowly(net, volume, mask):
    """The filled feature maps, by the definition: zeros where hidden, statistics of a list of visible values."""
    features, x, hidden = [], volume.clone(), mask[:, 0]
    x[mask.expand_as(x)] = 0
    for level, (convolutions, token) in enumerate(zip(net.encoder.levels, net.mask_tokens, strict=True)):
        if level:
            x, hidden = torch.nn.functional.max_pool3d(x, 2), hidden[:, ::2, ::2, ::2]
        for layer in convolutions:
            y, x = layer.conv(x).detach().double().numpy(), None
            x = np.zeros_like(y)
            for channel in range(y.shape[1]):
                for group in [[b] for b in range(len(y))] if net.encoder.norm == "instance" else [range(len(y))]:
                    places = [(b, channel, *at) for b in group for at in np.argwhere(~hidden[b].numpy()).tolist()]
                    seen = np.array([y[place] for place in places])
                    mean, variance = seen.mean(), seen.var()
                    if net.encoder.norm == "batch" and not net.training:
                        mean, variance = (s[channel].item() for s in (layer.norm.running_mean, layer.norm.running_var))
                    for place, value in zip(places, seen, strict=True):
                        value = (value - mean) / (variance + 1e-5) ** 0.5
                        x[place] = max(0, value * layer.norm.weight[channel].item() + layer.norm.bias[channel].item())
            x = torch.from_numpy(x).float()
        filled = x.clone()
        for b, *at in np.argwhere(hidden.numpy()).tolist():
            filled[(b, slice(None), *at)] = token.detach().flatten()
        features.append(filled)
    return features


@NORMS
@pytest.mark.parametrize("training", [True, False])
def test_features_are_those_of_the_definition(norm, training):
    net = network(norm).train(training)
    volume, mask = masked(2, 1, 16, 16, 16)
    expected = net.head(net.decoder(slowly(net, volume, mask)))
    torch.testing.assert_close(net(volume, mask), expected, rtol=0, atol=2e-5)


def test_running_statistics_are_of_visible_voxels():
    net = network().train()
    volume, mask = masked(2, 1, 16, 24, 16)
    first = net.encoder.levels[0][0]
    before = first.norm.running_mean.clone(), first.norm.running_var.clone()
    net(volume, mask)
    seen = first.conv(volume.masked_fill(mask, 0)).movedim(1, -1)[~mask[:, 0]]
    for found, old, new in zip(
        (first.norm.running_mean, first.norm.running_var), before, (seen.mean(0), seen.var(0)), strict=True
    ):
        torch.testing.assert_close(found, 0.9 * old + 0.1 * new)


@NORMS
def test_the_output_does_not_depend_on_what_is_hidden(norm):
    net = network(norm)
    volume, mask = masked(2, 1, 16, 16, 24)
    other = torch.where(mask, torch.rand_like(volume) * 100, volume)
    assert torch.equal(net(volume, mask), net(other, mask))
    volume.requires_grad_()
    net(volume, mask).square().sum().backward()
    assert (volume.grad[mask] == 0).all() and (volume.grad[~mask] != 0).any()
    assert all(parameter.grad is not None for parameter in net.parameters())


@NORMS
def test_features_keep_the_memory_order(norm):
    """Channels last, as the trainer lays batches and weights out; else every convolution would copy its input."""
    net, (volume, mask) = network(norm), masked(2, 1, 16, 16, 24)
    expected = net.encoder(volume, mask)
    weights_in_channels_last(net)
    for found, plain in zip(net.encoder(in_channels_last(volume), mask), expected, strict=True):
        assert plain.is_contiguous() and found.is_contiguous(memory_format=torch.channels_last_3d)
        torch.testing.assert_close(found, plain)


@NORMS
def test_with_nothing_hidden_or_no_mask_it_is_the_unet(norm):
    net, unet = network(norm, out_channels=2, activation=None), UNet3D(1, 2, 2, norm=norm, activation=None)
    unet.load_state_dict({key: value for key, value in net.state_dict().items() if not key.startswith("mask_tokens.")})
    volume = torch.rand(2, 1, 16, 16, 16)
    expected = unet(volume)
    assert torch.equal(net(volume), expected)
    torch.testing.assert_close(net(volume, torch.zeros_like(volume, dtype=torch.bool)), expected)


def hiding(*boxes, shape=(2, 1, 16, 16, 16)):
    mask = torch.zeros(shape, dtype=torch.bool)
    for b, *sides in boxes:
        mask[(b, 0, *(slice(0, side) for side in sides))] = True
    return mask


@pytest.mark.parametrize(
    "mask",
    [
        hiding((0, 8, 8, 8)),
        hiding((0, 8, 8, 4), (1, 8, 8, 4)),
        hiding((0, 16, 16, 16), (1, 16, 16, 16)),
        hiding((0, 8, 8, 8), (1, 8, 8, 8)).float(),
        hiding(shape=(2, 2, 16, 16, 16)),
    ],
    ids=["not alike many", "half blocks", "everything", "not bool", "a channel each"],
)
def test_other_masks_are_refused(mask):
    with pytest.raises(ValueError, match="^mask: must"):
        network()(torch.rand(2, 1, 16, 16, 16), mask)


def test_padding_and_a_mask_do_not_go_together():
    net = network(pad_to_multiple=True)
    assert net(torch.rand(2, 1, 17, 16, 16)).shape == (2, 1, 17, 16, 16)
    with pytest.raises(ValueError, match="^mask: must"):
        net(torch.rand(2, 1, 17, 16, 16), hiding(shape=(2, 1, 17, 16, 16)))
