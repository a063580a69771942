"""The curves of a run, read from its metrics.csv."""

from pathlib import Path

import numpy as np

from medgenesis.storage.tables import read_table


def read_curves(metrics_csv: str | Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Read every column of numbers of a run's `metrics.csv`, ready for `Report.curves`.

    Args:
        metrics_csv: a table with a header and the column `epoch`, as `medgenesis.handlers.MetricsCSV` writes it.

    Returns:
        column -> (epochs, values), float64 (N,) each. Empty cells are left out, for that column alone; so are columns
        that hold anything but numbers, or nothing.

    Raises:
        ValueError: the file has no column `epoch`.
    """
    rows = read_table(metrics_csv)
    if rows and "epoch" not in rows[0]:
        raise ValueError(f"{metrics_csv}: needs a column 'epoch'; found {list(rows[0])}. Give a run's metrics.csv.")
    curves = {}
    for name in rows[0] if rows else ():
        pairs = [(row["epoch"], row[name]) for row in rows if row[name]]
        if name == "epoch" or not pairs:
            continue
        try:
            epochs, values = np.array(pairs).T.astype(np.float64)
        except ValueError:
            continue  # a column of words is no curve
        curves[name] = epochs, values
    return curves
