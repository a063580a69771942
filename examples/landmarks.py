# %% [markdown]
# # Find landmarks of one image in another
#
# A dense embedder makes a vector of the window around each place of an image. A landmark of one patient is looked for
# in another patient by the nearest vector. Controls belong beside it: raw pixels, and the same place without looking.

# %%
import torch

from medgenesis.data import preprocessing, read_landmarks
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.networks import ResNet25D
from medgenesis.transfer import DenseEmbedder, dense_baselines, match_landmarks, same_position_baseline
from medgenesis.transforms import RandSlab

torch.manual_seed(0)
folder = write_phantoms("phantoms_3_of_64", 3, seed=0, shape=(64, 64, 64)).parent

# %% [markdown]
# `landmarks.csv` has the columns image, landmark, x, y, in pixels; the phantom writes those of its X-rays. A slab of
# three equal slices is what the encoder takes.

# %%
landmarks = read_landmarks(folder / "xray_landmarks.csv")
prepare, slab = preprocessing(intensity="xray"), RandSlab(3)
images = {name: slab(prepare({"image": str(folder / name)})["image"]) for name in landmarks}

# %% [markdown]
# The baselines of an encoder: the same one untrained, and raw pixels. Put yours beside them: `networks["Adam"] =
# initialise(ResNet25D("resnet50"), "models/pretrained.pt")`.

# %%
networks = dense_baselines(ResNet25D("resnet18"))
for name, network in networks.items():
    found = match_landmarks(DenseEmbedder(network, window=16, size=32), images, landmarks, stride=16)
    print(f"{name}: {found.hit_rate(8):.2f} within 8 pixels, mean distance {found.mean_distance:.1f} pixels")
blind = same_position_baseline(images, landmarks)
print(f"same place: {blind.hit_rate(8):.2f} within 8 pixels, mean distance {blind.mean_distance:.1f} pixels")
