"""The table of landmarks: what is written is read, and what is broken is told with its line."""

import pytest

from medgenesis.data.landmarks import landmarks_of, read_landmarks, write_landmarks
from medgenesis.errors import DatalistError

POINTS = {"b.png": {"carina": (10.25, -0.5), "right, upper": (3.0, 4.0)}, "a.png": {"carina": (1.0, 2.0)}}


def test_written_and_read_again(tmp_path):
    write_landmarks(tmp_path / "new" / "points.csv", POINTS)
    found = read_landmarks(tmp_path / "new" / "points.csv")
    assert found == POINTS and list(found) == ["b.png", "a.png"]
    assert (tmp_path / "new" / "points.csv").read_text().splitlines()[0] == "image,landmark,x,y"


def test_a_table_of_a_spreadsheet(tmp_path):
    path = tmp_path / "points.csv"
    path.write_bytes("\ufeffy,x,who,landmark,image\r\n4, 3 ,me,carina,a.png\r\n".encode())
    assert read_landmarks(path) == {"a.png": {"carina": (3.0, 4.0)}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "columns image, landmark, x, y"),
        ("image,landmark,x\na.png,carina,1\n", "found no y"),
        ("image,landmark,x,y\n", "at least one landmark"),
        ("image,landmark,x,y\na.png,carina,1,2\na.png,carina,1,3\n", "row 3: .*found 'carina' of a.png"),
        ("image,landmark,x,y\na.png,carina,1,nan\n", "row 2: needs"),
        ("image,landmark,x,y\na.png,carina,1,two\n", "row 2: needs"),
        ("image,landmark,x,y\na.png,carina,1\n", "row 2: must have a cell for each of .*; found none for y"),
        ("image,landmark,x,y\na.png,carina,12,5,30,7\n", "row 2: must have no more cells .*found 6.* with a point"),
        ("image,landmark,x,y\n\na.png,carina,12,5,30\n", "row 3: must have no more cells .*found 5.* with a point"),
        ('image,landmark,x,y\na.png,carina,"12,5","30,7"\n', "row 2: needs .* with a point, not with a comma"),
        ("image,landmark,x,y,X\na.png,carina,1,2,3\n", "once each; found 'x' twice"),
        ("image,landmark,x,y,z, Z\na.png,carina,1,2,3,4\n", "once each; found 'z' twice"),
        ("image;landmark;x;y\na.png;carina;1;2\n", "found the first line 'image;landmark;x;y'. Save it as CSV UTF-8"),
        ("sep=,\nimage,landmark,x,y\na.png,carina,1,2\n", "found the first line 'sep=,'. Save it as CSV UTF-8"),
        ("image,landmark,x,y\n,carina,1,2\n", "row 2: needs"),
    ],
)
def test_broken_tables(tmp_path, text, message):
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(DatalistError, match=message):
        read_landmarks(path)


def test_places_of_volumes_have_z(tmp_path):
    points = {"a.nii.gz": {"one": (1.0, 2.0, 3.5)}, "b.png": {"two": (4.0, 5.0)}}
    write_landmarks(tmp_path / "points.csv", points)
    assert read_landmarks(tmp_path / "points.csv") == points
    (tmp_path / "points.csv").write_text("image,landmark,x,y,z\na.nii.gz,one,1,2,three\n")
    with pytest.raises(DatalistError, match=r"row 2: needs an image, a landmark and two .* \(of volumes three\)"):
        read_landmarks(tmp_path / "points.csv")


def test_no_table(tmp_path):
    with pytest.raises(DatalistError, match=r"absent.csv: .* found no file.*'\$None'"):
        read_landmarks(tmp_path / "absent.csv")


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252"])
def test_another_encoding_is_to_be_saved_anew(tmp_path, encoding):
    (tmp_path / "points.csv").write_bytes("image,landmark,x,y\nLunge_ü.png,carina,1,2\n".encode(encoding))
    with pytest.raises(DatalistError, match="cannot be read as a table in UTF-8 .*Save it as CSV UTF-8, with commas"):
        read_landmarks(tmp_path / "points.csv")


def test_headings_in_capitals_and_trailing_commas_are_read(tmp_path):
    """Places lost their z where the heading had Z, without a word."""
    (tmp_path / "points.csv").write_text("Image,LANDMARK, x ,Y,Z,,\na.nii.gz,one,1,2,3,,,\n")
    assert read_landmarks(tmp_path / "points.csv") == {"a.nii.gz": {"one": (1.0, 2.0, 3.0)}}


def test_landmarks_of_records_by_path_from_the_table_or_by_name(tmp_path):
    points = {"xrays/a.png": {"carina": (1.0, 2.0)}, "b.png": {"carina": (3.0, 4.0)}, "c.png": {"carina": (5.0, 6.0)}}
    write_landmarks(tmp_path / "points.csv", points)
    by_path, by_name = str(tmp_path / "xrays" / "a.png"), "/elsewhere/b.png"
    records = [{"image": by_name}, {"image": "/elsewhere/a.png"}, {"image": by_path}]
    found = landmarks_of(records, tmp_path / "points.csv")
    assert found == {by_name: points["b.png"], by_path: points["xrays/a.png"]} and list(found) == [by_name, by_path]
    with pytest.raises(DatalistError, match=r"must tell images apart; found 'b.png' as the name of 2"):
        landmarks_of([{"image": "/one/b.png"}, {"image": "/two/b.png"}], tmp_path / "points.csv")
    with pytest.raises(
        DatalistError, match=r"points.csv: must name some of the images, x.png .* found xrays/a.png, b.png"
    ):
        landmarks_of([{"image": "/one/x.png"}], tmp_path / "points.csv")
