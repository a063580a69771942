"""Small valid files of every kind that is read, and what may happen to them: for `fuzz_inputs.py`."""

import gzip
import json
import os
import pickle
import struct
import tempfile
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import SimpleITK as sitk
import torch
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from medgenesis.storage import save_checkpoint

IMAGES = {"png": {}, "jpg": {}, "bmp": {}, "tif": {}, "packed.tif": {"compression": "tiff_deflate"}}
VOLUMES = ("nii", "nii.gz", "mha", "packed.mha", "mhd", "packed.mhd", "nrrd", "packed.nrrd", "nhdr", "npy", "npz")
KINDS = (*VOLUMES, *IMAGES, "dcm", "series", "pt", "json")
CHECKED = ("nii.gz", "packed.mha", "packed.mhd", "packed.nrrd", "npz", "png", "pt")  # have checksums
DAMAGES = ("flip", "cut", "zeros", "more", "swapped", "suffix", "name", "header", "hostile")
SPOILT = {  # places of a NIfTI header, and what nobody may believe
    "pixdim1": (80, "<f", (0.0, np.nan, np.inf)), "srow_x0": (280, "<f", (np.nan, np.inf, 0.0)),
    "dim1": (42, "<h", (-5, 0, 5, 7, 32000)), "dim0": (40, "<h", (-1, 0, 9, 77)), "code": (254, "<h", (-3, 99)),
    "datatype": (70, "<h", (0, 3, 999)), "offset": (108, "<f", (-9.0, 351.0, 353.0, 1e9, np.nan)),
}  # fmt: skip
TEXT = {  # of a text header: what is replaced, and by what
    "DimSize = 6 5 4": ("DimSize = 6 5 5", "DimSize = 6 -5 4", "DimSize = 60000 60000 60000", "DimSize = 6 5"),
    "ElementSpacing = 1 1 1": ("ElementSpacing = 1 0 1", "ElementSpacing = nan 1 1", "ElementSpacing = 1 inf 1"),
    "NDims = 3": ("NDims = 4", "NDims = -3", "NDims = 99999999"),
    "sizes: 6 5 4": ("sizes: 6 5 5", "sizes: 60000 60000 60000", "sizes: 6 -5 4", "sizes: 6 5"),
    "(1,0,0)": ("(0,0,0)", "(nan,0,0)", "(1,inf,0)", "(1,0)"),
    "dimension: 3": ("dimension: 4", "dimension: -1", "dimension: 999999"),
}  # fmt: skip
NAMES = (
    "%d%s%n",
    "$(touch canary)",
    "a;touch canary",
    "-rf",
    "new\nline",
    "caf\udce9",
    "@x",
    "$__import__('os')",
    "x" * 240,
)
DATA_NAMES = (
    "pat_%d.raw 1 4 1",
    "%n%n.raw 1 3 1",
    "/dev/zero",
    "/etc/passwd",
    "../up.raw",
    "pipe.raw",
    "LIST\n/etc/passwd",
)


class Code:
    """What a pickle builds by running something."""

    def __reduce__(self):
        return os.system, ("touch canary",)


def build(kind: str, folder: Path, rng: np.random.Generator) -> tuple[Path, list[Path]]:
    """A small valid input: what is read, and the files that may be damaged."""
    values = rng.integers(-1000, 1000, (6, 5, 4)).astype(np.int16)
    path = folder / f"a.x.{kind}"
    if kind.startswith("nii"):
        nibabel.save(nibabel.Nifti1Image(values, np.diag([-1.5, -2, 3, 1])), path)
    elif kind in ("npy", "npz"):
        (np.save if kind == "npy" else np.savez)(path, values)
    elif kind in IMAGES:
        Image.fromarray(rng.integers(0, 255, (40, 30)).astype(np.uint8)).save(path, **IMAGES[kind])
    elif kind == "pt":
        save_checkpoint({"a": torch.from_numpy(rng.random(500)), "b": 7}, path)
    elif kind == "json":
        np.save(folder / "scan.npy", values)
        path.write_text(json.dumps({"training": [{"image": "scan.npy", "patient": "p1"}], "label_merge": {"1": "1-2"}}))
        return path, [path]
    elif kind in ("dcm", "series"):
        return _dicom(folder, kind, values)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(values.T), str(path), useCompression="packed" in kind)
        return path, sorted(folder.iterdir())
    return path, [path]


def _dicom(folder: Path, kind: str, values: np.ndarray) -> tuple[Path, list[Path]]:
    series, files = generate_uid(entropy_srcs=["fuzz"]), []
    for z in range(4 if kind == "series" else 1):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["fuzz", str(z)])
        one = FileDataset(f"{z}.dcm", {}, file_meta=meta, preamble=b"\0" * 128)
        one.SOPClassUID, one.SOPInstanceUID, one.Modality = CTImageStorage, meta.MediaStorageSOPInstanceUID, "CT"
        one.SeriesInstanceUID, one.Rows, one.Columns, one.PixelSpacing, one.SliceThickness = series, 5, 6, [1, 2], 3
        one.ImageOrientationPatient, one.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 3 * z]
        one.SamplesPerPixel, one.PhotometricInterpretation, one.PixelRepresentation = 1, "MONOCHROME2", 1
        one.BitsAllocated, one.BitsStored, one.HighBit = 16, 16, 15
        one.RescaleSlope, one.RescaleIntercept, one.PixelData = 1, 0, values[..., z].T.tobytes()
        pydicom.dcmwrite(folder / f"{z}.dcm", one, enforce_file_format=True)
        files.append(folder / f"{z}.dcm")
    return (folder if kind == "series" else files[0]), files


