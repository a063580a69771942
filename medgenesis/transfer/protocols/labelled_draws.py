"""Which labelled patients each run of a comparison learns from."""

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medgenesis.data.folds import patient_of

_TRIES = 20
_FIRSTS = 0  # seed of the order in which the draws begin with a patient each


def drawn_records(
    datalist: str | Path, training: Sequence[dict], counts: Sequence[int], seeds: Sequence[int]
) -> dict[tuple[int, int], list[dict]]:
    """The records that are learnt from, of each number of patients and seed: of one seed fewer are among more.

    The first patient of a seed is another one than that of the next, so that draws of one patient differ as long as
    there are enough. Others are drawn again, some times, where an earlier seed has the same patients.

    Args:
        datalist: file of the list, for messages.
        training: its labelled records.
        counts: numbers of patients.
        seeds: of the draws; one more changes none of those before.

    Returns:
        (count, seed) -> records, those of the patient that was drawn first at the beginning.

    Raises:
        ValueError: more patients asked for than there are.
    """
    owners = [patient_of(record) for record in training]
    known = list(dict.fromkeys(owners))
    if max(counts) > len(known):
        raise ValueError(
            f"{datalist}: must have the {max(counts)} labelled patients asked for; found {len(known)} in the training "
            "section. Ask for fewer, or add labelled patients."
        )
    orders = _orders(known, counts, seeds)
    chosen = {}
    for count, seed in itertools.product(counts, seeds):
        drawn = {one: place for place, one in enumerate(orders[seed][:count])}
        own = [record for record, owner in zip(training, owners, strict=True) if owner in drawn]
        chosen[count, seed] = sorted(own, key=lambda record, drawn=drawn: drawn[patient_of(record)])
    return chosen


def _orders(known: Sequence[str], counts: Sequence[int], seeds: Sequence[int]) -> dict[int, list[str]]:
    """The order in which each seed takes the patients, so that sets of the asked sizes differ if they can."""
    firsts, orders, before = np.random.default_rng(_FIRSTS).permutation(known), {}, set()
    for seed in seeds:
        first, generator = str(firsts[seed % len(known)]), np.random.default_rng(seed)
        others = [one for one in known if one != first]
        tries = [[first, *map(str, generator.permutation(others))] for _ in range(_TRIES)]
        sets = [{frozenset(order[:count]) for count in counts if count < len(known)} for order in tries]
        best = min(range(_TRIES), key=lambda i, sets=sets: len(sets[i] & before))
        orders[seed], before = tries[best], before | sets[best]
    return orders
