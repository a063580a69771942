"""A MONAI Label server on our bundles: open a study, draw, save, train, and the next one comes segmented.

Started by `medgenesis label-app`. MONAI Label (extra `label`, in an environment of its own) is imported by the modules
that need it, not by this one.
"""

from medgenesis.label_app.prepare import prepare
from medgenesis.label_app.serve import serve
from medgenesis.label_app.settings import AppSettings

__all__ = ["AppSettings", "prepare", "serve"]
