"""Embeddings of a list in parts: the joined table is that of the whole list, byte for byte."""

import json
import pickle
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.inferers import Inferer, SimpleInferer

from medgenesis.data import StreamedDataset, preprocessing
from medgenesis.errors import DatalistError, VolumeError
from medgenesis.inference import SlabInferer, check_shard, embed_volumes, embedding
from medgenesis.networks import UNet3D

SIZE = (16, 16, 8)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return UNet3D(width=2)


@pytest.fixture
def records(tmp_path):
    rng, found = np.random.default_rng(0), []
    for i in range(4):
        path = tmp_path / "scans" / f"p{i}" / "scan.nii.gz"
        path.parent.mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(rng.random((16, 18, 9 + i), dtype=np.float32), np.eye(4)), path)
        found.append({"image": str(path)})
    return found


@pytest.fixture
def embed(network, tmp_path):
    """embed(records, folder, shard=None) -> bytes of the table, None where there is none."""

    def run(records, folder, shard=None, on_error="stop", size=SIZE, net=network):
        volumes = StreamedDataset(records, preprocessing(intensity="unit"), on_error)
        found = embed_volumes(net, volumes, size, tmp_path / folder / "embeddings.csv", shard)
        assert shard in (None, "merge") or found.size == 0
        table = tmp_path / folder / "embeddings.csv"
        return table.read_bytes() if table.exists() else None

    return run


@pytest.mark.parametrize("of", [1, 2, 3, 6])
def test_the_joined_table_is_that_of_the_whole_list(embed, records, of):
    for number in reversed(range(1, of + 1)):
        assert embed(records, "parts", f"{number}/{of}") is None
    assert embed(records, "parts", "merge") == embed(records, "whole")


def test_a_missing_part_is_named_and_other_settings_or_lists_are_refused(embed, records, tmp_path):
    embed(records, "out", "1/2")
    with pytest.raises(ValueError, match="found no 2/2"):
        embed(records, "out", "merge")
    embed(records, "out", "2/2", size=(16, 16, 16))
    with pytest.raises(ValueError, match=r"2_of_2.*windows = \[16, 16, 16\], now it is \[16, 16, 8\]"):
        embed(records, "out", "merge")
    with pytest.raises(ValueError, match="2_of_2.*windows"):
        embed(records, "out", "2/2")
    with pytest.raises(ValueError, match="list .fingerprint."):
        embed(records[:3], "out", "1/2")
    torch.manual_seed(1)
    with pytest.raises(ValueError, match="weights .fingerprint."):
        embed(records, "out", "1/2", net=UNet3D(width=2))
    (tmp_path / "out" / "shards" / "1_of_2" / "embeddings.npz").write_bytes(b"PK")
    with pytest.raises(DatalistError, match="1_of_2.*cannot be read"):
        embed(records, "out", "merge")


def test_the_list_may_lie_in_another_folder_on_another_machine(embed, records, tmp_path):
    wanted = embed(records, "whole")
    embed(records, "out", "1/2")
    (tmp_path / "scans").rename(tmp_path / "elsewhere")
    moved = [{"image": record["image"].replace("/scans/", "/elsewhere/")} for record in records]
    embed(moved, "out", "2/2")
    assert embed(moved, "out", "merge") == wanted


def test_a_stopped_part_goes_on_and_is_no_whole_one(embed, records, monkeypatch, tmp_path):
    wanted, done, real = embed(records, "whole"), [], embedding.embed_volume

    def counted(network, image, size):
        done.append(image)
        if len(done) == 2:
            raise KeyboardInterrupt
        return real(network, image, size)

    monkeypatch.setattr(embedding, "embed_volume", counted)
    with pytest.raises(KeyboardInterrupt):
        embed(records, "out", "1/1")
    with pytest.raises(ValueError, match="must be of a part that has ended.*Run --shard 1/1"):
        embed(records, "out", "merge")
    embed(records, "out", "1/1")
    assert len(done) == 2 + 3, "the first is known"
    assert embed(records, "out", "merge") == wanted


@pytest.mark.parametrize("bad", [[1], [0, 2], [0, 1, 2, 3]])
def test_skipped_volumes_are_those_of_the_whole_list(embed, records, bad):
    for i in bad:
        Path(records[i]["image"]).write_bytes(b"no volume")
    for number in (1, 2):  # of which one may have nothing else
        embed(records, "out", f"{number}/2", "skip")
    if len(bad) == len(records):
        with pytest.raises(VolumeError, match="found none of 4"):
            embed(records, "out", "merge", "skip")
    else:
        assert embed(records, "out", "merge", "skip") == embed(records, "whole", on_error="skip")


