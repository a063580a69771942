"""Transforms and objects have fingerprints of what they are and hold, the same in every process."""

import functools
import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.inferers import SimpleInferer, SlidingWindowInferer
from monai.transforms import Affined, Compose, RandAffined, RandFlipd, ScaleIntensityd

from medgenesis.storage.fingerprints import object_fingerprint, transform_fingerprint


def test_preprocessing_counts_by_steps_and_parameters():
    one = ScaleIntensityd("image", minv=0.0, maxv=1.0)
    found = transform_fingerprint(Compose([one]))
    assert transform_fingerprint(Compose([Compose([pickle.loads(pickle.dumps(one))])])) == found
    assert transform_fingerprint(one) == found
    assert transform_fingerprint(Compose([ScaleIntensityd("image", minv=0.0, maxv=2.0)])) != found
    assert transform_fingerprint(one, RandFlipd("image")) != found


class Holding:
    """A step with one parameter."""

    def __init__(self, held):
        self.held = held

    def __call__(self, item):
        return item


def at(place):
    """An image that says where it lies."""
    return MetaTensor(torch.ones(2), affine=torch.eye(4) * place)


WITH_TENSORS = (
    *(Affined("image", affine=torch.eye(4)), Affined("image", affine=2 * torch.eye(4))),
    *(Holding(torch.arange(4)), Holding(torch.arange(4.0)), Holding([torch.ones(2)]), Holding([torch.ones(2, 1)])),
    *(Holding(torch.nn.Parameter(torch.ones(2))), Holding(torch.nn.Flatten()), Holding(at(1)), Holding(at(2))),
    *(Holding({"image", "label", "mask"}), Holding(frozenset(("image", "label", "mask"))), Holding({"image"})),
    *(RandAffined("image", rotate_range=(angle,)).set_random_state(seed=0) for angle in (0.1, 0.2)),
)


def test_steps_that_hold_tensors_or_sets_count_alike_in_every_process():
    found = [transform_fingerprint(one) for one in WITH_TENSORS]
    assert len(set(found)) == len(found)
    for seed in "12":
        assert in_another_process("[t.transform_fingerprint(one) for one in t.WITH_TENSORS]", seed) == found


@pytest.mark.parametrize("held", [1, "a", ["a", {"b": 2.0}], np.arange(1e5), np.random.RandomState(0), np.mean])
def test_other_steps_count_by_their_pickle(held):
    """As in earlier versions, whose caches are found so."""
    text = pickle.dumps([Holding(held)], protocol=5)
    assert transform_fingerprint(Holding(held)) == hashlib.sha256(text).hexdigest()[:32]


def in_another_process(expression, hash_seed):
    """The value of an expression of this module, `t`, where strings have other hashes."""
    program = f"import json, {__name__} as t; print(json.dumps({expression}))"
    paths = os.pathsep.join([str(Path(__file__).parents[__name__.count(".")]), *sys.path])
    env = {**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


class Sampled:
    """A class with slots, a function, a class and a random state."""

    __slots__ = ("function", "kind", "random", "said")

    def __init__(self, function=np.mean, kind=dict, seed=0, said=None):
        self.function, self.kind, self.random, self.said = function, kind, np.random.RandomState(seed), said


def windows(overlap=0.5, side=8):
    """With a map of weights among its attributes."""
    return SlidingWindowInferer((side, 8), overlap=overlap, mode="gaussian", cache_roi_weight_map=True)


OBJECTS = (
    *(windows(), windows(0.25), windows(side=16), SimpleInferer(), [windows()]),
    *(Sampled(), Sampled(np.max), Sampled(kind=list), Sampled(seed=1), Sampled(said={"a": windows()})),
    *(functools.partial(max, 1), functools.partial(max, 2), functools.partial(min, 1), torch.device("cpu")),
)


def test_objects_count_by_all_that_they_hold():
    found = [object_fingerprint(one) for one in OBJECTS]
    assert len(set(found)) == len(found)
    assert [object_fingerprint(pickle.loads(pickle.dumps(one))) for one in OBJECTS] == found
    assert in_another_process("[*map(t.object_fingerprint, t.OBJECTS)]", "1") == found


def test_functions_without_a_name_are_refused():
    def named():
        return 1

    for one in (Sampled(lambda: 1), functools.partial(named), [Sampled(said={"a": named})]):
        with pytest.raises(TypeError, match="a function in it must have a name in a module"):
            object_fingerprint(one)


def test_preprocessing_that_cannot_be_pickled_is_refused():
    with pytest.raises(ValueError, match="no lambda"):
        transform_fingerprint(Compose([lambda item: item]))


def test_methods_of_builtin_objects_and_what_pickle_names_are_told_apart():
    assert object_fingerprint([].append) != object_fingerprint([1].append)
    assert object_fingerprint(np.exp) == object_fingerprint(np.exp) != object_fingerprint(np.log)
    assert object_fingerprint(re.compile("a")) != object_fingerprint(re.compile("b"))
