"""Networks through TorchScript, as `monai.bundle ckpt_export` does it: the compiled network gives the same numbers."""

import pytest
import torch

from medgenesis.networks import ResNet25D, UNet3D, UNet25D

VOLUME, SLABS = (2, 1, 16, 24, 16), (2, 3, 64, 96)
NETWORKS = {
    "unet3d": (lambda: UNet3D(1, 3, 2, activation=None), VOLUME),
    "unet3d, always batch": (lambda: UNet3D(1, 3, 2, norm="batch_always"), VOLUME),
    "unet3d, instance": (lambda: UNet3D(1, 3, 2, norm="instance"), VOLUME),
    "unet3d, padded": (lambda: UNet3D(1, 3, 2, pad_to_multiple=True), (1, 1, 17, 16, 23)),
    "unet3d, all levels": (lambda: UNet3D(1, 3, 2, head_levels="all", pad_to_multiple=True), (1, 1, 17, 16, 23)),
    "resnet18, all levels": (lambda: UNet25D("resnet18", 3, 3, head_levels="all"), SLABS),
    "resnet18": (lambda: UNet25D("resnet18", 3, 3), SLABS),
    "resnet50": (lambda: UNet25D("resnet50", 3, 3), SLABS),
    "densenet121": (lambda: UNet25D("densenet121", 3, 3), SLABS),
    "backbone": (lambda: ResNet25D("resnet18"), SLABS),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_scripted_equals_eager(name):
    make, shape = NETWORKS[name]
    generator = torch.Generator().manual_seed(0)
    network = make().eval()
    for buffer in network.buffers():  # running statistics that are not those of a new network
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5, generator=generator)
    x = torch.rand(shape, generator=generator)
    scripted = torch.jit.script(network)
    with torch.no_grad():
        assert torch.equal(scripted(x), network(x))
