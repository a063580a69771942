# %% [markdown]
# # Models Genesis: restore corrupted patches
#
# A network gets patches whose intensities, texture and parts are corrupted, and restores them. It needs no labels.
# Here it learns for a few seconds from computed phantoms; `my_ct.json` of `medgenesis datalist` takes their place.

# %%
import logging

import torch
from torch.utils.data import DataLoader

from medgenesis.data import PatchDataset, RandAcceptedCropd, load_datalist, preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.engines import PretextTrainer
from medgenesis.handlers import Progress
from medgenesis.methods import ModelsGenesis
from medgenesis.networks import UNet3D
from medgenesis.transforms import RandGenesisd

logging.basicConfig(level=logging.INFO, format="%(message)s")
torch.manual_seed(0)
datalist = write_phantoms("phantoms_6_of_48", 6, seed=0, shape=(48, 48, 40))

# %% [markdown]
# Patches are cut from whole volumes and corrupted on the fly. Each is a function of (seed, epoch, index) alone.

# %%
patches = PatchDataset(
    load_datalist(datalist, "training"),
    preprocessing(intensity="ct"),
    RandAcceptedCropd("image", size=(32, 32, 16), criterion="foreground"),
    RandGenesisd("image", target_key="target", preset="models"),
    patches_per_image=4,
    cache="memory",
)
loader = DataLoader(patches, batch_size=4, sampler=patches.sampler(), drop_last=True)

# %% [markdown]
# The method owns the network; its forward is its loss. `width=4` makes a small network, the published one has 32.

# %%
method = ModelsGenesis(UNet3D(width=4))
trainer = PretextTrainer(
    device="cpu",
    max_epochs=3,
    train_data_loader=loader,
    method=method,
    optimizer=torch.optim.Adam(method.parameters(), lr=1e-3),
    train_handlers=[Progress()],
)
trainer.run()
torch.save(method.network.state_dict(), "pretrained.pt")
