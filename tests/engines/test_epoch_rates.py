"""Schedules of fine-tuning against their closed forms, and Keras' rule for a plateau."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from medgenesis.engines import epochs_for, rate_schedule
from medgenesis.engines.epoch_rates import iterations_for
from medgenesis.engines.schedules import load_schedule


def optimizer(rate=0.1):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], rate)


def closed(epoch, epochs, warmup):
    return 0.1 * min(1, (epoch + 1) / (warmup + 1)) * (1 + math.cos(math.pi * epoch / epochs)) / 2


@pytest.mark.parametrize("warmup", [0, 1, 4])
def test_a_cosine_with_warm_up(warmup):
    one = optimizer()
    schedule = rate_schedule(one, "cosine", epochs=12, warmup_epochs=warmup)
    for epoch in range(12):
        assert one.param_groups[0]["lr"] == pytest.approx(closed(epoch, 12, warmup))
        one.step()
        schedule.step()


@pytest.mark.parametrize("done", [2, 6])
def test_a_longer_cosine_goes_on_from_its_own_rate_also_in_the_warm_up(done):
    one = optimizer()
    schedule = rate_schedule(one, "cosine", epochs=12, warmup_epochs=4)
    for _ in range(done):
        one.step()
        schedule.step()
    other = optimizer()
    longer = rate_schedule(other, "cosine", epochs=30, warmup_epochs=4)
    other.load_state_dict(one.state_dict())
    load_schedule(longer, schedule.state_dict())
    for epoch in range(done, 20):
        assert other.param_groups[0]["lr"] == pytest.approx(closed(epoch, 30, 4)), epoch
        other.step()
        longer.step()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 4).map(lambda v: v / 4), min_size=1, max_size=40))
def test_a_plateau_is_that_of_keras(metrics):
    """Keras: the wait grows with each validation without a gain of 1e-4, and at 6 the rate is halved, the wait 0."""
    one = optimizer()
    schedule = rate_schedule(one, "plateau", epochs=100)
    rate, best, wait = 0.1, -math.inf, 0
    for metric in metrics:
        schedule.step(metric)
        if metric > best + 1e-4:
            best, wait = metric, 0
        else:
            wait += 1
            if wait >= 6:
                rate, wait = rate / 2, 0
        assert one.param_groups[0]["lr"] == pytest.approx(rate)


def test_constant_is_none_and_words_are_checked():
    assert rate_schedule(optimizer(), "constant", epochs=3) is None
    with pytest.raises(ValueError, match="schedule: must be one of"):
        rate_schedule(optimizer(), "step", epochs=3)
    with pytest.raises(ValueError, match="warmup_epochs: must be less than the 3"):
        rate_schedule(optimizer(), "cosine", epochs=3, warmup_epochs=3)
    with pytest.raises(ValueError, match="warmup_epochs: must be 0 with"):
        rate_schedule(optimizer(), "plateau", epochs=3, warmup_epochs=1)


def test_steps_begin_so_many_epochs():
    assert epochs_for(7, None, 5) == 7
    assert [epochs_for(7, steps, 5) for steps in (1, 5, 6, 10, 11)] == [1, 1, 2, 2, 3]
    assert epochs_for(7, 4, 5, accumulation_steps=2) == 2  # three steps an epoch
    with pytest.raises(ValueError, match="steps: must be at least 1"):
        epochs_for(7, 0, 5)


@pytest.mark.parametrize("accumulation", [1, 2, 3, 9])
def test_the_batch_of_a_step_is_the_one_of_a_slow_count(accumulation):
    batches, ends = 5, []
    for batch in range(batches * 4):
        place = batch % batches + 1
        if place % accumulation == 0 or place == batches:  # the epoch's last group may be smaller
            ends.append(batch + 1)
    assert [iterations_for(step, batches, accumulation) for step in range(1, len(ends) + 1)] == ends
