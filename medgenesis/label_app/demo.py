"""Studies for a first look: computed chests, some of them turned and oblique as real ones are."""

from pathlib import Path

from medgenesis.datasets.phantom import write_phantoms

SUBJECTS, SHAPE = 8, (64, 64, 64)


def make_demo_studies(folder: str | Path) -> Path:
    """Write computed scans (once), and return their folder.

    The true label maps lie beside, in `labels`, with the phantom's own numbers.
    """
    write_phantoms(folder, SUBJECTS, seed=7, shape=SHAPE)
    return Path(folder) / "images"
