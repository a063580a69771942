"""Counts of a question: how many images, pairs, windows; refused by name where there would be none."""


def check_counts(**counts: int | None) -> None:
    """Refuse counts below 1.

    Args:
        counts: by the name of the argument; None: not given.

    Raises:
        ValueError: a count below 1.
    """
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name}: must be at least 1; found {count}. Give more, or leave it out.")
