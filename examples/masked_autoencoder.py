# %% [markdown]
# # Masked autoencoder: restore hidden blocks
#
# Three quarters of the blocks of each patch are hidden, and the network restores them. The loss counts hidden voxels
# alone. The encoder of `SparseUNet3D` computes at visible voxels only; any other encoder-decoder sees hidden blocks
# as air.

# %%
import logging

import torch
from torch.utils.data import DataLoader

from medgenesis.data import PatchDataset, RandAcceptedCropd, load_datalist, preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.engines import PretextTrainer
from medgenesis.handlers import Progress
from medgenesis.methods import MaskedAutoencoder
from medgenesis.networks import SparseUNet3D
from medgenesis.transforms import RandMaskBlocksd

logging.basicConfig(level=logging.INFO, format="%(message)s")
torch.manual_seed(0)
datalist = write_phantoms("phantoms_6_of_48", 6, seed=0, shape=(48, 48, 40))

# %% [markdown]
# Sides of a block are multiples of 8 voxels, the stride of the bottleneck. A sample also holds the `mask`, True where
# hidden.

# %%
patches = PatchDataset(
    load_datalist(datalist, "training"),
    preprocessing(intensity="ct"),
    RandAcceptedCropd("image", size=(32, 32, 16), criterion="foreground"),
    RandMaskBlocksd("image", mask_key="mask", target_key="target", ratio=0.75, block_size=8),
    patches_per_image=4,
    cache="memory",
    keys=("image", "target", "mask"),
)

# %%
method = MaskedAutoencoder(SparseUNet3D(width=4))
trainer = PretextTrainer(
    device="cpu",
    max_epochs=2,
    train_data_loader=DataLoader(patches, batch_size=4, sampler=patches.sampler(), drop_last=True),
    method=method,
    optimizer=torch.optim.Adam(method.parameters(), lr=1e-3),
    train_handlers=[Progress()],
)
trainer.run()
torch.save(method.network.state_dict(), "masked_autoencoder.pt")
