# %% [markdown]
# # Semantic Genesis: name and restore anatomical patterns
#
# A pattern is one place of the body in patients who resemble each other. Patterns are discovered without labels; a
# network then gets corrupted patches of them, names the pattern and restores the patch.

# %%
import logging

import torch
from monai.data import Dataset
from torch.utils.data import DataLoader

from medgenesis.data import preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.engines import PretextTrainer
from medgenesis.handlers import Progress
from medgenesis.methods import SemanticGenesis
from medgenesis.mining import PatternDataset, VolumeLoader, discover, records_to_mine, volume_features
from medgenesis.networks import AutoEncoder3D, YNet3D
from medgenesis.transforms import RandGenesisd

logging.basicConfig(level=logging.INFO, format="%(message)s")
torch.manual_seed(0)
datalist = write_phantoms("phantoms_6_of_48", 6, seed=0, shape=(48, 48, 40))
records, prepare = records_to_mine(datalist), preprocessing(intensity="ct")

# %% [markdown]
# A vector for each volume says which patients resemble each other. The encoder is not trained here, to be quick;
# `medgenesis mine` trains it, and the page on mining shows how to see whether patterns are anatomy.

# %%
features = volume_features(AutoEncoder3D(width=4), Dataset(records, prepare), (32, 32, 32))
table = discover(
    features.volumes,
    features.vectors,
    VolumeLoader(features.volumes, prepare),
    classes=3,
    train_patients=4,
    validation_patients=0,
    cube_size=(24, 24, 16),
    criterion="foreground",
)
table.save("patterns.json")

# %%
patches = PatternDataset(table, prepare, RandGenesisd("image", preset="semantic"), cache="memory")
method = SemanticGenesis(YNet3D(width=4, num_classes=table.num_classes))
trainer = PretextTrainer(
    device="cpu",
    max_epochs=2,
    train_data_loader=DataLoader(patches, batch_size=4, sampler=patches.sampler(), drop_last=True),
    method=method,
    optimizer=torch.optim.Adam(method.parameters(), lr=1e-3),
    train_handlers=[Progress()],
)
trainer.run()
torch.save(method.network.state_dict(), "semantic_genesis.pt")
