"""Which records of a data set a protocol learns from, chooses by and is judged on."""

import numpy as np

from medgenesis.data.splits import split_patients


def split_rows(
    labels: np.ndarray, sections: np.ndarray, patients: np.ndarray, *, by_image: bool, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of training, validation and test.

    Args:
        labels: class of each record, (N,).
        sections: of each, (N,); without validation a fifth of the training patients is drawn for it, of each class.
        patients: whose each is, (N,).
        by_image: as the study: a fifth of all training and validation images, drawn by image, is the validation.
        seed: of the draw of patients.

    Raises:
        ValueError: an empty section, or one class alone to learn from.
    """
    train, valid, test = (np.flatnonzero(sections == name) for name in ("training", "validation", "test"))
    if by_image:
        pool = np.concatenate([train, valid])
        shuffled = np.random.RandomState(0).permutation(len(pool))
        cut = len(pool) // 5
        train, valid = pool[shuffled[cut:]], pool[shuffled[:cut]]
    elif len(train) and not len(valid):
        owners = {str(patients[row]): int(labels[row]) for row in train[::-1]}
        section_of = split_patients(owners, (0.8, 0.2, 0.0), seed, owners)
        held = np.array([section_of[str(patients[row])] == "validation" for row in train])
        train, valid = train[~held], train[held]
    if not len(test) or len(np.unique(labels[train])) < 2 or not len(valid):
        raise ValueError(
            f"sections: must have training records of two classes, validation and test; found {len(train)}, "
            f"{len(valid)} and {len(test)} records. Give a list with these sections."
        )
    return train, valid, test
