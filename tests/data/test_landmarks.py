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
        ("image,landmark,x,y\na.png,carina,1,2\na.png,carina,1,3\n", "line 3: .*found 'carina' of a.png"),
        ("image,landmark,x,y\na.png,carina,1,nan\n", "line 2: needs"),
        ("image,landmark,x,y\na.png,carina,1,two\n", "line 2: needs"),
        ("image,landmark,x,y\na.png,carina,1\n", "line 2: needs"),
        ("image,landmark,x,y\n,carina,1,2\n", "line 2: needs"),
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
    with pytest.raises(DatalistError, match=r"line 2: needs an image, a landmark and two .* \(of volumes three\)"):
        read_landmarks(tmp_path / "points.csv")


def test_no_table(tmp_path):
    with pytest.raises(DatalistError, match=r"absent.csv: .* cannot be read.*'\$None'"):
        read_landmarks(tmp_path / "absent.csv")
    (tmp_path / "points.csv").write_bytes(b"image,landmark,x,y\n\xff\xfe\x00,1")
    with pytest.raises(DatalistError, match="cannot be read"):
        read_landmarks(tmp_path / "points.csv")


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
