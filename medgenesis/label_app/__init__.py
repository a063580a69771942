"""A MONAI Label server on our bundles: open a study, draw, save, train, and the next one comes segmented.

Started by `medgenesis label-app`. MONAI Label (extra `label`, in an environment of its own) is imported by the modules
that need it, not by this one.
"""

from medgenesis.label_app.app_folder import prepare
from medgenesis.label_app.settings import AppSettings
from medgenesis.label_app.start import serve

__all__ = ["AppSettings", "prepare", "serve"]
