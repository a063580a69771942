"""The kernels: pure functions on (B, C, *spatial), what was drawn given as values."""

from medgenesis.transforms.functional.curves import bezier_map

__all__ = ["bezier_map"]
