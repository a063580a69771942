"""The draws of the bootstrap over patients: the same of every way that it is used, for one seed."""

import numpy as np
import pytest

from medgenesis.statistics.patient_draws import patient_draws
from medgenesis.statistics.scores import drawn_weights


@pytest.mark.parametrize("count", [1, 2, 7, 1000])
def test_draws_one_by_one_are_those_of_a_matrix(count):
    found = np.stack(list(patient_draws(count, 20, 3)))
    assert np.array_equal(found, np.random.default_rng(3).integers(count, size=(20, count)))


def test_a_weight_is_how_often_the_patient_of_the_record_is_drawn():
    patients = np.array(["b", "a", "b", "c"])
    for drawn, weights in zip(patient_draws(3, 10, 0), drawn_weights(patients, 10, 0), strict=True):
        names = [("a", "b", "c")[one] for one in drawn]
        assert weights.tolist() == [names.count(patient) for patient in patients]
