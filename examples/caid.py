# %% [markdown]
# # CAiD: tell images apart and restore their context
#
# From each chest X-ray two views are drawn. The encoder must recognise them among other images' views (momentum
# contrast), and a decoder must restore the clean crop of the first view. Volumes work alike: `RandSlabd` takes
# neighbouring slices.

# %%
import logging

import torch
from monai.transforms import Compose
from torch.utils.data import DataLoader

from medgenesis.data import PatchDataset, load_datalist, preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.engines import PretextTrainer
from medgenesis.handlers import Progress
from medgenesis.methods import CAiD
from medgenesis.networks import UNet25D
from medgenesis.transforms import RandSlabd, caid_views

logging.basicConfig(level=logging.INFO, format="%(message)s")
torch.manual_seed(0)
xrays = write_phantoms("phantoms_6_of_48", 6, seed=0, shape=(48, 48, 40)).with_name("xray_datalist.json")

# %% [markdown]
# A slab is `slices` neighbouring slices as channels; an X-ray gives equal ones. Each sample holds the two views,
# `image` and `key`, and the `target` of the restoration.

# %%
slabs = PatchDataset(
    load_datalist(xrays, "training"),
    preprocessing(intensity="xray"),
    RandSlabd("image", slices=3),
    Compose([caid_views(size=96)]),
    patches_per_image=4,
    cache="memory",
    keys=("image", "key", "target"),
)
loader = DataLoader(slabs, batch_size=4, sampler=slabs.sampler(), drop_last=True)

# %% [markdown]
# The queue of negatives must be a multiple of the batch; 65 536 are published. `momentum` is that of the key branch.

# %%
method = CAiD(UNet25D("resnet18", slices=3), queue_size=16, momentum=0.99)
trainer = PretextTrainer(
    device="cpu",
    max_epochs=1,
    train_data_loader=loader,
    method=method,
    optimizer=torch.optim.AdamW(method.parameters(), lr=3e-4),
    train_handlers=[Progress()],
)
trainer.run()
torch.save(method.network.state_dict(), "caid.pt")