def _changed(path):
    """The image with other voxels in a file of the same size."""
    voxels = nibabel.load(path).get_fdata(dtype=np.float32)
    nibabel.save(nibabel.Nifti1Image(voxels[::-1].copy(), np.eye(4)), path)


def test_a_file_with_another_content_of_the_same_size_is_refused_by_name(embed, records, tmp_path):
    for i, record in enumerate(records):  # not compressed: the size stays
        plain = record["image"].removesuffix(".gz")
        nibabel.save(nibabel.load(record["image"]), plain)
        records[i] = {"image": plain}
    for number in (1, 2):
        embed(records, "out", f"{number}/2")
    _changed(records[1]["image"])
    with pytest.raises(ValueError, match=r"^shard: .*another content of .*p1.scan.nii. Run --shard 2/2 once more"):
        embed(records, "out", "merge")
    embed(records, "out", "2/2")
    assert embed(records, "out", "merge") == embed(records, "whole")


def test_a_part_of_before_is_joined_with_a_warning(embed, records, tmp_path, caplog):
    embed(records, "out", "1/1")
    path = tmp_path / "out" / "shards" / "1_of_1" / "embeddings.npz"
    with np.load(path) as archive:
        vectors, about = archive["vectors"], json.loads(archive["about"].tobytes())
    del about["contents"]
    np.savez(path, vectors=vectors, about=np.frombuffer(json.dumps(about).encode(), np.uint8))
    assert embed(records, "out", "merge") == embed(records, "whole")
    assert "part 1/1 is of an older version: whether 4 files" in caplog.text


def test_how_slabs_are_seen_is_a_setting(embed, records, network):
    net = torch.nn.Module()
    net.encoder = torch.nn.Conv2d(3, 4, 1)
    embed(records, "out", "1/1", size=SlabInferer(3, 2), net=net)
    embed(records, "out", "merge", size=SlabInferer(3, 2, SimpleInferer()), net=net)
    with pytest.raises(ValueError, match="windows#axis = 2, now it is 1"):
        embed(records, "out", "merge", size=SlabInferer(3, 1), net=net)


class Corner(Inferer):
    """Shows the first rows and columns."""

    def __init__(self, sides):
        self.sides = sides

    def __call__(self, inputs, network, *args, **kwargs):
        rows, columns = self.sides
        return network(inputs[..., :rows, :columns])


def test_all_arguments_of_an_inferer_are_settings(embed, records):
    """Also those that the inferer does not tell in words."""
    net = torch.nn.Module()
    net.encoder = torch.nn.Conv2d(3, 4, 1)

    def seen(size):
        return SlabInferer(3, 2, Corner((size, 16)))

    used = seen(16)
    embed(records, "out", "1/1", size=used, net=net)
    for same in (used, seen(16), pickle.loads(pickle.dumps(seen(16)))):
        embed(records, "out", "merge", size=same, net=net)
    for other in (seen(8), SlabInferer(3, 2), Corner((16, 16))):
        with pytest.raises(ValueError, match="windows#inferer .fingerprint."):
            embed(records, "out", "merge", size=other, net=net)
    used.inferer.extra = lambda: None
    with pytest.raises(TypeError, match="found .*<lambda>"):
        embed(records, "out", "merge", size=used, net=net)


def test_a_part_of_a_newer_format_is_refused(embed, records, tmp_path):
    embed(records, "out", "1/1")
    path = tmp_path / "out" / "shards" / "1_of_1" / "embeddings.npz"
    with np.load(path) as archive:
        vectors, about = archive["vectors"], json.loads(archive["about"].tobytes())
    np.savez(path, vectors=vectors, about=np.frombuffer(json.dumps({**about, "format": 2}).encode(), np.uint8))
    for shard in ("1/1", "merge"):
        with pytest.raises(DatalistError, match="npz: its format must be at most 1; found 2. Update medgenesis"):
            embed(records, "out", shard)


def test_a_comparison_of_the_whole_list_is_not_for_a_part():
    check_shard(None, "model.pt"), check_shard("merge", "model.pt"), check_shard("1/2")
    with pytest.raises(ValueError, match="after: must be left out"):
        check_shard("1/2", "model.pt")
