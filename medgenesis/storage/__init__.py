"""Files written whole or not at all, and read safely: the ground that every package stands on."""

from medgenesis.storage.atomic import replacing, write_text
from medgenesis.storage.checkpoint import read_checkpoint, save_checkpoint

__all__ = ["read_checkpoint", "replacing", "save_checkpoint", "write_text"]
