"""The contact sheet holds the right slice in the right cell, with words beside."""

import numpy as np
import pytest

from medgenesis.errors import VolumeError
from medgenesis.mining import contact_sheet, draw_contact_sheet
from medgenesis.report.planes import MARGIN_GREY

SIZE = (6, 5, 4)
SCALE = 13  # the least by which 5 pixels become 64 or more


@pytest.fixture
def arrays():
    return np.random.default_rng(0).random((7, 14, 12, 9), dtype=np.float32)


@pytest.fixture
def table(scans, table_of, arrays):
    return table_of(scans(arrays, validation=2), SIZE, classes=4)


def cells(sheet, rows, columns):
    """The images of a sheet, cut out from its lower right corner, where nothing else is; the gaps are 1 pixel."""
    height, width = SIZE[1] * SCALE, SIZE[0] * SCALE
    found = {}
    for r in range(rows):
        for c in range(columns):
            bottom, right = (
                sheet.shape[0] - 1 - (rows - 1 - r) * (height + 1),
                sheet.shape[1] - 1 - (columns - 1 - c) * (width + 1),
            )
            found[r, c] = sheet[bottom - height : bottom, right - width : right]
            assert (sheet[bottom, right - width : right] == MARGIN_GREY).all()  # the gaps
            assert (sheet[bottom - height : bottom, right] == MARGIN_GREY).all()
    return found


def slice_of(item, arrays, volumes, window=(0, 1)):
    """Grey of the middle slice, by loops: across is x, down is y."""
    array = arrays[[volume.image for volume in volumes].index(item["image"])]
    x, y, z = item["origin"]
    drawing = np.zeros((SIZE[1] * SCALE, SIZE[0] * SCALE, 3), np.uint8)
    for i in range(SIZE[0]):
        for j in range(SIZE[1]):
            value = (array[x + i, y + j, z + 2] - window[0]) / (window[1] - window[0])
            drawing[j * SCALE : (j + 1) * SCALE, i * SCALE : (i + 1) * SCALE] = round(
                255 * min(max(float(value), 0), 1)
            )
    return drawing


def in_order(table, section, number):
    """The reference, then by distance."""
    items = [item for item in table.items(section) if item["class"] == number]
    return sorted(items, key=lambda item: (not item["reference"], item["distance"]))


@pytest.mark.parametrize("section,columns", [("training", 5), ("validation", 2)])
def test_each_cell_is_the_middle_slice_of_its_cube(table, arrays, loader, section, columns):
    for item in table.training[-5:]:  # a patient may be as near as the reference itself
        item["distance"] = 0.0
    sheet = draw_contact_sheet(table, loader(arrays), section=section)
    assert sheet.dtype == np.uint8 and sheet.shape[2] == 3
    for (r, c), drawing in cells(sheet, 4, columns).items():
        expected = slice_of(in_order(table, section, r)[c], arrays, table.volumes)
        assert np.abs(drawing.astype(int) - expected).max() <= 1


def test_fewer_columns_spread_from_the_nearest_to_the_farthest(table, arrays, loader):
    sheet = draw_contact_sheet(table, loader(arrays), patients=3, classes=[2, 0])
    for (r, c), drawing in cells(sheet, 2, 3).items():
        expected = slice_of(in_order(table, "training", [2, 0][r])[2 * c], arrays, table.volumes)
        assert np.abs(drawing.astype(int) - expected).max() <= 1
    only = draw_contact_sheet(table, loader(arrays), patients=1, classes=[3])
    expected = slice_of(in_order(table, "training", 3)[0], arrays, table.volumes)
    assert np.abs(cells(only, 1, 1)[0, 0].astype(int) - expected).max() <= 1


def test_a_window_spreads_its_part_of_the_range(table, arrays, loader):
    sheet = draw_contact_sheet(table, loader(arrays), window=(0.2, 0.6))
    for (r, c), drawing in cells(sheet, 4, 5).items():
        expected = slice_of(in_order(table, "training", r)[c], arrays, table.volumes, (0.2, 0.6))
        assert np.abs(drawing.astype(int) - expected).max() <= 1


def test_there_are_words_above_each_column_and_left_of_each_row(table, arrays, loader):
    sheet = draw_contact_sheet(table, loader(arrays)).astype(int)
    height, width = SIZE[1] * SCALE + 1, SIZE[0] * SCALE + 1
    top, left = sheet.shape[0] - 4 * height, sheet.shape[1] - 5 * width
    assert top > 8 and left > 30
    written = (sheet - MARGIN_GREY).max(axis=2) > 100
    for c in range(5):
        assert written[:top, left + c * width : left + (c + 1) * width].sum() > 20
    words = [written[top + r * height : top + (r + 1) * height, :left] for r in range(4)]
    assert all(word.sum() > 20 for word in words)
    assert len({word.tobytes() for word in words}) == 4  # each class by its own number
    assert not written[:top, :left].any()


def test_large_cubes_are_not_enlarged(scans, table_of, loader):
    arrays = np.random.default_rng(0).random((2, 80, 70, 3), dtype=np.float32)
    sheet = draw_contact_sheet(table_of(scans(arrays), (72, 66, 3), classes=2), loader(arrays))
    assert 2 * 67 < sheet.shape[0] < 2 * 67 + 30 and 2 * 73 < sheet.shape[1] < 2 * 73 + 80


def test_each_volume_is_loaded_once_and_one_held_at_a_time(table, arrays, loader):
    load = loader(arrays)
    draw_contact_sheet(table, load)
    assert load.asked == [0, 1, 2, 3, 4] and load.most == 1
    load = loader(arrays)
    draw_contact_sheet(table, load, patients=1, classes=[2])
    assert load.asked == [2]


def test_of_a_cube_only_its_slice_is_kept(table, arrays, loader, monkeypatch):
    """What is kept does not change with the cubes: it shares no memory with them."""
    crop, cubes = contact_sheet.crop_pattern, []
    monkeypatch.setattr(contact_sheet, "crop_pattern", lambda *args: cubes.append(crop(*args)) or cubes[-1])
    task = contact_sheet.ContactSheetTask(table)
    contact_sheet.one_pass(loader(arrays), task)
    kept = task.slices
    before = {key: drawing.copy() for key, drawing in kept.items()}
    for cube in cubes:
        cube.zero_()
    assert len(cubes) == len(kept) == 20
    assert all(np.array_equal(kept[key], before[key]) and before[key].any() for key in kept)


def test_rescaled_cubes_are_not_drawn(scans, table_of, arrays, loader):
    volumes = scans(arrays)
    plain, rescaled = (draw_contact_sheet(table_of(volumes, SIZE, 3, more), loader(arrays)) for more in (False, True))
    assert plain.shape == rescaled.shape


def test_bad_input(table, arrays, loader):
    load = loader(arrays)
    for wrong in ({"patients": 0}, {"window": (0.5, 0.5)}, {"classes": [0, 9]}, {"section": "test"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            draw_contact_sheet(table, load, **wrong)
    with pytest.raises(ValueError, match="class 9"):
        draw_contact_sheet(table, load, classes=[9])
    with pytest.raises(VolumeError, match="mine again"):
        draw_contact_sheet(table, loader(arrays[:, :6, :6]))
    table.validation.clear()
    with pytest.raises(ValueError, match="validation"):
        draw_contact_sheet(table, load, section="validation")
