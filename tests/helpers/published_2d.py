"""The published 2D networks once more, from their description alone: every key with its shape, and slow forward passes.

They read a state dict by its published keys (torchvision's; segmentation_models_pytorch's) and share no code with ours.
"""

import torch
import torch.nn.functional as F

BLOCKS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "densenet121": (6, 12, 24, 16),
}


def norm_shapes(key, channels):
    names = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{key}.{name}": (channels,) for name in names}, f"{key}.num_batches_tracked": ()}


def backbone_shapes(name, slices=3):
    """Key -> shape of torchvision's backbone without its classifier."""
    return densenet_shapes(slices) if name == "densenet121" else resnet_shapes(name, slices)


def resnet_shapes(name, slices):
    shapes = {"conv1.weight": (64, slices, 7, 7), **norm_shapes("bn1", 64)}
    inside = 64
    for layer, (count, width) in enumerate(zip(BLOCKS[name], (64, 128, 256, 512), strict=True), start=1):
        for block in range(count):
            key = f"layer{layer}.{block}"
            if name in ("resnet18", "resnet34"):
                out, convolutions = width, [(width, inside, 3), (width, width, 3)]
            else:
                out = 4 * width
                convolutions = [(width, inside, 1), (width, width, 3), (out, width, 1)]
            for i, (o, c, k) in enumerate(convolutions, start=1):
                shapes |= {f"{key}.conv{i}.weight": (o, c, k, k), **norm_shapes(f"{key}.bn{i}", o)}
            if block == 0 and out != inside:
                shapes[f"{key}.downsample.0.weight"] = (out, inside, 1, 1)
                shapes |= norm_shapes(f"{key}.downsample.1", out)
            inside = out
    return shapes


def densenet_shapes(slices):
    shapes = {"features.conv0.weight": (64, slices, 7, 7), **norm_shapes("features.norm0", 64)}
    channels = 64
    for block, count in enumerate(BLOCKS["densenet121"], start=1):
        for layer in range(1, count + 1):
            key = f"features.denseblock{block}.denselayer{layer}"
            shapes |= {**norm_shapes(f"{key}.norm1", channels), f"{key}.conv1.weight": (128, channels, 1, 1)}
            shapes |= {**norm_shapes(f"{key}.norm2", 128), f"{key}.conv2.weight": (32, 128, 3, 3)}
            channels += 32
        if block < 4:
            key = f"features.transition{block}"
            shapes |= {**norm_shapes(f"{key}.norm", channels), f"{key}.conv.weight": (channels // 2, channels, 1, 1)}
            channels //= 2
    return shapes | norm_shapes("features.norm5", channels)


def unet_shapes(name="resnet50", slices=3, out_channels=1):
    """Key -> shape of segmentation_models_pytorch's U-Net."""
    shapes = {f"encoder.{key}": shape for key, shape in backbone_shapes(name, slices).items()}
    maps = (64, 64, 128, 256, 512) if name in ("resnet18", "resnet34") else (64, 256, 512, 1024, 2048)
    channels = maps[4]
    for block, (out, skip) in enumerate(zip((256, 128, 64, 32, 16), (*maps[3::-1], 0), strict=True)):
        for i, inside in ((1, channels + skip), (2, out)):
            key = f"decoder.blocks.{block}.conv{i}"
            shapes |= {f"{key}.0.weight": (out, inside, 3, 3), **norm_shapes(f"{key}.1", out)}
        channels = out
    head = {"segmentation_head.0.weight": (out_channels, 16, 3, 3), "segmentation_head.0.bias": (out_channels,)}
    return shapes | head


def random_weights(shapes, seed=0):
    """Values under which a signal neither dies nor explodes, and that differ everywhere."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for key, shape in shapes.items():
        if key.endswith("num_batches_tracked"):
            weights[key] = torch.tensor(7)
        elif len(shape) == 4:
            fan_in = shape[1] * shape[2] * shape[3]
            weights[key] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        elif key.endswith(("running_var", "weight")):
            weights[key] = torch.rand(shape, generator=generator) + 0.5
        else:
            weights[key] = torch.randn(shape, generator=generator) * 0.2
    return weights


def norm(weights, key, x):
    mean, var, scale, shift = (
        weights[f"{key}.{name}"].view(1, -1, 1, 1) for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / torch.sqrt(var + 1e-5) * scale + shift


def conv(weights, key, x, **options):
    return F.conv2d(x, weights[f"{key}.weight"], **options)


def backbone_maps(weights, x):
    """The five maps of a torchvision backbone in evaluation mode."""
    return (densenet_maps if "features.conv0.weight" in weights else resnet_maps)(weights, x)


def resnet_maps(weights, x):
    x = norm(weights, "bn1", conv(weights, "conv1", x, stride=2, padding=3)).clamp(min=0)
    maps = [x]
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for layer in (1, 2, 3, 4):
        block = 0
        while f"layer{layer}.{block}.conv1.weight" in weights:
            key, stride = f"layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            bottleneck = f"{key}.conv3.weight" in weights
            first, second = (1, stride) if bottleneck else (stride, 1)
            padding = weights[f"{key}.conv1.weight"].shape[-1] // 2
            y = norm(weights, f"{key}.bn1", conv(weights, f"{key}.conv1", x, stride=first, padding=padding))
            y = conv(weights, f"{key}.conv2", y.clamp(min=0), stride=second, padding=1)
            y = norm(weights, f"{key}.bn2", y)
            if bottleneck:
                y = norm(weights, f"{key}.bn3", conv(weights, f"{key}.conv3", y.clamp(min=0)))
            if f"{key}.downsample.0.weight" in weights:
                x = norm(weights, f"{key}.downsample.1", conv(weights, f"{key}.downsample.0", x, stride=stride))
            x = (x + y).clamp(min=0)
            block += 1
        maps.append(x)
    return maps


def densenet_maps(weights, x):
    x = norm(weights, "features.norm0", conv(weights, "features.conv0", x, stride=2, padding=3)).clamp(min=0)
    maps = [x]
    x = F.max_pool2d(x, 3, stride=2, padding=1)
    for block, count in enumerate(BLOCKS["densenet121"], start=1):
        for layer in range(1, count + 1):
            key = f"features.denseblock{block}.denselayer{layer}"
            y = conv(weights, f"{key}.conv1", norm(weights, f"{key}.norm1", x).clamp(min=0))
            y = conv(weights, f"{key}.conv2", norm(weights, f"{key}.norm2", y).clamp(min=0), padding=1)
            x = torch.cat([x, y], dim=1)
        if block < 4:
            maps.append(x)
            key = f"features.transition{block}"
            x = F.avg_pool2d(conv(weights, f"{key}.conv", norm(weights, f"{key}.norm", x).clamp(min=0)), 2)
    return [*maps, norm(weights, "features.norm5", x).clamp(min=0)]


def unet_logits(weights, x):
    """The logits of segmentation_models_pytorch's U-Net in evaluation mode: it joins [upsampled, skip]."""
    backbone = {key.removeprefix("encoder."): value for key, value in weights.items() if key.startswith("encoder.")}
    *skips, x = backbone_maps(backbone, x)
    for block in range(5):
        x = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        if skips:
            x = torch.cat([x, skips.pop()], dim=1)
        for i in (1, 2):
            key = f"decoder.blocks.{block}.conv{i}"
            x = norm(weights, f"{key}.1", conv(weights, f"{key}.0", x, padding=1)).clamp(min=0)
    head = weights["segmentation_head.0.weight"], weights["segmentation_head.0.bias"]
    return F.conv2d(x, *head, padding=1)
