from medgenesis.report import text_table


def test_columns_stand_below_each_other_and_the_last_is_wrapped():
    text = text_table(["a", "why"], [["long name", "word " * 30], [1, None], [0.123456, "x\ny"]], width=60)
    lines = text.splitlines()
    assert lines[0] == "a          why" and max(map(len, lines)) <= 60
    assert lines[2].startswith("long name  word") and lines[3].startswith(" " * 11 + "word")
    assert lines[-2:] == ["1          –", "0.1235     x y"]