def damage(how: str, kind: str, path: Path, files: list[Path], rng: np.random.Generator) -> tuple[Path, bool]:
    """Damage an input in place; what is to be read now, and whether a reader must not take it as another one."""
    file = files[rng.integers(len(files))]
    content = bytearray(file.read_bytes())
    place = int(rng.integers(len(content)))
    ends = len(content) if file.suffix == ".mhd" else content.find(b"\n\n" if "nrrd" in kind else b"LOCAL\n")
    told = how == "cut" or (kind in CHECKED and place > ends)  # a header that is text has no checksum
    told &= how != "swapped" or "packed" not in kind
    if how == "flip":
        content[place] ^= 1 << int(rng.integers(8))
    elif how == "cut":
        content = content[:place]
    elif how == "zeros":
        content[place : place + 64] = bytes(len(content[place : place + 64]))
    elif how == "more":
        content += bytes(rng.integers(1, 255, int(rng.integers(1, 99))).astype(np.uint8))
    elif how == "swapped":
        other, _ = build(KINDS[rng.integers(len(VOLUMES))], Path(tempfile.mkdtemp(dir=path.parent, prefix=".")), rng)
        content[:200] = other.read_bytes()[:200]
    elif how == "suffix" and kind not in ("series", "json", "pt"):
        suffix = KINDS[rng.integers(len(KINDS) - 4)].removeprefix("packed.")
        return path.rename(path.with_name(f"renamed.{suffix}")), True
    elif how == "name" and kind not in ("series", "mhd", "packed.mhd", "nhdr"):
        return path.rename(path.with_name(NAMES[rng.integers(len(NAMES))] + "." + kind.removeprefix("packed."))), True
    elif how == "header" and kind.startswith("nii"):
        place, form, values = list(SPOILT.values())[rng.integers(len(SPOILT))]
        plain = bytearray(gzip.decompress(content) if kind == "nii.gz" else content)
        struct.pack_into(form, plain, place, values[rng.integers(len(values))])
        content = gzip.compress(plain) if kind == "nii.gz" else plain
        file.write_bytes(content)
        return path, True
    elif how == "header" and kind.rpartition(".")[2] in ("mha", "mhd", "nrrd", "nhdr"):
        fitting = [
            (old.encode(), new) for old, news in TEXT.items() for new in news if old.encode() in path.read_bytes()
        ]
        old, new = fitting[rng.integers(len(fitting))]
        path.write_bytes(path.read_bytes().replace(old, new.encode()))
        return path, True
    else:
        return _hostile(kind, path, rng), True
    file.write_bytes(content)
    return path, told


def _hostile(kind: str, path: Path, rng: np.random.Generator) -> Path:
    """An input that means harm, or would take all memory; each must be refused, or read for what it is."""
    name, choice = kind.removeprefix("packed."), int(rng.integers(3))
    if kind == "series":
        os.mkfifo(path / "pipe")
        return path
    path.unlink()
    if kind == "json":
        text = NAMES[rng.integers(len(NAMES))]
        path.write_text(json.dumps({"training": [{"image": "scan.npy", "patient": text, "_target_": "os.abort"}]}))
    elif choice == 0:
        os.mkfifo(path)
    elif choice == 1 and name == "pt":
        torch.save({"a": Code()}, path, _use_new_zipfile_serialization=bool(rng.integers(2)))
    elif choice == 1 and name in ("npy", "npz"):
        (np.save if name == "npy" else np.savez)(path, np.array([Code()], object))
    elif choice == 1 and name in ("mhd", "nhdr", "mha", "nrrd"):
        os.mkfifo(path.with_name("pipe.raw"))
        data = DATA_NAMES[rng.integers(len(DATA_NAMES))]
        meta = f"NDims = 3\nDimSize = 3 3 3\nElementType = MET_UCHAR\nElementDataFile = {data}\n"
        nrrd = f"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 3 3 3\nencoding: raw\ndata file: {data}\n\n"
        path.write_text(meta if name[0] == "m" else nrrd)
    elif choice == 1:
        path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(canary) (w) file closefile showpage\n")
    elif name in ("png", "tif", "bmp"):
        Image.new("1", (6000, 6000)).save(path)
    elif name in ("npz", "pt"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(
                "a.npy",
                b"\x93NUMPY\1\0F\0{'descr': '<f4', 'fortran_order': False, 'shape': (9999, 9999), }" + bytes(2**26),
            )
    elif kind == "nii.gz":
        header = nibabel.Nifti1Header()
        header.set_data_shape((900, 900, 900))
        path.write_bytes(gzip.compress(bytes(header.binaryblock) + bytes(2**24)))
    else:
        path.write_bytes(pickle.dumps(Code()))
    return path
