from medgenesis.report import text_table
from medgenesis.report.text import p_text


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
