"""A task's settings beside those of its model: what is refused, and what is said."""

from types import SimpleNamespace

import pytest

from medgenesis.bundles.agreement import compare_with_model

MADE_WITH = {"label_names": {0: "background", 1: "liver", 2: "tumour"}}


def compare(names, applied=True):
    """As `evaluate` does, with a list whose labels have these names."""
    compare_settings({"labels": SimpleNamespace(names=names)}, MADE_WITH, applied)


def compare_settings(content, made_with, applied=True):
    parser = SimpleNamespace(get=lambda: content, get_parsed_content=content.__getitem__)
    settings = SimpleNamespace(model=made_with, mined={}, applied=applied, source="model.pt")
    compare_with_model(SimpleNamespace(parser=parser), settings)


def test_classes_that_have_changed_their_numbers_are_refused(caplog):
    with pytest.raises(ValueError, match=r"labels: classes must be numbered as model.pt .* 'Tumour' as 1 .* as 2"):
        compare({0: "background", 1: "Tumour", 2: "liver"})
    compare({0: "Background", 1: "Liver"})
    compare({})
    compare({1: "tumour", 2: "liver"}, applied=False)  # a training numbers them anew
    assert not caplog.text


def test_classes_of_other_names_are_said(caplog):
    compare({1: "liver", 2: "lesion", 3: "cyst"})
    assert "labels: 2 is 'lesion' in the list, 'tumour' in model.pt" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.parametrize("typed", [{1: "1-3", 2: 6}, {"2": ["6"], "1": [3, 2, 1]}, {1: "1,2-3", 2: [6]}])
def test_a_merge_is_the_same_however_it_is_written(typed):
    """What is kept has every label."""
    compare_settings({"label_merge": typed}, {"label_merge": {1: [1, 2, 3], 2: [6]}})
    for other in ({1: [1, 2], 2: [6]}, {1: [1, 2, 3]}, {2: [1, 2, 3], 1: [6]}, {}):
        with pytest.raises(ValueError, match="label_merge: must be as model.pt was made with"):
            compare_settings({"label_merge": typed}, {"label_merge": other})
