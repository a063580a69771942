"""How fast each part of a network learns: groups of weights for an optimizer."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from medgenesis.networks.layers import PARTS, network_layers


def parameter_groups(
    network: nn.Module,
    learning_rate: float,
    rates: Mapping[str, float] | None = None,
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """All weights of a network, grouped by the rate at which they learn.

    Layer i of L (from the input; the head is the last) learns at
    ``learning_rate * rates[its part] * layer_decay ** (L - 1 - i)``.

    Args:
        network: its layers are those of `network_layers`, where rates differ.
        learning_rate: of the last layer. The groups have rates of their own, which go before the `lr` of an optimizer:
            give the same to both (in a config `@optimizer#lr`).
        rates: share of it for "encoder", "decoder", "head"; parts that are not named have 1.
        layer_decay: share of the rate from a layer to the one before it, above 0 to 1; 1 is none.

    Returns:
        `params` of a PyTorch optimizer; one group, in the network's own order, where all learn alike.

    Raises:
        ValueError: an unknown part, a share that is no positive number, or rates that differ in a network that does not
            say where its parts are.

    References:
        Clark et al., ELECTRA, ICLR 2020; Bao et al., BEiT, ICLR 2022 (layer-wise decay).
    """
    rates = dict(rates or {})
    _check(rates, layer_decay)
    if layer_decay == 1 and set(rates.values()) <= {1}:
        return [{"params": list(network.parameters()), "lr": learning_rate}]
    layers = network_layers(network)
    share = {}
    for depth, (part, modules) in enumerate(layers):
        factor = rates.get(part, 1.0) * layer_decay ** (len(layers) - 1 - depth)
        share |= {id(weight): factor for module in modules for weight in module.parameters(recurse=False)}
    groups: dict[float, list[nn.Parameter]] = {}
    for weight in network.parameters():
        groups.setdefault(share[id(weight)], []).append(weight)
    return [{"params": weights, "lr": learning_rate * factor} for factor, weights in groups.items()]


def _check(rates: Mapping[str, float], layer_decay: float) -> None:
    unknown = [part for part in rates if part not in PARTS]
    if unknown:
        raise ValueError(f"rates: must name {', '.join(PARTS)}; found {unknown[0]!r}. Write {{encoder: 0.1}}.")
    wrong = [value for value in rates.values() if not (isinstance(value, (int, float)) and 0 < value < float("inf"))]
    if wrong:
        raise ValueError(
            f"rates: must be shares of the learning rate, above 0; found {wrong[0]!r}. Give 0.1, for example; what is "
            "not to learn at all is named in freeze."
        )
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay: must be above 0 and at most 1; found {layer_decay}. Give 0.75, or 1 for none.")
