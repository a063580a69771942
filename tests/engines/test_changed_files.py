"""A run goes on, and a finished one counts as finished, with files of the same content alone, wherever they lie."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.toy import ToyCubes, rows, toy_trainer

from medgenesis.data.file_contents import file_contents
from medgenesis.data.image_fingerprints import image_fingerprints
from medgenesis.errors import CheckpointError
from medgenesis.weights.kept import SEEN

pytestmark = pytest.mark.usefixtures("one_thread")
BYTES = 500_000  # more than what is read of an image


class Listed(ToyCubes):
    """Toy cubes that say what they are made of."""

    def __init__(self, records):
        self.data = records


def write(path, seed):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(np.random.default_rng(seed).integers(0, 256, BYTES, dtype=np.uint8).tobytes())


def lists(folder):
    """Training and validation: uncompressed volumes with label maps, each of one size."""
    records = []
    for number in range(6):
        image, label = (folder / kind / f"{number}.nii" for kind in ("images", "labels"))
        write(image, number)
        write(label, 100 + number)
        records.append({"image": str(image), "label": str(label)})
    return records[:4], records[4:]


def train(run, own, epochs=1):
    trainer = toy_trainer(run, epochs=epochs, datasets=[Listed(records) for records in own])
    trainer.run()
    return trainer


def change(path, place):
    """One byte."""
    content = bytearray(Path(path).read_bytes())
    content[place] ^= 1
    Path(path).write_bytes(content)


@pytest.mark.parametrize("epochs", [1, 2], ids=["finished", "goes on"])
@pytest.mark.parametrize("section", [0, 1], ids=["training", "validation"])
@pytest.mark.parametrize(("kind", "place"), [("image", BYTES // 2), ("label", BYTES // 4)])
def test_files_that_have_changed_are_refused(tmp_path, kind, place, section, epochs):
    own = lists(tmp_path / "data")
    train(tmp_path / "run", own)
    written = (tmp_path / "run" / "last.pt").read_bytes()
    name = own[section][1][kind]
    change(name, place)
    with pytest.raises(
        CheckpointError, match=r"last.pt: .*found 1 that have changed .*Choose another output_dir"
    ) as found:
        train(tmp_path / "run", own, epochs)
    assert f"({name})" in str(found.value)
    assert (tmp_path / "run" / "last.pt").read_bytes() == written
    change(name, place)  # back
    train(tmp_path / "run", own, epochs)
    assert len(rows(tmp_path / "run")) == epochs


def test_the_first_few_are_named_and_all_are_counted(tmp_path):
    own = lists(tmp_path / "data")
    train(tmp_path / "run", own)
    for record in [*own[0], *own[1]]:
        change(record["label"], 7)
    with pytest.raises(CheckpointError, match=r"found 6 .*0.nii, .*1.nii, .*2.nii and 3 more"):
        train(tmp_path / "run", own)


def test_a_copy_elsewhere_is_the_same(tmp_path):
    own = lists(tmp_path / "data")
    train(tmp_path / "run", own)
    shutil.copytree(tmp_path / "data", tmp_path / "moved")
    copies = [[{k: v.replace("/data/", "/moved/") for k, v in one.items()} for one in some] for some in own]
    shutil.rmtree(tmp_path / "data")
    assert train(tmp_path / "run", copies, 2).state.epoch == 2


@pytest.mark.parametrize("tells_images", [True, False])
def test_a_checkpoint_of_before(tmp_path, caplog, tells_images):
    """It says which images it has seen, or not even that, and goes on without a word about label maps."""
    own = lists(tmp_path / "data")
    train(tmp_path / "run", own)
    last = tmp_path / "run" / "last.pt"
    checkpoint = torch.load(last, weights_only=True)
    del checkpoint["files"]
    if not tells_images:
        del checkpoint["method"]._metadata[SEEN]
    torch.save(checkpoint, last)
    shutil.copy(last, tmp_path / "before.pt")
    caplog.clear()
    change(own[0][0]["label"], 0)
    train(tmp_path / "run", own, 2)
    assert not [one for one in caplog.records if one.levelname == "WARNING"]
    change(own[0][0]["label"], 0)  # from now on it is known
    with pytest.raises(CheckpointError, match="0.nii"):
        train(tmp_path / "run", own, 3)
    shutil.copy(tmp_path / "before.pt", last)
    change(own[0][2]["image"], 0)
    if tells_images:
        with pytest.raises(CheckpointError, match="found 1 that have changed .*images/2.nii"):
            train(tmp_path / "run", own, 2)
    else:
        train(tmp_path / "run", own, 2)


def test_of_label_maps_every_byte_counts_and_of_images_a_sample(tmp_path):
    (record, *_), _ = lists(tmp_path)
    series = tmp_path / "series"
    series.mkdir()
    for number in range(5):
        write(series / f"{number}.dcm", number)
    several = {"image": record["image"], "label": [record["label"], str(series), str(tmp_path / "absent.nii")]}
    both = {"image": record["image"], "label": record["image"]}  # an array of nnU-Net
    dataset = Listed([several, both, {"image": record["image"]}])
    found = file_contents(dataset)
    assert found["image"] == [image_fingerprints(record)] * 3
    assert [len(prints) for prints in found["label"]] == [2, 0, 0]
    assert len({*found["label"][0]}) == 2
    change(series / "3.dcm", 1)
    assert [
        one == other for one, other in zip(*(file_contents(dataset)["label"][0], found["label"][0]), strict=True)
    ] == [
        True,
        False,
    ]
    assert file_contents(ToyCubes()) == {}
