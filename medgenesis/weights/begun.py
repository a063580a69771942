"""What of a network was loaded, and whether its head has the weights of a segmentation."""

from collections.abc import Iterable

from torch import nn

from medgenesis.networks.parts import network_parts

_NAME = "_newly_initialised"
_ABSENT = "_absent_in_its_file"


def note_newly_initialised(network: nn.Module, keys: Iterable[str]) -> None:
    """Let a network that has been given weights carry the keys whose weights are not those of its own task."""
    setattr(network, _NAME, frozenset(keys))


def head_was_loaded(network: nn.Module) -> bool:
    """Whether a segmentation's weights were loaded, its head's among them; False where it starts from scratch."""
    fresh = network.__dict__.get(_NAME)
    head = f"{network_parts(network).head}."
    return fresh is not None and not any(key.startswith(head) for key in fresh)


def note_absent(network: nn.Module, keys: Iterable[str]) -> None:
    """Let a network that has been given weights carry the keys that the file had nothing for."""
    setattr(network, _ABSENT, frozenset(keys))


def absent_of(network: nn.Module, part: nn.Module) -> tuple[list[str], int, float]:
    """What of a part of a network has nothing of the file that was loaded; counts of batches are passed over.

    Args:
        network: whole, as it was given weights.
        part: modules of it.

    Returns:
        The network's keys of it, how many keys the part has, and the share of the part's numbers that are of the file;
        where no file was loaded nothing is absent.
    """
    own = {id(value) for value in part.state_dict(keep_vars=True).values()}
    state = {key: value for key, value in network.state_dict(keep_vars=True).items() if id(value) in own}
    state = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    absent = [key for key in state if key in network.__dict__.get(_ABSENT, ())]
    whole = sum(value.numel() for value in state.values())
    return absent, len(state), 1 - sum(state[key].numel() for key in absent) / max(whole, 1)
