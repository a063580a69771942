"""Names of earlier versions: they still work, with a warning that says the new one, and go with 0.3."""

import functools
import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, TypeVar

# old module -> new module; their submodules follow
MODULES = {
    "medgenesis.atomic": "medgenesis.storage.atomic",
    "medgenesis.data.chestxray14": "medgenesis.datasets.chestxray14",
    "medgenesis.data.phantom": "medgenesis.datasets.phantom",
    "medgenesis.data.readers": "medgenesis.io.readers",
    "medgenesis.data.dicom": "medgenesis.io.dicom",
    "medgenesis.data.loading": "medgenesis.io.volume_reader",
    "medgenesis.data.writers": "medgenesis.io.writers",
    "medgenesis.weights.checkpoint": "medgenesis.storage.checkpoint",
    "medgenesis.weights.published": "medgenesis.weights.load",
}
# old name -> new place
NAMES = {
    "medgenesis.data": {
        "AnyRule": "medgenesis.data.AnyCriterion",
        "ArrayReader": "medgenesis.io.ArrayReader",
        "CUBE_RULES": "medgenesis.data.CROP_CRITERIA",
        "CubeDataset": "medgenesis.data.PatchDataset",
        "CubeRule": "medgenesis.data.CropCriterion",
        "DicomReader": "medgenesis.io.DicomReader",
        "ForegroundRule": "medgenesis.data.ForegroundCriterion",
        "GreyReader": "medgenesis.io.GreyReader",
        "LoadVolumed": "medgenesis.io.LoadVolumed",
        "LungRule": "medgenesis.data.LungCriterion",
        "RandCubed": "medgenesis.data.RandAcceptedCropd",
        "SimpleITKReader": "medgenesis.io.SimpleITKReader",
        "VolumeReader": "medgenesis.io.VolumeReader",
        "WholeNiftiWriter": "medgenesis.io.WholeNiftiWriter",
        "WholePictureWriter": "medgenesis.io.WholeImageWriter",
        "chestxray14_datalist": "medgenesis.datasets.chestxray14_datalist",
    },
    "medgenesis.methods": {"hand_over": "medgenesis.methods.initialise_from_stage"},
    "medgenesis.mining": {
        "CutPatternd": "medgenesis.mining.CropPatternd",
        "ResizeWholed": "medgenesis.mining.ResizeVolumed",
        "draw_feature_map": "medgenesis.report.draw_feature_map",
        "save_image": "medgenesis.report.save_image",
        "save_picture": "medgenesis.report.save_image",
    },
    "medgenesis.networks": {
        "deepest_map": "medgenesis.networks.bottleneck_features",
        "pooled": "medgenesis.networks.global_average_pool",
    },
    "medgenesis.transfer": {
        "Eve": "medgenesis.transfer.DenseEmbedder",
        "Retrieval": "medgenesis.transfer.LandmarkMatches",
        "SlabInferer": "medgenesis.inference.SlabInferer",
        "blind_figures": "medgenesis.transfer.same_position_figures",
        "compositionality": "medgenesis.transfer.measure_compositionality",
        "embed_volume": "medgenesis.inference.embed_volume",
        "embed_volumes": "medgenesis.inference.embed_volumes",
        "eve_controls": "medgenesis.transfer.dense_baselines",
        "film_slabs": "medgenesis.transfer.load_xray_slabs",
        "locality": "medgenesis.transfer.measure_locality",
        "report_eve": "medgenesis.transfer.report_dense_features",
        "restore_volume": "medgenesis.inference.restore_volume",
        "restore_volumes": "medgenesis.inference.restore_volumes",
        "retrieve_landmarks": "medgenesis.transfer.match_landmarks",
        "same_places": "medgenesis.transfer.same_position_baseline",
    },
    "medgenesis.weights": {
        "read_checkpoint": "medgenesis.storage.read_checkpoint",
        "save_checkpoint": "medgenesis.storage.save_checkpoint",
        "trunk_keys": "medgenesis.weights.backbone_keys",
    },
}

T = TypeVar("T", bound=Callable[..., Any])
C = TypeVar("C")


def old_names(package: str) -> Callable[[str], Any]:
    """The module `__getattr__` of a package that had other names: `__getattr__ = old_names(__name__)`."""

    def find(name: str) -> Any:
        new = NAMES[package].get(name)
        if new is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        _warn(f"{package}.{name}", new, stacklevel=3)
        module, _, attribute = new.rpartition(".")
        return getattr(importlib.import_module(module), attribute)

    return find


def renamed_arguments(**old_to_new: str) -> Callable[[T], T]:
    """A decorator of a function or `__init__` that takes arguments by their old names too, with a warning.

    Raises:
        TypeError: when called, with both names of one argument.
    """

    def decorate(function: T) -> T:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            for old in [name for name in kwargs if name in old_to_new]:
                new = old_to_new[old]
                if new in kwargs:
                    raise TypeError(
                        f"{old}: must not be given beside {new}, of which it is the old name; found both. Leave {old} "
                        "out."
                    )
                _warn(f"{function.__qualname__}({old}=)", f"{new}=", stacklevel=2)
                kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return call  # type: ignore[return-value]

    return decorate


def renamed_methods(**old_to_new: str) -> Callable[[type[C]], type[C]]:
    """A decorator of a class that lets its methods be called by their old names too, with a warning."""

    def decorate(cls: type[C]) -> type[C]:
        for old, new in old_to_new.items():
            setattr(cls, old, _forward(old, new))
        return cls

    return decorate


def _forward(old: str, new: str) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        _warn(f"{type(self).__name__}.{old}", new, stacklevel=2)
        return getattr(self, new)(*args, **kwargs)

    call.__doc__ = f"The old name of `{new}`."
    return call


def _warn(old: str, new: str, stacklevel: int) -> None:
    # a FutureWarning, for a DeprecationWarning is not shown to those who run a bundle
    warnings.warn(
        f"{old} is now {new}; the old name goes with medgenesis 0.3", FutureWarning, stacklevel=stacklevel + 1
    )


class _OldModules(MetaPathFinder, Loader):
    """Imports of an old module give the new one, the same object under both names."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None):
        return None if self._new(name) is None else ModuleSpec(name, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        new = self._new(spec.name)
        _warn(spec.name, new, stacklevel=2)
        module = importlib.import_module(new)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has put the alias's there

    @staticmethod
    def _new(name: str) -> str | None:
        for old, new in MODULES.items():
            if name == old or name.startswith(f"{old}."):
                return new + name[len(old) :]
        return None


def install() -> None:
    """Let imports of old module names succeed; again changes nothing."""
    if not any(isinstance(finder, _OldModules) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OldModules())  # before finders that know where this package once had its modules
