"""The published Keras file: HDF5 as Keras writes it, and the same output as its network computed layer by layer."""

import pytest
import torch
import torch.nn.functional as F

from medgenesis.errors import CheckpointError
from medgenesis.networks import UNet3D
from medgenesis.weights import load_pretrained, load_published

h5py = pytest.importorskip("h5py")


def keras_weights(width=4, outputs=1, seed=0):
    """Layer -> name -> array, in Keras' axes: kernels (k, k, k, in, out)."""
    generator = torch.Generator().manual_seed(seed)
    layers, inside, skips = {}, 1, []
    for number in range(14):
        level, i = divmod(number, 2)
        if level < 4:
            out = width * 2**level * (1 + i)
        else:
            if i == 0:
                inside += skips[6 - level]
            out = skips[6 - level]
        kernel = torch.randn(3, 3, 3, inside, out, generator=generator) * (2 / (27 * inside)) ** 0.5
        layers[f"depth_{number}_conv"] = {"kernel": kernel, "bias": torch.randn(out, generator=generator) * 0.1}
        positive = torch.rand(3, out, generator=generator) + 0.5
        norm = {"gamma": positive[0], "beta": positive[1] - 1, "moving_mean": positive[2] - 1}
        # small variances, at which Keras' epsilon counts
        layers[f"depth_{number}_bn"] = {**norm, "moving_variance": 0.02 * torch.rand(out, generator=generator)}
        inside = out
        if number in (1, 3, 5):
            skips.append(out)
    layers["conv3d_1"] = {
        "kernel": torch.randn(1, 1, 1, inside, outputs, generator=generator),
        "bias": torch.zeros(outputs),
    }
    return layers


def keras_output(layers, x):
    """The published network in evaluation mode, from its description: repeated voxels, an epsilon of 0.001."""

    def block(number, x):
        conv, norm = layers[f"depth_{number}_conv"], layers[f"depth_{number}_bn"]
        y = F.conv3d(x, conv["kernel"].permute(4, 3, 0, 1, 2), conv["bias"], padding=1)
        mean, var, scale, shift = (
            norm[name].view(1, -1, 1, 1, 1) for name in ("moving_mean", "moving_variance", "gamma", "beta")
        )
        return ((y - mean) / torch.sqrt(var + 1e-3) * scale + shift).clamp(min=0)

    skips = []
    for level in range(4):
        x = block(2 * level + 1, block(2 * level, x))
        if level < 3:
            skips.append(x)
            x = F.max_pool3d(x, 2)
    for level in range(4, 7):
        for axis in (2, 3, 4):
            x = x.repeat_interleave(2, dim=axis)
        x = torch.cat([x, skips.pop()], dim=1)
        x = block(2 * level + 1, block(2 * level, x))
    head = layers["conv3d_1"]
    return torch.sigmoid(F.conv3d(x, head["kernel"].permute(4, 3, 0, 1, 2), head["bias"]))


def write(path, layers, form="weights"):
    """As `save_weights`, as `save` (with an optimiser), or as of a model on several GPUs."""
    with h5py.File(path, "w") as file:
        root = {"weights": file, "model": file, "gpus": file}[form]
        if form == "model":
            root = file.create_group("model_weights")
            file.create_group("optimizer_weights/training/Adam/depth_0_conv")["kernel:0"] = [1.0]
        for layer, values in layers.items():
            group = root.create_group(f"model_1/{layer}" if form == "gpus" else f"{layer}/{layer}")
            for name, value in values.items():
                group[f"{name}:0"] = value.numpy()
        root.attrs["layer_names"] = [layer.encode() for layer in layers]
    return path


@pytest.mark.parametrize("form", ["weights", "model", "gpus"])
def test_the_same_output_as_the_published_network(tmp_path, form):
    layers = keras_weights()
    path = write(tmp_path / "Genesis_Chest_CT.h5", layers, form)
    network = UNet3D(width=4).eval()
    report = load_pretrained(network, path, skip_head="never")
    assert report.complete and report.layout == "Models Genesis, Keras"
    assert len(report.made) == 6 + 14 and "20 made (" in str(report)
    assert report.dropped == (("optimizer_weights/training/Adam/depth_0_conv/kernel:0",) if form == "model" else ())
    x = torch.rand(2, 1, 16, 24, 16)
    with torch.no_grad():
        expected = keras_output(layers, x)
        assert expected.std() > 0.01
        assert torch.allclose(network(x), expected, atol=1e-5)
    assert load_published(path).report.entries == 14 * 6 + 2 + len(report.dropped)


def test_a_layer_is_missing_or_unknown(tmp_path):
    layers = keras_weights()
    del layers["depth_5_bn"]
    path = write(tmp_path / "a.h5", layers)
    with pytest.raises(CheckpointError, match=r"a.h5: must be a whole .* missing in the file .encoder.levels.2.1.norm"):
        load_published(path)
    path = write(tmp_path / "b.h5", {**keras_weights(), "dense_1": {"kernel": torch.ones(2, 2)}})
    with pytest.raises(CheckpointError, match=r"b.h5: must be a whole .* 1 unknown to the network \(dense_1/kernel\)"):
        load_published(path)


def test_files_that_are_not_whole(tmp_path):
    path = write(tmp_path / "a.h5", keras_weights())
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(CheckpointError, match=r"a.h5: must be whole; found an HDF5 file that cannot be read"):
        load_published(path)
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.attrs["keras_version"] = "2.2.4"
    with pytest.raises(CheckpointError, match="b.h5: must hold arrays of weights"):
        load_published(tmp_path / "b.h5")
    with h5py.File(tmp_path / "c.h5", "w") as file:
        for model in ("model_1", "model_2"):
            file[f"{model}/depth_0_conv/kernel:0"] = [1.0]
    with pytest.raises(CheckpointError, match="found several of depth_0_conv/kernel"):
        load_published(tmp_path / "c.h5")
