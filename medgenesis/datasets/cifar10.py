"""CIFAR-10: 60 000 photographs of 32 x 32 pixels in ten classes; no medical images, but of the transfer study."""

import io
import json
import logging
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medgenesis.data.splits import split_patients
from medgenesis.datasets.published import PublishedDataset
from medgenesis.errors import DatalistError
from medgenesis.storage.atomic import make_folder, write_text
from medgenesis.storage.fingerprints import file_fingerprint, fingerprint

logger = logging.getLogger(__name__)

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_FILES = {"training": tuple(f"data_batch_{number}" for number in range(1, 6)), "test": ("test_batch",)}
_FOLDERS = {"cifar-10-batches-py": "", "cifar-10-batches-bin": ".bin"}  # suffix of their files
_RECONSTRUCT = np.empty(0).__reduce__()[0]  # what a pickled array is made by
_NUMBERS = 3 * 32 * 32  # of an image: red, green, blue, each row by row


def cifar10_datalist(
    root: str | Path,
    *,
    split: str = "patient",
    validation: float = 0.2,
    seed: int = 0,
    name: str = "cifar10",
    unpack_to: str | Path | None = None,
) -> dict[str, Any]:
    """A datalist with the official sections, whose images are written as PNG files; each counts as a patient.

    Args:
        root: folder with `cifar-10-batches-py` or `cifar-10-batches-bin`, or one of these.
        split: "patient": a share of the training images of each class is the validation section; "reference": none is.
        validation: that share.
        seed: of that draw.
        name: of the list.
        unpack_to: folder of the PNG files; None: `unpacked` in the data set's folder. What is there is not repeated.

    Raises:
        ValueError: another split.
        DatalistError: files absent, or other content: of a pickle nothing but NumPy arrays and plain data is read.
    """
    if split not in ("patient", "reference"):
        raise ValueError(f"split: must be patient or reference; found {split!r}. Choose one of them.")
    files = _files(Path(root))
    folder = Path(unpack_to) if unpack_to is not None else files["test"][0].parent / "unpacked"
    sections = _unpacked(files, folder)
    header = {"name": name, "modality": {"0": "photograph"}, "class_names": list(CLASSES), "patient_keys": ["table"]}
    if split == "reference":
        return {**header, "split": "reference", **sections}
    strata = {one["patient"]: one["class"] for one in sections["training"]}
    section_of = split_patients(strata, (1 - validation, validation, 0.0), seed, strata)
    cut: dict[str, list[dict]] = {"training": [], "validation": []}
    for one in sections["training"]:
        cut[section_of[one["patient"]]].append(one)
    return {**header, **cut, "test": sections["test"]}


def _files(root: Path) -> dict[str, list[Path]]:
    """The files of each section, all of one of the two published versions."""
    for folder in (root, *(root / name for name in _FOLDERS)):
        for suffix in _FOLDERS.values():
            found = {section: [folder / f"{one}{suffix}" for one in names] for section, names in _FILES.items()}
            absent = [path.name for paths in found.values() for path in paths if not path.is_file()]
            if not absent:
                return found
            if len(absent) < 6:
                raise DatalistError(
                    f"{folder}: must hold data_batch_1 to data_batch_5 and test_batch; found no {', '.join(absent)}. "
                    "Unpack the whole archive."
                )
    raise DatalistError(
        f"{root}: must hold {' or '.join(_FOLDERS)}; found neither. Unpack cifar-10-python.tar.gz or "
        "cifar-10-binary.tar.gz there."
    )


def _unpacked(files: dict[str, list[Path]], folder: Path) -> dict[str, list[dict]]:
    """Records of the images of each section, which are written where they are not yet there."""
    made_of = fingerprint([file_fingerprint(path) for paths in files.values() for path in paths])
    listed = folder / "unpacked.json"
    known = json.loads(listed.read_text(encoding="utf-8")) if listed.is_file() else {}
    if known.get("made_of") != made_of:
        known = {"made_of": made_of}
        for section, paths in files.items():
            make_folder(folder / section)
            known[section] = []
            for image, label in (pair for path in paths for pair in _images(path)):
                Image.fromarray(image).save(folder / section / f"{len(known[section]):05d}.png")
                known[section].append(label)
        write_text(listed, json.dumps(known) + "\n")
        logger.info("CIFAR-10: unpacked to %s", folder)
    return {
        section: [
            {
                "image": str(folder / section / f"{number:05d}.png"),
                "class": label,
                "patient": f"{section} {number}",
                "intensity": "xray",
                "colour": True,
            }
            for number, label in enumerate(known[section])
        ]
        for section in files
    }


def _images(path: Path) -> Iterator[tuple[np.ndarray, int]]:
    """Images (32, 32, 3) uint8 of a file with their classes."""
    data, labels = _of_binary(path) if path.suffix == ".bin" else _of_pickle(path)
    if data.ndim != 2 or data.shape[1] != _NUMBERS or data.dtype != np.uint8 or not 0 < len(data) == len(labels):
        raise DatalistError(
            f"{path}: must have {_NUMBERS} numbers of 8 bits an image, and a label each; found {data.shape} "
            f"{data.dtype} and {len(labels)}. Unpack the archive again."
        )
    wrong = [label for label in labels if type(label) is not int or not 0 <= label < len(CLASSES)]
    if wrong:
        raise DatalistError(f"{path}: labels must be 0 to 9; found {wrong[0]!r}. Unpack the archive again.")
    yield from zip(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels, strict=True)


def _of_binary(path: Path) -> tuple[np.ndarray, list[int]]:
    content = np.fromfile(path, np.uint8)
    if not len(content) or len(content) % (1 + _NUMBERS):
        raise DatalistError(
            f"{path}: must have {1 + _NUMBERS} bytes an image; found {len(content)} bytes. Unpack the archive again."
        )
    rows = content.reshape(-1, 1 + _NUMBERS)
    return rows[:, 1:], rows[:, 0].tolist()


def _of_pickle(path: Path) -> tuple[np.ndarray, list[Any]]:
    try:
        found = _ArraysOnly(io.BytesIO(path.read_bytes()), encoding="bytes").load()
        data, labels = (found.get(key, found.get(key.decode())) for key in (b"data", b"labels"))
        return np.asarray(data), list(labels)
    except Exception as error:  # a damaged pickle may raise anything
        raise DatalistError(
            f"{path}: cannot be read as a batch of CIFAR-10 ({type(error).__name__}: {error}). Unpack the archive "
            "again."
        ) from error


class _ArraysOnly(pickle.Unpickler):
    """Knows NumPy arrays and plain data alone: a pickle may otherwise run any program."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return _RECONSTRUCT
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):  # bytes, as Python 3 writes them for Python 2
            return lambda text, _: text.encode("latin-1")
        raise pickle.UnpicklingError(f"content: must be arrays and plain data; found {module}.{name}. Do not trust it.")


DATASET = PublishedDataset(
    name="cifar10",
    title="CIFAR-10: 60 000 photographs in ten classes (not medical; of the transfer study)",
    holds="cifar-10-batches-py or cifar-10-batches-bin; images are unpacked beside the files",
    source="https://www.cs.toronto.edu/~kriz/cifar.html (no licence stated)",
    datalist=cifar10_datalist,
)
