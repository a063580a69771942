"""Results of other images are not replaced without a word."""

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer

from medgenesis.errors import DatalistError
from medgenesis.inference import SaveLabelMapsd, classify_volumes, embed_volumes, restore_volumes
from medgenesis.inference.written_for import LEDGER, claim_names, claim_tables
from medgenesis.io.naming import OutputNames
from medgenesis.networks import UNet3D


class Volumes(list):
    """Items with the records that they are made of."""

    def __init__(self, *paths):
        self.data = [{"image": str(path)} for path in paths]
        scan = torch.zeros(1, 16, 16, 16)
        super().__init__({"image": MetaTensor(scan, meta={"filename_or_obj": str(path)})} for path in paths)


@pytest.fixture
def volumes(tmp_path):
    """Two scans, as two hospitals name them alike; and the first one again."""
    return [Volumes(tmp_path / hospital / "scan.nii.gz") for hospital in ("a", "b", "a")]


def test_label_maps_and_restorations_of_another_image_stay(tmp_path, volumes):
    def label_maps(given):
        SaveLabelMapsd("pred", given.data, tmp_path / "maps")({**given[0], "pred": torch.ones(1, 4, 4, 4)})

    def restorations(given):
        network = torch.nn.Conv3d(1, 1, 1)
        restore_volumes(network, given, lambda cube: (cube, cube), (16, 16, 16), tmp_path / "restored")

    for write in (label_maps, restorations):
        write(volumes[0])
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("scan*.nii.gz")}
        with pytest.raises(DatalistError, match=r"b/scan.nii.gz: must not replace .* as scan in"):
            write(volumes[1])
        assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("scan*.nii.gz")}
        write(volumes[2])


def test_an_image_that_failed_keeps_no_name(tmp_path):
    """Of a and b, b gives NaN and is never written; a sound b from elsewhere may take the name, another a may not."""
    first = [{"image": str(tmp_path / "x" / name)} for name in ("a.nii.gz", "b.nii.gz")]
    other = [{"image": str(tmp_path / "y" / name)} for name in ("a.nii.gz", "b.nii.gz")]

    def write(records, item):
        scan = MetaTensor(torch.zeros(1, 4, 4, 4), meta={"filename_or_obj": item["image"]})
        SaveLabelMapsd("pred", records, tmp_path / "maps")({"image": scan, "pred": torch.ones(1, 4, 4, 4)})

    write(first, first[0])  # and then the run ends
    write(other[1:], other[1])
    assert sorted(path.name for path in (tmp_path / "maps").glob("*.gz")) == ["a_seg.nii.gz", "b_seg.nii.gz"]
    for records in (other[:1], first[1:]):
        with pytest.raises(DatalistError, match="must not replace the results of another image"):
            write(records, records[0])
    write(first[:1], first[0])


def test_tables_of_other_images_are_kept(tmp_path, volumes):
    network = UNet3D(width=1)
    classifier = torch.nn.Sequential(torch.nn.AdaptiveAvgPool3d(1), torch.nn.Flatten(), torch.nn.Linear(1, 2))
    for number, given in enumerate(volumes):
        embed_volumes(network, given, (16, 16, 16), tmp_path / "embeddings.csv")
        classify_volumes(classifier, given, SimpleInferer(), tmp_path)
        kept = {path.name for path in tmp_path.glob("earlier/*")}
        assert kept == ({"embeddings.csv", "predictions.csv", "auc.csv", "report.html"} if number else set())
    embed_volumes(network, volumes[2], (16, 16, 16), tmp_path / "embeddings.csv")
    assert np.genfromtxt(tmp_path / "earlier/embeddings.csv", delimiter=",", skip_header=1).size


def test_what_is_beside_the_embeddings_of_other_images_is_kept_with_them(tmp_path, volumes):
    network = UNet3D(width=1)
    for given in volumes[:2]:
        embed_volumes(network, given, (16, 16, 16), tmp_path / "embeddings.csv")
        assert not [name for name in ("separability.csv", "reuse.csv") if (tmp_path / name).exists()]
        for name in ("separability.csv", "reuse.csv"):
            (tmp_path / name).write_text(f"of {given.data[0]['image']}")
        embed_volumes(network, given, (16, 16, 16), tmp_path / "embeddings.csv")  # of the same images: left
        assert (tmp_path / "reuse.csv").exists()
    kept = {path.name: path.read_text() for path in tmp_path.glob("earlier/*")}
    assert set(kept) == {"embeddings.csv", "separability.csv", "reuse.csv"}
    assert kept["reuse.csv"] == kept["separability.csv"] == f"of {volumes[0].data[0]['image']}"


def test_a_longer_list_of_the_same_images_goes_on(tmp_path):
    records = [{"image": str(tmp_path / "s" / f"{number}.nii.gz")} for number in range(3)]
    claim_names(tmp_path, OutputNames(records[:2]))
    claim_names(tmp_path, OutputNames(records))
    claim_names(tmp_path, OutputNames(records[2:]))
    (tmp_path / "2_seg.nii.gz").touch()
    with pytest.raises(DatalistError, match="2.nii.gz"):
        claim_names(tmp_path, OutputNames([{"image": str(tmp_path / "t" / "2.nii.gz")}]))


def test_a_table_that_the_note_lacks_is_of_the_images_of_the_first(tmp_path):
    """Notes of before name the first alone: its images once more leave the others where they are."""
    records = [[{"image": str(tmp_path / f"{name}.nii.gz")}] for name in ("a", "b")]
    for of, moved in ((0, False), (1, True)):
        (tmp_path / "earlier").mkdir(exist_ok=True)
        (tmp_path / "beside.csv").write_text("of a")
        claim_tables(tmp_path, ["first.csv"], OutputNames(records[0]))
        claim_tables(tmp_path, ["first.csv", "beside.csv"], OutputNames(records[of]))
        assert (tmp_path / "beside.csv").exists() != moved
        (tmp_path / LEDGER).unlink()


def test_the_report_of_the_training_that_has_just_ended_is_its_own(tmp_path, volumes):
    classifier = torch.nn.Sequential(torch.nn.AdaptiveAvgPool3d(1), torch.nn.Flatten(), torch.nn.Linear(1, 2))
    (tmp_path / "report.html").write_text("of the training")
    for _ in range(2):
        classify_volumes(classifier, volumes[0], SimpleInferer(), tmp_path)
        assert not list(tmp_path.glob("earlier/*"))
