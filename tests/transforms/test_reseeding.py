"""Seeding again gives the draws of MONAI's new generators, and touches nobody else's."""

import copy
import pickle

import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandFlipd, Randomizable

from medgenesis.transforms import RandGenesisd, RandLocalShuffle, caid_views
from medgenesis.transforms.reseeding import Reseeded, ReseededCompose

SEEDS = [0, 7, 2**31, 2**32 - 1, 2**32, -3, np.uint32(9), np.int64(2**40)]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_draws_are_those_of_a_new_generator(seed):
    ours, theirs = Reseeded().set_random_state(1), Randomizable()
    ours.R.normal(size=3)  # an odd number leaves one for later, which must go
    assert ours.set_random_state(seed) is ours
    theirs.set_random_state(seed)
    assert np.array_equal(ours.R.normal(size=5), theirs.R.normal(size=5)) and ours.R.randint(99) == theirs.R.randint(99)


def test_a_chain_seeds_its_steps_as_monais_does():
    steps = [RandFlipd("image", 0.5), RandGenesisd(), caid_views()]
    drawn = []
    for make in (ReseededCompose, Compose):
        chain = make(copy.deepcopy(steps)).set_random_state(seed=4)
        flip, genesis, views = chain.transforms
        drawn.append([one.R.rand() for one in (chain, flip, genesis, genesis.transform, views, views.view)])
    assert drawn[0] == drawn[1]


def test_a_generator_that_was_given_and_those_of_copies_are_left_alone():
    given = np.random.RandomState(3)
    transform = RandLocalShuffle().set_random_state(5).set_random_state(state=given)
    assert transform.R is given
    transform.set_random_state(5)
    assert given.rand() == np.random.RandomState(3).rand()
    for other in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        transform.set_random_state(8)
        assert other.R.rand() == np.random.RandomState(5).rand()
        transform.set_random_state(5)


@pytest.mark.parametrize("make", [RandLocalShuffle, RandGenesisd, lambda: ReseededCompose([caid_views(96)])])
def test_a_shallow_copy_draws_for_itself(make):
    image, other = torch.rand(1, 100, 100), make().set_random_state(seed=1)
    image = {"image": image} if not isinstance(other, RandLocalShuffle) else image

    def drawn(transform):
        found = transform(image)
        return torch.as_tensor(found["image"] if isinstance(found, dict) else found).as_subclass(torch.Tensor)

    alone = [drawn(other) for _ in range(2)]
    original = make().set_random_state(seed=1)
    shallow = copy.copy(original)
    assert type(shallow) is type(original) and torch.equal(drawn(shallow), alone[0])
    shallow.set_random_state(seed=2)
    first = drawn(original)
    drawn(shallow)
    assert torch.equal(first, alone[0]) and torch.equal(drawn(original), alone[1])
