# %% [markdown]
# # Find landmarks of one image in another
#
# A dense embedder makes a vector of the window around each place of an image. A landmark of one patient is looked for in
# another patient by the nearest vector. Controls belong beside it: raw pixels, and the same place without looking.

# %%
import torch

from medgenesis.data import preprocessing, read_landmarks
from medgenesis.data.phantom import write_phantoms
from medgenesis.networks import ResNet25D
from medgenesis.transfer import Eve, eve_controls, retrieve_landmarks, same_places
from medgenesis.transforms import RandSlab

torch.manual_seed(0)
folder = write_phantoms("phantoms", 3, seed=0, shape=(64, 64, 64)).parent

# %% [markdown]
# `landmarks.csv` has the columns image, landmark, x, y, in pixels; the phantom writes those of its X-rays. A slab of three equal
# slices is what the encoder takes.

# %%
landmarks = read_landmarks(folder / "xray_landmarks.csv")
prepare, slab = preprocessing(intensity="xray"), RandSlab(3)
images = {name: slab(prepare({"image": name})["image"]) for name in landmarks}

# %% [markdown]
# This encoder is untrained, so that the example runs at once; `initialise(ResNet25D("resnet50"), "models/pretrained.pt")` loads
# one. `eve_controls` gives the same encoder untrained, and raw pixels.

# %%
encoder = ResNet25D("resnet18")
for name, network in {"encoder": encoder, **eve_controls(encoder)}.items():
    found = retrieve_landmarks(Eve(network, window=16, size=32), images, landmarks, stride=8)
    print(f"{name}: {found.hit_rate(8):.2f} within 8 pixels, mean distance {found.mean_distance:.1f} pixels")
blind = same_places(images, landmarks)
print(f"same place: {blind.hit_rate(8):.2f} within 8 pixels, mean distance {blind.mean_distance:.1f} pixels")
