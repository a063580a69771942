# %% [markdown]
# # Fine-tune on few labels, and compare with scratch
#
# The same network is trained on two labelled volumes twice: from weights that Models Genesis has pre-trained, and
# from random ones. Only such a comparison says whether pre-training helps; `medgenesis compare` makes it with
# intervals.

# %%
import torch
from monai.losses import DiceCELoss

from medgenesis.data import load_datalist, preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.methods import ModelsGenesis
from medgenesis.networks import UNet3D
from medgenesis.transforms import BatchedGenesis
from medgenesis.weights import initialise

datalist = write_phantoms("phantoms_8_of_32", 8, seed=0, shape=(32, 32, 32))
prepare = preprocessing("image", "label", label_merge={1: "1-2,7"}, num_classes=2)  # lungs, with their nodules


def volumes(section: str) -> tuple[torch.Tensor, torch.Tensor]:
    items = [prepare(record) for record in load_datalist(datalist, section)]
    return tuple(torch.stack([item[key].as_tensor() for item in items]) for key in ("image", "label"))


# %% [markdown]
# Pre-train on the training volumes without their labels: too short to be of much use, the example shows the steps.

# %%
torch.manual_seed(0)
images, labels = volumes("training")
method, corrupt = ModelsGenesis(UNet3D(width=4)), BatchedGenesis().set_random_state(0)
optimizer = torch.optim.Adam(method.parameters(), lr=3e-3)
for _ in range(10):
    corrupted, target = corrupt(images)
    loss = method({"image": corrupted, "target": target})["loss"]
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()

# %% [markdown]
# `initialise` loads a state dict or a file and logs what starts anew: the head, which has two outputs now.

# %%
test_images, test_labels = volumes("test")
dice = {}
for name, init in {"pre-trained": method.network.state_dict(), "scratch": "scratch"}.items():
    torch.manual_seed(0)
    network = initialise(UNet3D(width=4, out_channels=2, activation=None), init)
    optimizer, loss = torch.optim.Adam(network.parameters(), lr=1e-2), DiceCELoss(to_onehot_y=True, softmax=True)
    for _ in range(40):
        optimizer.zero_grad()
        loss(network(images[:2]), labels[:2]).backward()
        optimizer.step()
    with torch.no_grad():
        found = network.eval()(test_images).argmax(dim=1, keepdim=True)
    dice[name] = 2 * float((found * test_labels).sum() / (found.sum() + test_labels.sum()))
print("Dice of the lungs of unseen subjects:", {name: round(value, 3) for name, value in dice.items()})
