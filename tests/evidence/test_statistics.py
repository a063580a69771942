"""What arms have in common, of their rows."""

from benchmarks.evidence import statistics


def test_arms_are_paired_by_draw_seed_and_patient():
    one = {(draw, draw % 3): {0: draw, 1: 10.0} for draw in range(6)}
    other = {cell: {1: 1.0, 0: 2.0, 5: 3.0} for cell in one if cell != (2, 2)} | {(2, 1): {0: 7.0}}  # of another seed
    first, second = statistics.grids_of(one, other)
    assert first.shape == second.shape == (5, 2)
    assert first[:, 0].tolist() == [0, 1, 3, 4, 5] and second[0].tolist() == [2, 1]
    assert statistics.grids_of(one, {})[0].size == 0


def test_rows_become_means_over_structures():
    rows = [
        {"draw": "3", "seed": "1", "patient": "7", "structure": s, "dice": d} for s, d in (("a", "0.5"), ("b", "1"))
    ]
    rows.append({"draw": "3", "seed": "1", "patient": "8", "structure": "a", "dice": ""})
    assert statistics.scores_of(rows) == {(3, 1): {7: 0.75}}
