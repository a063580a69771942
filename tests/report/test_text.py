from medgenesis.report import text_table
from medgenesis.report.text import figure_text, interval_text, p_text


def test_columns_stand_below_each_other_and_the_last_is_wrapped():
    text = text_table(["a", "why"], [["long name", "word " * 30], [1, None], [0.123456, "x\ny"]], width=60)
    lines = text.splitlines()
    assert lines[0] == "a          why" and max(map(len, lines)) <= 60
    assert lines[2].startswith("long name  word") and lines[3].startswith(" " * 11 + "word")
    assert lines[-2:] == ["1          –", "0.1235     x y"]


def test_a_small_p_is_not_nought_and_none_is_a_dash():
    assert [p_text(p) for p in (0.0421, 0.0005, 0.0004, 0.0, 1.0, float("nan"))] == [
        "0.042",
        "0.001",
        "< 0.001",
        "< 0.001",
        "1.000",
        "–",
    ]


def test_an_interval_is_written_where_both_ends_are_numbers():
    nan, inf = float("nan"), float("inf")
    assert interval_text(0.5, 0.25, 0.75) == "0.500 [0.250, 0.750]"
    assert interval_text(-0.5, -0.75, 0.25, "+.2f") == "-0.50 [-0.75, +0.25]"
    assert interval_text(12.34, 0.0, 123.456, ".1f") == "12.3 [0.0, 123.5]"
    assert {interval_text(0.5, *ends) for ends in ((None, None), (nan, nan), (0.1, nan), (0.1, inf))} == {"0.500"}


def test_a_figure_has_its_ends_where_both_are_known():
    assert figure_text({"value": 0.5, "low": 0.25, "high": 0.75}) == "0.500 [0.250, 0.750]"
    assert figure_text({"value": 0.5, "low": float("nan"), "high": 0.75}) == figure_text({"value": 0.5}) == "0.500"
    assert figure_text(None) is None
