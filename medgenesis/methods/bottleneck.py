"""The last feature maps that a network's encoder computes while the network runs, so that nothing is computed twice."""

from collections.abc import Generator
from contextlib import contextmanager

from torch import Tensor, nn

from medgenesis.networks import bottleneck_features, network_parts


@contextmanager
def record_bottleneck_features(network: nn.Module) -> Generator[list[Tensor], None, None]:
    """Within the context, each pass of the encoder appends its last feature map (B, channels, *spatial) to the list.

    Raises:
        ValueError: at the end, the encoder was not called as a module.
    """
    maps: list[Tensor] = []

    def catch(module: nn.Module, args: tuple, features: Tensor | list[Tensor]) -> None:
        maps.append(bottleneck_features(features))

    # for this pass only: a lasting hook would hold the graph, and be copied along with a momentum encoder
    hook = network_parts(network).last_stage.register_forward_hook(catch)
    try:
        yield maps
    finally:
        hook.remove()
    if not maps:
        raise ValueError(
            f"network: must call its encoder as a module; found that {type(network).__name__} did not. Write "
            "`self.encoder(x)` in its forward, not a method of the encoder or its stages one by one."
        )
