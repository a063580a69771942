"""Links that git has written as text, told from the files of a bundle."""

import pytest

from medgenesis import bundles
from medgenesis.bundles.links import content, written_as_text


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "family").mkdir()
    (tmp_path / "family" / "task.yaml").write_text("run: []\n")
    (tmp_path / "family" / "LICENSE").write_bytes(b"\xff licence")
    (tmp_path / "bundle").mkdir()
    return tmp_path / "bundle"


@pytest.mark.parametrize(("name", "text"), [("a.yaml", "../family/task.yaml"), ("LICENSE", "../family/LICENSE\n")])
def test_a_path_to_another_file_is_a_link(folder, name, text):
    (folder / name).write_text(text)
    assert written_as_text(folder / name) == folder / text.strip()
    assert content(folder / name) == (folder / text.strip()).read_bytes()


def test_a_link_to_a_link(folder):
    (folder / "a.yaml").write_text("../family/task.yaml")
    (folder / "b.yaml").write_text("a.yaml")
    assert content(folder / "b.yaml") == b"run: []\n"
    (folder / "c.yaml").symlink_to("b.yaml")
    assert content(folder / "c.yaml") == b"run: []\n"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "../family/gone.yaml"),
        ("a.json", "../family/task.yaml"),
        ("a.yaml", "run: ../family/task.yaml"),
        ("a.yaml", "../family/task.yaml\n../family/task.yaml\n"),
        ("a.yaml", ""),
        ("LICENSE", "../family"),
    ],
)
def test_anything_else_is_what_it_is(folder, name, text):
    (folder / name).write_text(text)
    assert written_as_text(folder / name) is None and content(folder / name) == text.encode()


@pytest.mark.parametrize("name", bundles.names())
def test_no_file_of_a_bundle_looks_like_a_link(name):
    for path in bundles.path(name).rglob("*"):
        assert path.is_dir() or written_as_text(path) is None
