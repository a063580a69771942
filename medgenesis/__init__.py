"""Self-supervised learning for 3D medical images on MONAI: learn from unlabelled scans, fine-tune on a few labels.

Sub-packages are imported on first use, so ``import medgenesis`` costs next to nothing.
"""

import importlib
import logging
from types import ModuleType

from medgenesis import renamed

__version__ = "0.2.0"

_SUBPACKAGES = (
    *("bundles", "data", "datasets", "distributed", "engines", "errors", "handlers", "inference", "io", "losses"),
    *("methods", "mining", "networks", "report", "storage", "transfer", "transforms", "weights"),
)

__all__ = ["__version__", *_SUBPACKAGES]

renamed.install()
# MONAI warns of it at every workflow, on a handler of its own; whoever passes logging_file=False knows
logging.getLogger("monai.bundle.workflows").addFilter(
    lambda record: not record.getMessage().startswith("Logging file is set to False")
)


def __getattr__(name: str) -> ModuleType:
    if name in _SUBPACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
