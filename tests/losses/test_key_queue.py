"""The queue against a plain list, and what it says of batches that do not divide it."""

import re

import pytest
import torch

from medgenesis.losses import KeyQueue


def batch(number, size=4, dim=3):
    return torch.full((size, dim), float(number)) + torch.arange(size)[:, None] / 10


def test_starts_with_random_unit_vectors():
    torch.manual_seed(0)
    queue = KeyQueue(16, 1000)
    torch.testing.assert_close(queue.keys.norm(dim=0), torch.ones(1000))
    assert queue.keys.mean(dim=1).abs().max() < 0.05 and queue.pointer.tolist() == [0]
    assert not any(True for _ in queue.parameters())


@pytest.mark.parametrize("batches", [1, 3, 4, 9])
def test_the_oldest_are_overwritten(batches):
    queue = KeyQueue(3, 12)
    columns = list(queue.keys.T.clone())
    for number in range(batches):
        queue.enqueue(batch(number))
        for row, key in enumerate(batch(number)):
            columns[(4 * number + row) % 12] = key
    assert torch.equal(queue.keys, torch.stack(columns, dim=1))
    assert queue.pointer.tolist() == [4 * batches % 12]


def test_pointer_is_back_after_a_whole_round():
    queue = KeyQueue(3, 12)
    for number in range(12 // 4):
        queue.enqueue(batch(number))
    assert queue.pointer.tolist() == [0] and queue.pointer.dtype == torch.long


def test_wraps_inside_a_batch_after_a_run_with_another_batch_size():
    queue = KeyQueue(3, 12)
    for number in range(5):
        queue.enqueue(batch(number, 2))
    queue.enqueue(batch(7, 4))  # columns 10, 11, 0, 1
    assert torch.equal(queue.keys[:, [10, 11, 0, 1]], batch(7, 4).T) and queue.pointer.tolist() == [2]
    assert torch.equal(queue.keys[:, 2:4], batch(1, 2).T)


def by_search(size, given):
    """Nearest batches that divide the queue, and nearest queues that the batch divides, by trying all."""
    batches = [b for b in range(1, size + 1) if size % b == 0]
    queues = [k for k in range(given, 3 * max(size, given)) if k % given == 0]
    sides = [
        [max((v for v in values if v < wrong), default=None), min((v for v in values if v > wrong), default=None)]
        for values, wrong in ((batches, given), (queues, size))
    ]
    return [[v for v in side if v is not None] for side in sides]


@pytest.mark.parametrize(("size", "given"), [(65536, 100), (65536, 48), (12, 5), (12, 11), (7, 3), (8, 20)])
def test_a_batch_that_does_not_divide_is_refused_with_what_would_do(size, given):
    queue = KeyQueue(2, size)
    before = queue.keys.clone()
    with pytest.raises(ValueError) as error:
        queue.enqueue(torch.zeros(given, 2))
    message = str(error.value)
    assert f"found {size} and a global batch of {given}" in message
    batches, sizes = re.search(r"a global batch of ([\d or]+), or queue_size=([\d or]+)", message).groups()
    assert [[int(n) for n in part.split(" or ")] for part in (batches, sizes)] == by_search(size, given)
    assert torch.equal(queue.keys, before) and queue.pointer.tolist() == [0]
    for good in by_search(size, given)[0]:
        queue.check_batch(good)


def test_sizes():
    with pytest.raises(ValueError, match="must be at least 1; found 3, 0"):
        KeyQueue(3, 0)
