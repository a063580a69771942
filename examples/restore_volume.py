# %% [markdown]
# # Restore a whole volume
#
# The pretext task on a whole volume, to see what a network has learnt: the volume is corrupted patch by patch,
# restored, and written as NIfTI on the standard grid with an image beside it.

# %%
from pathlib import Path

import torch
from monai.data import Dataset

from medgenesis.data import load_datalist, preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.inference import restore_volume, restore_volumes
from medgenesis.methods import ModelsGenesis
from medgenesis.networks import UNet3D
from medgenesis.transforms import BatchedGenesis, RandGenesis

torch.manual_seed(0)
datalist = write_phantoms("phantoms_6_of_48", 6, seed=0, shape=(48, 48, 40))
prepare, size = preprocessing(intensity="ct"), (24, 24, 16)

# %% [markdown]
# A network: trained here for some steps on random patches, on the batch's device. `initialise(UNet3D(),
# "pretrained.pt")` loads one.

# %%
volumes = torch.stack([prepare(record)["image"].as_tensor() for record in load_datalist(datalist, "training")])
method, corrupt = ModelsGenesis(UNet3D(width=4)), BatchedGenesis("models").set_random_state(0)
optimizer = torch.optim.Adam(method.parameters(), lr=3e-3)
for _ in range(20):
    x, y, z = torch.randint(0, 24, (3,)).tolist()
    corrupted, target = corrupt(volumes[:, :, x : x + 24, y : y + 24, z : z + 16])
    loss = method({"image": corrupted, "target": target})["loss"]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %% [markdown]
# Without flips, which would move the content of a patch. The network sees one test subject, which it has not learnt
# from.

# %%
test = Dataset(load_datalist(datalist, "test"), prepare)
damage = RandGenesis("models", rates={"flip": 0.0}).set_random_state(1)
volume = test[0]["image"]
corrupted, restored = restore_volume(method.network, volume, damage, size)
errors = [float((result - volume.as_tensor()).square().mean()) for result in (corrupted, restored)]
print("mean squared error: corrupted {:.4f}, restored {:.4f}".format(*errors))

restore_volumes(method.network, test, damage, size, "restored")
print("\n".join(sorted(path.name for path in Path("restored").iterdir())))
