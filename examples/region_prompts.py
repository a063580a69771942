# %% [markdown]
# # Region prompts: one labelled scan segments the next
#
# A supervoxel is marked in one view of a patch, and the network finds it in another. Then one labelled scan is the
# prompt, and the others are segmented without any training on labels.

# %%
import logging

import torch
from monai.inferers import SlidingWindowInferer
from torch.utils.data import DataLoader

from medgenesis.data import PatchDataset, RandAcceptedCropd, load_datalist, preprocessing
from medgenesis.datasets.phantom import write_phantoms
from medgenesis.engines import PretextTrainer
from medgenesis.handlers import Progress
from medgenesis.inference import PromptedNetwork
from medgenesis.methods import RegionPrompts
from medgenesis.networks import UNet3D
from medgenesis.transforms import RandRegionPromptd

logging.basicConfig(level=logging.INFO, format="%(message)s")
torch.manual_seed(0)
datalist = write_phantoms("phantoms_6_of_32", 6, seed=0, shape=(32, 32, 32))

# %%
patches = PatchDataset(
    load_datalist(datalist, "training"),
    preprocessing(intensity="ct"),
    RandAcceptedCropd("image", size=(24, 24, 16), criterion="foreground"),
    RandRegionPromptd("image", segments=(4, 16)),
    patches_per_image=4,
    cache="memory",
    keys=("image", "target", "prompt", "prompt_mask"),
)
method = RegionPrompts(UNet3D(width=4, out_channels=8), window=4)
trainer = PretextTrainer(
    device="cpu",
    max_epochs=2,
    train_data_loader=DataLoader(patches, batch_size=4, sampler=patches.sampler(), drop_last=True),
    method=method,
    optimizer=torch.optim.Adam(method.parameters(), lr=3e-3),
    train_handlers=[Progress()],
)
trainer.run()
torch.save(method.network.state_dict(), "region_prompts.pt")

# %% [markdown]
# Prototypes of air, lungs and liver, from the first labelled phantom; then the answer for another one.

# %%
labelled = preprocessing(intensity="ct", label_keys="label", label_merge={1: [1, 2, 7], 2: [6]})
prompt, other = (labelled(load_datalist(datalist, section)[0]) for section in ("training", "test"))
segment = PromptedNetwork(method.network, [prompt], num_classes=3, cube_size=(24, 24, 16), window=4).eval()
with torch.no_grad():
    logits = SlidingWindowInferer((24, 24, 16), overlap=0.5, mode="gaussian")(other["image"][None], segment)
found, truth = logits[0].argmax(dim=0), other["label"][0]
for number, name in ((1, "lungs"), (2, "liver")):
    a, b = found == number, truth == number
    print(f"{name}: Dice {float(2 * (a & b).sum() / (a.sum() + b.sum())):.2f}, with one labelled scan and no training")
