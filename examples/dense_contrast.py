# %% [markdown]
# # Dense contrast: the same voxel in two overlapping patches
#
# Two patches that overlap are corrupted, each by itself. The network learns features by which a voxel of the one is
# found among those of the other. Its encoder and decoder then begin a segmentation.

# %%
import logging

import torch
from torch.utils.data import DataLoader

from medgenesis.data import PatchDataset, RandAcceptedCropd, load_datalist, preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.engines import PretextTrainer
from medgenesis.handlers import Progress
from medgenesis.methods import DenseContrast
from medgenesis.networks import UNet3D
from medgenesis.transforms import RandTwoCubesd
from medgenesis.weights import initialise

logging.basicConfig(level=logging.INFO, format="%(message)s")
torch.manual_seed(0)
datalist = write_phantoms("phantoms_6_of_32", 6, seed=0, shape=(32, 32, 32))

# %%
patches = PatchDataset(
    load_datalist(datalist, "training"),
    preprocessing(intensity="ct"),
    RandAcceptedCropd("image", size=(24, 24, 24), criterion="foreground"),  # what both are cut from
    RandTwoCubesd("image", size=16),
    patches_per_image=4,
    cache="memory",
    keys=("image", "other", "offset"),
)
method = DenseContrast(UNet3D(width=4, out_channels=8, activation=None))
trainer = PretextTrainer(
    device="cpu",
    max_epochs=2,
    train_data_loader=DataLoader(patches, batch_size=4, sampler=patches.sampler(), drop_last=True),
    method=method,
    optimizer=torch.optim.Adam(method.parameters(), lr=3e-3),
    train_handlers=[Progress()],
)
trainer.run()
torch.save(method.network.state_dict(), "dense_contrast.pt")

# %% [markdown]
# A network with three classes begins with what was learnt; its head is new.

# %%
network = initialise(UNet3D(width=4, out_channels=3, activation=None), "dense_contrast.pt")
with torch.no_grad():
    print("logits of one patch:", tuple(network(patches[0]["image"][None]).shape))
