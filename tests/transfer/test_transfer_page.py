"""The page of a whole study, of given tables."""

from benchmarks.transfer_page import page
from medgenesis.storage import write_table


def test_cells_and_words_are_those_of_the_tables(tmp_path):
    columns = ["question", "encoder", "dataset", *(f"auc{end}" for end in ("", "_low", "_high"))]
    write_table(
        tmp_path / "results.csv",
        [
            ["linear", "models_genesis_ct", "nodules", 0.8, 0.7, 0.9],
            ["linear", "random:models_genesis_ct", "nodules", 0.6, 0.5, 0.7],
        ],
        columns,
    )
    pairs = [["linear", "nodules", "auc", "random:models_genesis_ct", "models_genesis_ct", -0.2, -0.3, -0.1, 0.002]]
    pairs.append(["linear", "nodules", "auc", "models_genesis_ct", "handmade", 0.5, 0.4, 0.6, 0.002])
    names = ["question", "dataset", "measure", "one", "other", "difference", "low", "high", "p"]
    write_table(tmp_path / "comparisons.csv", pairs, names)
    text = page(tmp_path)
    assert "| `models_genesis_ct` | 0.800 [0.700, 0.900] |" in text and "propagate, dice |" not in text
    assert "untrained network +0.200 [+0.100, +0.300], p 0.002, not corrected: **better**" in text
    assert text.count("- linear, auc") == 1  # handmade is in the table alone
