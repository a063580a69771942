"""The layers of a network in their order, and the parts that they belong to: what is frozen, what learns how fast."""

from collections.abc import Iterator

from torch import nn

from medgenesis.networks.parts import network_parts

PARTS = ("encoder", "decoder", "head")


def network_layers(network: nn.Module) -> list[tuple[str, list[nn.Module]]]:
    """The layers of a network from its input to its output, as (part, modules that hold the layer's weights).

    The encoder's layers come first, then what is neither encoder nor head ("decoder"), the head last. A layer is a
    level or stage, as the network's own module lists have them; a normalisation that stands alone belongs to the layer
    before it. Each module with weights of its own is in one layer.

    Args:
        network: one whose parts `network_parts` knows, or with modules `encoder` and `head` (`EncoderClassifier`).

    Raises:
        ValueError: the network does not say where its parts are.
    """
    parts = network_parts(network)
    encoder = _stages(parts.encoder)
    heads = [module for name in parts.heads for module in _weighted(network.get_submodule(name))]
    taken = {*map(id, heads), *(id(one) for stage in encoder for one in stage)}
    between = []
    for stage in _stages(network):
        between.append([one for one in stage if id(one) not in taken])
        taken |= set(map(id, stage))  # some networks (DynUNet) hold a module under two names
    layers = [("encoder", stage) for stage in encoder] + [("decoder", stage) for stage in between if stage]
    return [*layers, ("head", heads)] if heads else layers


def _stages(module: nn.Module) -> list[list[nn.Module]]:
    """Modules with weights, a list for each stage of `module`."""
    stages: list[list[nn.Module]] = []
    for stage in _expanded(module):
        modules = list(_weighted(stage))
        thin = all(weight.ndim < 2 for one in modules for weight in one.parameters(recurse=False))
        if stages and thin:
            stages[-1] += modules
        elif modules:
            stages.append(modules)
    return stages


def _expanded(module: nn.Module) -> Iterator[nn.Module]:
    """The stages: children, those of lists and of wrappers around lists in their place."""
    if any(True for _ in module.parameters(recurse=False)):
        yield module
        return
    for child in module.children():
        lists = [one for one in child.children() if isinstance(one, nn.ModuleList)]
        if isinstance(child, nn.ModuleList) or lists or len(list(module.children())) == 1:
            yield from _expanded(child)
        else:
            yield child


def _weighted(module: nn.Module) -> Iterator[nn.Module]:
    """The modules below (and with) `module` that hold weights or buffers themselves."""
    for one in module.modules():
        if next(one.parameters(recurse=False), None) is not None or next(one.buffers(recurse=False), None) is not None:
            yield one
