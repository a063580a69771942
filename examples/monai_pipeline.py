# %% [markdown]
# # The transforms in your own MONAI pipeline
#
# Everything here is MONAI and PyTorch but two imports: the transform and the phantoms. `RandGenesisd` makes a
# training pair of any image in [0, 1]; any MONAI network learns to restore it.

# %%
import torch
from monai.data import CacheDataset, DataLoader, load_decathlon_datalist
from monai.networks.nets import SegResNet
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, RandSpatialCropSamplesd, ScaleIntensityRanged

from medgenesis.datasets.phantom import write_phantoms
from medgenesis.transforms import RandGenesisd

torch.manual_seed(0)
datalist = write_phantoms("phantoms_6_of_48", 6, seed=0, shape=(48, 48, 40))

# %% [markdown]
# Random transforms come last, so that the cache ends before them. Scale with `clip=True`: intensities outside [0, 1]
# are an error, not clamped silently.

# %%
transform = Compose(
    [
        LoadImaged("image"),
        EnsureChannelFirstd("image"),
        ScaleIntensityRanged("image", -1000, 1000, 0, 1, clip=True),
        RandSpatialCropSamplesd("image", roi_size=(24, 24, 16), num_samples=4, random_size=False),
        RandGenesisd("image", target_key="target", preset="models"),
    ]
)
dataset = CacheDataset(load_decathlon_datalist(str(datalist), data_list_key="training"), transform, progress=False)
loader = DataLoader(dataset, batch_size=1, shuffle=True)

# %%
network = SegResNet(spatial_dims=3, in_channels=1, out_channels=1, init_filters=8)
optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
losses = []
for epoch in range(3):
    for batch in loader:
        loss = torch.nn.functional.mse_loss(network(batch["image"]), batch["target"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"epoch {epoch + 1}: restoration loss {losses[-1]:.4f}")
torch.save(network.state_dict(), "segresnet.pt")
