# %% [markdown]
# # Load published weights
#
# The authors' files are recognised by their keys and brought into our networks; what is dropped is reported, and a
# file that does not fit is an error. Files are not part of medgenesis and stay under their authors' terms. This
# example writes a stand-in with the published keys, so that it runs without one: put the path of the real
# `best_checkpoint.pth` of CAiD instead.

# %%
import logging

import torch

from medgenesis.networks import ResNet25D, UNet25D
from medgenesis.weights import initialise, load_published, unet25d_to_smp

logging.basicConfig(level=logging.INFO, format="%(message)s")
torch.manual_seed(0)
published = UNet25D("resnet18")
torch.save({"state_dict": unet25d_to_smp(published.state_dict())}, "best_checkpoint.pth")

# %% [markdown]
# Look at a file without changing a network:

# %%
weights = load_published("best_checkpoint.pth", network=UNet25D("resnet18"))
print(weights.report)

# %% [markdown]
# Bring it into a network. A segmentation of four classes has another head than the file: the head starts anew, and
# the log says so.

# %%
segmentation = initialise(UNet25D("resnet18", out_channels=4), "best_checkpoint.pth")

# %% [markdown]
# The encoder alone, for a classifier; and on slabs of five slices: the weights of the three input channels are spread
# over five, so that equal slices give the answer that they gave before.

# %%
encoder = initialise(ResNet25D("resnet18"), "best_checkpoint.pth")
slabs = initialise(ResNet25D("resnet18", slices=5), "best_checkpoint.pth", inflate_input=True)
x_ray = torch.rand(1, 1, 64, 64)
three, five = encoder.eval()(x_ray.expand(1, 3, 64, 64)), slabs.eval()(x_ray.expand(1, 5, 64, 64))
print(f"largest difference between three and five equal slices: {(three - five).abs().max():.1e}")
