"""The config mine.yaml run on tiny phantoms, and what its folder holds, for the tests of mining."""

import nibabel
import numpy as np
import pytest
from monai.bundle import ConfigWorkflow

from medgenesis import bundles
from medgenesis.errors import cause_of

TINY = {
    "width": 2,
    "volume_size": [16, 16, 16],
    "cube_size": [8, 8, 6],
    "crop_criterion": "any",
    "min_distance": 3,
    "classes": 3,
    "train_patients": 3,
    "validation_patients": 2,
    "autoencoder_epochs": 2,
    "volumes_per_batch": 2,
    "num_workers": 0,
    "device": "cpu",
}
RESULTS = {"features.npz", "patterns.json", "similarity.json", "contact_sheet.png", "features.png"}


def parsed(datalist, folder, **settings):
    """With `shard="2/4"` the overlay of a part is added, as `medgenesis mine --shard` does."""
    root = bundles.path("semantic_genesis_ct")
    names = ["mine", "shard"] if settings.get("shard") not in (None, "merge") else ["mine"]
    settings = {"bundle_root": str(root), "datalist": str(datalist), "output_dir": str(folder), **TINY, **settings}
    configs = [f"{root}/configs/{name}.yaml" for name in names]
    made = ConfigWorkflow(configs, workflow_type=None, logging_file=False, **settings)
    made.initialize()
    return made


def mine(datalist, folder, **settings):
    """Run the config; its error is the one that a user sees last."""
    try:
        parsed(datalist, folder, **settings).run()
    except RuntimeError as error:
        raise cause_of(error) from None


def contents(folder):
    """Of each file but the lock, which this process holds until it ends, and the record of all starts."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in (".running", "run.json")]
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


class Unread:
    """A preprocessing that must not be called."""

    def __call__(self, record):
        pytest.fail("read before the settings were checked")


def dark(path, of=0.05):
    """What mining takes for air: the scan at a fraction of its range above air."""
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image((image.get_fdata() + 1000) * of - 1000, image.affine), path)


def rescale(path):
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(), image.affine @ np.diag([1.2, 1, 1, 1])), path)
