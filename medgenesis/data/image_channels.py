"""How many channels images have: found in the first of them, and held by all others."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from medgenesis.errors import VolumeError
from medgenesis.io.naming import volume_name
from medgenesis.io.volume_reader import VolumeReader

_ASKED = 25  # images whose headers are read where some may be skipped


def channels_of(records: Sequence[dict], on_error: str = "stop") -> int:
    """Channels of the first record's image (files of a list are channels); 1 where there is no record.

    Only headers are read.

    Args:
        records: with `image`.
        on_error: "skip" takes what most of the first 25 images have that can be read: the others are skipped later,
            and one stray file must not decide which those are.

    Raises:
        VolumeError: (`on_error="stop"`) the first cannot be read.
    """
    found: Counter[int] = Counter()
    for record in records:
        try:
            found[VolumeReader(record.get("cube"), record.get("series")).channels(record["image"])] += 1
        except VolumeError:
            if on_error == "stop":
                raise
        if found.total() == (1 if on_error == "stop" else _ASKED):
            break
    return found.most_common(1)[0][0] if found else 1


class CheckChannelsd(MapTransform):
    """Refuse images with another number of channels than the network sees.

    Args:
        keys: keys of the images, (C, *spatial).
        channels: of the network.
        allow_missing_keys: pass over keys that a record lacks.

    Raises:
        VolumeError: with the file's name.
    """

    def __init__(self, keys: KeysCollection, channels: int, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.channels = channels

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        for key in self.key_iterator(data):
            found = data[key].shape[0]
            if found != self.channels:
                raise VolumeError(
                    f"{volume_name(data[key])}: must have as many channels as the network, {self.channels} "
                    f"(`in_channels`); found {found}. Give files with {self.channels}, or train with --in_channels "
                    f"{found} on images that all have {found}; a 2.5D bundle takes 1: give it one channel of each."
                )
        return dict(data)
