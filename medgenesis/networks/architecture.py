"""What a configuration of nnU-Net's plans says of its network, in the form of today's plans."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

NETWORKS = ("PlainConvUNet", "ResidualEncoderUNet")


def architecture_of(found: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The `architecture` of a configuration: `network_class_name`, `arch_kwargs` and `_kw_requires_import`.

    Args:
        found: the configuration, with what it inherits.
        where: the plans and the configuration's name, for messages.

    Raises:
        ValueError: a network that is not known here, or incomplete plans.
    """
    architecture = found["architecture"] if "architecture" in found else _of_old_plans(found)
    name = str(architecture.get("network_class_name", "")).rpartition(".")[2]
    if name not in NETWORKS:
        raise ValueError(
            f"{where}: the network must be one of {', '.join(NETWORKS)}; found "
            f"{architecture.get('network_class_name')!r}. Plan with nnU-Net's own planners (ExperimentPlanner, "
            "nnUNetPlannerResEncM, …)."
        )
    if not isinstance(architecture.get("arch_kwargs"), Mapping):
        raise ValueError(f"{where}: architecture must have arch_kwargs; found {architecture}. Plan the data set anew.")
    return {key: architecture.get(key, []) for key in ("network_class_name", "arch_kwargs", "_kw_requires_import")}


def _of_old_plans(found: Mapping[str, Any]) -> dict[str, Any]:
    """The architecture of plans written before nnU-Net 2.4, which named its numbers otherwise."""
    name = found.get("UNet_class_name")
    if name not in NETWORKS:
        return {"network_class_name": name}
    encoder = found["n_conv_per_stage_encoder"]
    most, base = found["unet_max_num_features"], found["UNet_base_num_features"]
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": {
            "n_stages": len(encoder),
            "features_per_stage": [min(base * 2**stage, most) for stage in range(len(encoder))],
            "conv_op": "torch.nn.modules.conv.Conv3d",
            "kernel_sizes": found["conv_kernel_sizes"],
            "strides": found["pool_op_kernel_sizes"],
            "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage": encoder,
            "n_conv_per_stage_decoder": found["n_conv_per_stage_decoder"],
            "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-5, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def check_divisible(
    architecture: Mapping[str, Any], sides: Sequence[int], argument: str, remedy: str = "Plan the data set anew."
) -> None:
    """Refuse a patch whose sides do not divide by what the network's strides multiply to.

    Args:
        architecture: of a plan.
        sides: of the patch, voxels.
        argument: the patch's name, for the message.
        remedy: the message's end.

    Raises:
        ValueError: a side does not.
    """
    strides = architecture["arch_kwargs"].get("strides", [])
    whole = [math.prod(stage[axis] if isinstance(stage, Sequence) else stage for stage in strides) for axis in range(3)]
    if any(side % step for side, step in zip(sides, whole, strict=True)):
        raise ValueError(f"{argument} must divide by the network's strides {whole}; found {list(sides)}. {remedy}")
