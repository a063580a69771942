"""Files below a folder: links once, loops and broken links by name."""

import os

import pytest

from medgenesis.data.file_tree import files_below
from medgenesis.data.left_out import LeftOut


def _found(root, without=None):
    left_out = LeftOut(root)
    tree = files_below(root, left_out, without)
    return sorted(str(path.relative_to(root)) for files in tree.values() for path in files), " ".join(left_out.lines())


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "root"
    for name in ("z/a.nii", "z/b.nii", "c.nii", ".hidden/d.nii", ".e.nii"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def test_real_folders_go_before_links(root):
    (root / "a_link").symlink_to(root / "z")
    (root / "loop").symlink_to(root)
    (root / "z" / "up").symlink_to("..")
    (root / "b.nii").symlink_to("c.nii")
    files, said = _found(root)
    assert files == ["c.nii", "z/a.nii", "z/b.nii"]
    assert "3 left out (link to a folder that is listed already): a_link, loop, z/up" in said
    assert "1 left out (link to a file that is listed already): b.nii" in said


def test_what_lies_elsewhere_is_found_once(root, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "x.nii").touch()
    (tmp_path / "far" / "back").symlink_to(root)
    for name in ("one", "two"):
        (root / name).symlink_to(tmp_path / "far")
    files, said = _found(root)
    assert files == ["c.nii", "one/x.nii", "z/a.nii", "z/b.nii"]
    assert "two" in said and "one/back" in said


def test_broken_links_and_pipes(root):
    (root / "gone.nii").symlink_to("nowhere")
    os.mkfifo(root / "pipe.nii")
    files, said = _found(root, root / "z")
    assert files == ["c.nii"]
    assert "1 left out (link to nothing): gone.nii" in said and "1 left out (no regular file): pipe.nii" in said
