"""Published data sets, one a file, and the phantom: where their files lie, whose they are, which section they belong
to.
"""

from medgenesis.datasets.chestxray14 import chestxray14_datalist

__all__ = ["chestxray14_datalist"]
