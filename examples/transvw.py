# %% [markdown]
# # TransVW: add pattern names to another method
#
# TransVW adds one task to a pretext method: its encoder also learns to name anatomical patterns. The method here is
# Models Genesis; the network that is kept is that method's own `UNet3D`, and the class head serves the training
# alone.

# %%
import logging

import torch
from monai.data import Dataset
from torch.utils.data import DataLoader

from medgenesis.data import preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.engines import PretextTrainer
from medgenesis.handlers import Progress
from medgenesis.methods import ModelsGenesis, TransVW
from medgenesis.mining import PatternDataset, VolumeLoader, discover, records_to_mine, volume_features
from medgenesis.networks import UNet3D
from medgenesis.transforms import RandGenesisd

logging.basicConfig(level=logging.INFO, format="%(message)s")
torch.manual_seed(0)
datalist = write_phantoms("phantoms_6_of_48", 6, seed=0, shape=(48, 48, 40))
records, prepare = records_to_mine(datalist), preprocessing(intensity="ct")

# %% [markdown]
# Patients who resemble each other are found by the features of a network: here the one that is to be trained, better
# one that Models Genesis has trained already.

# %%
network = UNet3D(width=4)
features = volume_features(network, Dataset(records, prepare), (32, 32, 32))
load = VolumeLoader(features.volumes, prepare)
size = {"cube_size": (24, 24, 16), "criterion": "foreground"}
patients = {"classes": 3, "train_patients": 4, "validation_patients": 0}
table = discover(features.volumes, features.vectors, load, **patients, **size)

# %% [markdown]
# Any pretext method takes the place of `ModelsGenesis`; on slabs, for CAiD and Adam, with `spatial_dims=2`.

# %%
patches = PatternDataset(table, prepare, RandGenesisd("image", target_key="target"), cache="memory")
method = TransVW(ModelsGenesis(network), num_classes=table.num_classes, weight=0.01)
trainer = PretextTrainer(
    device="cpu",
    max_epochs=2,
    train_data_loader=DataLoader(patches, batch_size=4, sampler=patches.sampler(), drop_last=True),
    method=method,
    optimizer=torch.optim.Adam(method.parameters(), lr=1e-3),
    train_handlers=[Progress()],
)
trainer.run()
torch.save(method.network.state_dict(), "transvw.pt")  # a UNet3D, as Models Genesis trains it
