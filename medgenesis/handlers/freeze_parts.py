"""Parts of a network that stay as they begin for some epochs, or to the end."""

import logging
from collections.abc import Mapping

from ignite.engine import Engine, Events

from medgenesis.networks.layers import PARTS

logger = logging.getLogger(__name__)

ALWAYS = "all"


class FreezeParts:
    """Freeze parts of the network that a `Supervised` method trains, each for its number of epochs.

    What is frozen follows from the epoch alone, so a restart changes nothing. `{encoder: 20, decoder: 5}` learns the
    head first, then the decoder, then everything; `{encoder: all}` uses the features as they are.

    Args:
        epochs: of each frozen part ("encoder", "decoder", "head"), or "all".

    Raises:
        ValueError: an unknown part or number; (on attaching) a method that is no `Supervised`; (when training starts) a
            part that the network has not, or none left.
    """

    def __init__(self, epochs: Mapping[str, int | str]) -> None:
        if not isinstance(epochs, Mapping):
            raise ValueError(
                f"freeze: must be a mapping of parts; found {epochs!r}. Write {{encoder: 20}}, for example."
            )
        for part, number in epochs.items():
            whole = isinstance(number, int) and not isinstance(number, bool) and number >= 0
            if part not in PARTS or not (whole or number == ALWAYS):
                raise ValueError(
                    f"freeze: must give epochs, or all, for {', '.join(PARTS)}; found {part}: {number!r}. Write "
                    "{encoder: 20, decoder: 5}, for example."
                )
        self.epochs = dict(epochs)

    def attach(self, engine: Engine) -> None:
        if not hasattr(engine.method, "freeze"):
            raise ValueError(
                f"freeze: must be of a training with labels, by Supervised; found {type(engine.method).__name__}. "
                "Leave it out: a pretext method trains all of its network."
            )
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        epoch = engine.state.epoch
        frozen = {part for part, number in self.epochs.items() if number == ALWAYS or epoch <= int(number)}
        if engine.method.freeze(frozen):
            engine.wrap()
            learnt = sum(one.numel() for one in engine.method.network.parameters() if one.requires_grad)
            logger.info("epoch %d: frozen: %s; %d weights learn", epoch, ", ".join(sorted(frozen)) or "nothing", learnt)
