# %% [markdown]
# # Adam: tell anatomy apart, from coarse to fine
#
# Two views of one cell of an image must be told from other cells: at level 0 the cell is the whole image, at level 2
# a quarter. Each level starts from the level before, with its heads and its queue.

# %%
import logging

import torch
from monai.transforms import Compose
from torch.utils.data import DataLoader

from medgenesis.data import PatchDataset, load_datalist, preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.engines import PretextTrainer
from medgenesis.handlers import Progress
from medgenesis.methods import Adam, initialise_from_stage
from medgenesis.networks import ResNet25D
from medgenesis.transforms import RandSlabd, adam_views

logging.basicConfig(level=logging.INFO, format="%(message)s")
torch.manual_seed(0)
xrays = write_phantoms("phantoms_6_of_64", 6, seed=0, shape=(64, 64, 64)).with_name("xray_datalist.json")

# %% [markdown]
# `least_side=16` accepts the small cells of these small X-rays; cells below 32 pixels are refused otherwise.
# `prune_after` lets some batches pass before negatives that look like the anchor are left out.

# %%
previous = None
for level in (0, 2):
    slabs = PatchDataset(
        load_datalist(xrays, "training"),
        preprocessing(intensity="xray"),
        RandSlabd("image", slices=3),
        Compose([adam_views(size=64, level=level, least_side=16)]),
        patches_per_image=4,
        cache="memory",
        keys=("image", "key"),
    )
    method = Adam(ResNet25D("resnet18", slices=3), level=level, queue_size=16, momentum=0.99, prune_after=100)
    method = initialise_from_stage(previous, method, required=level > 0)
    trainer = PretextTrainer(
        device="cpu",
        max_epochs=1,
        train_data_loader=DataLoader(slabs, batch_size=4, sampler=slabs.sampler(), drop_last=True),
        method=method,
        optimizer=torch.optim.AdamW(method.parameters(), lr=3e-4),
        train_handlers=[Progress()],
    )
    trainer.run()
    previous = method.state_dict()

torch.save(method.network.state_dict(), "adam.pt")
