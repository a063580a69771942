# %% [markdown]
# # Embed volumes and compare them
#
# The encoder of a pre-trained network makes one vector of a volume. Volumes whose vectors are near look alike to the
# network: here the same subject on another scanner (noise, another dose) should be nearer than other subjects.

# %%
import numpy as np
import torch

from medgenesis.data import load_datalist, preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.inference import embed_volume
from medgenesis.networks import UNet3D

torch.manual_seed(0)
datalist = write_phantoms("phantoms_6_of_48", 6, seed=0, shape=(48, 48, 40))
prepare = preprocessing(intensity="ct")
records = [record for section in ("training", "validation", "test") for record in load_datalist(datalist, section)]
volumes = [prepare(record)["image"].as_tensor() for record in records]

# %% [markdown]
# `initialise(UNet3D(), "my_model/models/pretrained.pt")` loads a network that you have trained. This one is
# untrained, so that the example runs at once; an untrained network is also the control that belongs beside every
# embedding.

# %%
network = UNet3D(width=8).eval()
window = (24, 24, 16)
noise = np.random.default_rng(0)
noisy = [(v + torch.from_numpy(noise.normal(0, 0.02, v.shape)).float()).clamp(0, 1) for v in volumes]
first = np.stack([embed_volume(network, volume, window) for volume in volumes])
second = np.stack([embed_volume(network, volume, window) for volume in noisy])

# %% [markdown]
# Cosine similarity after the mean is taken away, for all vectors of one network point roughly the same way.


# %%
def normalised(vectors: np.ndarray) -> np.ndarray:
    centred = vectors - first.mean(axis=0)
    return centred / np.linalg.norm(centred, axis=1, keepdims=True)


similarity = normalised(second) @ normalised(first).T
found = similarity.argmax(axis=1)
print(np.round(similarity, 2))
print(f"{(found == np.arange(len(found))).sum()} of {len(found)} noisy volumes are nearest to their own subject")
