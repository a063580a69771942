"""How many channels images have: found in the first of them, and held by all others."""

from collections.abc import Mapping, Sequence
from typing import Any

from monai.config import KeysCollection
from monai.transforms import MapTransform

from medgenesis.errors import VolumeError
from medgenesis.io.naming import volume_name
from medgenesis.io.volume_reader import VolumeReader


def channels_of(records: Sequence[dict], on_error: str = "stop") -> int:
    """Channels of the first record's image (files of a list are channels); 1 where there is no record.

    Only the header is read.

    Args:
        records: with `image`.
        on_error: "skip" takes the first image that can be read.

    Raises:
        VolumeError: (`on_error="stop"`) the first cannot be read.
    """
    for record in records:
        try:
            return VolumeReader(record.get("cube"), record.get("series")).channels(record["image"])
        except VolumeError:
            if on_error == "stop":
                raise
    return 1


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
                    f"{found} on images that all have {found}."
                )
        return dict(data)
