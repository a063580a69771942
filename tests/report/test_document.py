import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from medgenesis.report import Report

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Reads a page as a browser does: tags must balance; keeps elements, their attributes and their text."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.found = [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        element = {"tag": tag, "text": "", **dict(attributes)}
        self.found.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.found.append({"tag": tag, "text": "", **dict(attributes)})

    def handle_endtag(self, tag):
        assert self.open and self.open[-1]["tag"] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag):
        return [element for element in self.found if element["tag"] == tag]


def pixels(source):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.removeprefix("data:image/png;base64,")))))


def random_image(*shape):
    return np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)


def full_report():
    return (
        Report("Models <Genesis> & co", 'a "quick" run')
        .heading("Images")
        .paragraph("x < y && y > 'z'")
        .image(random_image(5, 7), "grey", scale=3, alt="a grey noise")
        .gallery([(random_image(4, 4, 3), "one"), (random_image(4, 6, 3), 'two "quoted"')])
        .curves({"train <loss>": ([1, 2, 3], [3, 2, 1]), "val": ([1, 3], [4, np.nan])}, "epoch", "loss", "Losses.")
        .table(["organ", "Dice"], [["lungs", 0.97123], ["<b>heart</b>", 0.9]], "12 subjects")
        .code("medgenesis demo > log && echo '<done>'")
    )


def test_the_page_is_balanced_and_asks_for_nothing_from_outside():
    text = full_report().render()
    page = Page(text)
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text)
    assert not {"script", "link", "iframe", "object", "base"} & {element["tag"] for element in page.found}
    sources = [element["src"] for element in page.found if "src" in element]
    assert len(sources) == 3 and all(source.startswith("data:image/png;base64,") for source in sources)
    assert not any(name.startswith("on") or name == "href" for element in page.found for name in element)


def test_texts_arrive_as_they_were_given():
    page = Page(full_report().render())
    assert page.all("h1")[0]["text"] == page.all("title")[0]["text"] == "Models <Genesis> & co"
    assert "x < y && y > 'z'" in [p["text"] for p in page.all("p")]
    assert page.all("code")[0]["text"] == "medgenesis demo > log && echo '<done>'"
    assert [c["text"] for c in page.all("figcaption")] == ["grey", "one", 'two "quoted"', "Losses."]
    assert [i["alt"] for i in page.all("img")] == ["a grey noise", "one", 'two "quoted"']
    assert [i["text"] for i in page.all("li")] == ["train <loss>", "val"]
    assert "<b>heart</b>" in [cell["text"] for cell in page.all("th")] and not page.all("b")


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (1, 1)])
def test_an_image_is_embedded_without_loss_and_enlarged_by_the_page(shape):
    array = random_image(*shape)
    (image,) = Page(Report("t").image(array, "c", scale=3).render()).all("img")
    np.testing.assert_array_equal(pixels(image["src"]), array)
    assert (int(image["width"]), int(image["height"])) == (3 * shape[1], 3 * shape[0])


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4)), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4), np.uint8), np.zeros(4, np.uint8)]
)
def test_what_is_no_image_is_refused(array):
    with pytest.raises(ValueError, match="uint8"):
        Report("t").image(array, "c")


def test_numbers_stand_at_the_right_and_words_at_the_left():
    rows = [["lungs", 0.971234, "0.97 ± 0.02", 12, "3D U-Net"], ["heart", None, "–", np.int64(123456), np.float32(0.5)]]
    page = Page(Report("t").table(["organ", "Dice", "CI", "n", "mixed"], rows, "c").render())
    cells = page.all("th")[:5], page.all("th")[5:6] + page.all("td")[:4], page.all("th")[6:] + page.all("td")[4:]
    right = [[cell.get("class") == "n" for cell in row] for row in cells]
    assert right[0] == [False, True, True, True, False]
    assert right[1] == [False, True, True, True, False]
    assert right[2] == [False, True, True, True, True]
    assert [cell["text"] for cell in cells[1]] == ["lungs", "0.9712", "0.97 ± 0.02", "12", "3D U-Net"]
    assert [cell["text"] for cell in cells[2]] == ["heart", "–", "–", "123456", "0.5"]


def test_a_row_with_a_cell_missing_is_refused():
    with pytest.raises(ValueError, match="need 2 cells"):
        Report("t").table(["a", "b"], [["x", 1], ["y"]], "c")


def test_written_whole_with_a_name_that_is_not_utf8(tmp_path):
    path = full_report().paragraph("scan-\udce9.nii").write(tmp_path / "new" / "report.html")
    assert "scan-?.nii" in Page(path.read_text(encoding="utf-8")).all("p")[-1]["text"]
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]
