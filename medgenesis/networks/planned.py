"""The network that nnU-Net's plans describe, built from the package that nnU-Net builds it from."""

import importlib
from collections.abc import Mapping
from typing import Any

from torch import nn

from medgenesis.networks.architecture import NETWORKS

_PACKAGE = "dynamic_network_architectures"
_REMEDY = 'Install it: pip install "medgenesis[nnunet]", or pip install dynamic-network-architectures.'
# what plans may name, by its last word: names in a file are data, and are not imported
_LAYERS: Mapping[str, type[nn.Module]] = {
    kind.__name__: kind
    for kind in (
        *(nn.Conv3d, nn.InstanceNorm3d, nn.BatchNorm3d, nn.Dropout3d, nn.Dropout),
        *(nn.LeakyReLU, nn.ReLU, nn.GELU, nn.ELU, nn.SiLU, nn.PReLU),
    )
}
_BLOCKS = ("BasicBlockD", "BottleneckD")


def planned_network(architecture: Mapping[str, Any], in_channels: int, out_channels: int) -> nn.Module:
    """The U-Net of an `architecture` of nnU-Net's plans, with nnU-Net's keys and its initial weights.

    Its encoder gives the feature maps from shallow to deep, its heads are `decoder.seg_layers.*`, of which the last
    alone answers (no deep supervision); the others are kept, so that keys are those of nnU-Net, but not trained.

    Args:
        architecture: `network_class_name`, `arch_kwargs` and `_kw_requires_import`, as in the plans.
        in_channels: channels of the input (B, in_channels, *spatial), in nnU-Net's order of axes.
        out_channels: channels of the output (B, out_channels, *spatial), linear.

    Raises:
        ValueError: another class than PlainConvUNet and ResidualEncoderUNet, a layer that is not known, arguments that
            the class does not take, a 2D network, or dynamic-network-architectures is not installed.

    References:
        Isensee et al., nnU-Net, Nature Methods 18, 2021; nnU-Net Revisited, MICCAI 2024 (arXiv 2404.09556).
    """
    name = str(architecture.get("network_class_name", "")).rpartition(".")[2]
    if name not in NETWORKS:
        raise ValueError(
            f"network_class_name: must be one of {', '.join(NETWORKS)}; found "
            f"{architecture.get('network_class_name')!r}. Plan with nnU-Net's own planners (ExperimentPlanner, "
            "nnUNetPlannerResEncM, …)."
        )
    given = dict(architecture.get("arch_kwargs", {}))
    for key in architecture.get("_kw_requires_import", ()):
        given[key] = _named(key, given.get(key))
    given.pop("deep_supervision", None)
    kind = getattr(_module(f"{_PACKAGE}.architectures.unet"), name)
    try:
        network = kind(input_channels=in_channels, num_classes=out_channels, deep_supervision=False, **given)
    except (TypeError, AssertionError, ValueError, IndexError, AttributeError) as error:
        raise ValueError(
            f"arch_kwargs: must be those that {name} takes; found {', '.join(given)} ({error}). Plan anew with the "
            "version of nnU-Net that will train, or install its version of dynamic-network-architectures."
        ) from error
    network.apply(network.initialize)
    network.encoder.out_channels = network.encoder.output_channels[-1]
    heads = network.decoder.seg_layers
    network.head_names = tuple(f"decoder.seg_layers.{index}" for index in range(len(heads)))
    for unused in heads[:-1]:  # without gradient; distributed training would wait for it
        unused.requires_grad_(False)
    return network


def _named(key: str, text: Any) -> Any:
    """The layer that plans name, `torch.nn.modules.conv.Conv3d` for example, or None."""
    if text is None:
        return None
    word = str(text).rpartition(".")[2]
    if str(text).startswith("torch.nn.") and word in _LAYERS:
        return _LAYERS[word]
    if str(text).startswith(_PACKAGE) and word in _BLOCKS:
        return getattr(_module(f"{_PACKAGE}.building_blocks.residual"), word)
    flat = " 2D configurations are not pre-trained here: choose 3d_fullres." if word.endswith("2d") else ""
    raise ValueError(
        f"{key}: must be a layer that is known ({', '.join((*_LAYERS, *_BLOCKS))}); found {text!r}. Plan with "
        f"nnU-Net's own planners.{flat}"
    )


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ValueError(
            f"{_PACKAGE}: must be installed, which builds nnU-Net's networks; found none ({error}). {_REMEDY}"
        ) from error
