"""What goes from one stage to the next, and what does not."""

import pytest
import torch
from helpers.views import Backbone, Slabs, Unet, differing, loader_of, state_of, two_views

from medgenesis.engines import PretextTrainer
from medgenesis.errors import CheckpointError
from medgenesis.methods import Adam, CAiD, initialise_from_stage
from medgenesis.storage import save_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")


def adam(seed, **settings):
    torch.manual_seed(seed)
    return Adam(Backbone(), **{"dim": 5, "queue_size": 12, **settings})


def first_stage(method):
    optimizer = torch.optim.SGD(method.parameters(), 0.1)
    trainer = PretextTrainer("cpu", 2, loader_of(Slabs()), method, optimizer)
    trainer.run()
    return trainer.checkpoint()


def equal(names, first, second):
    first, second = first.state_dict(), second.state_dict()
    return {name for name in names if torch.equal(first[name], second[name])}


@pytest.mark.parametrize("as_file", [True, False])
def test_adam_carries_everything_by_default(tmp_path, as_file):
    before, after = adam(0, level=0), adam(1, level=2)
    checkpoint = first_stage(before)
    save_checkpoint(checkpoint, tmp_path / "last.pt")
    assert initialise_from_stage(tmp_path / "last.pt" if as_file else checkpoint, after) is after
    assert differing(state_of(before), after) == {"discrimination.batches"} and after.discrimination.batches == 0
    assert after.discrimination.queue.pointer.tolist() == [4] and after.level == 2
    after(two_views())  # goes on averaging: the key branch is not copied anew
    assert after.discrimination.updates == 5
    key, query = after.discrimination.key_encoder.conv.weight, after.network.conv.weight
    assert not torch.equal(key, query)


def test_a_first_stage_has_none_before_it_and_another_must_not_begin_by_mistake():
    method, fresh = adam(0, level=2), adam(0, level=2)
    assert initialise_from_stage(None, method, required=False) is method
    assert differing(state_of(fresh), method) == set()
    with pytest.raises(ValueError, match=r"previous: .*found none.* init"):
        initialise_from_stage(None, method)


def test_without_the_queue():
    before, after, fresh = adam(0), adam(1), adam(1)
    initialise_from_stage(first_stage(before), after, carry_queue=False)
    queue = {"discrimination.queue.keys", "discrimination.queue.pointer"}
    assert differing(state_of(before), after) == {*queue, "discrimination.batches"}
    assert equal(queue, after, fresh) == queue


def test_caid_from_instance_discrimination_with_the_encoder_alone():
    torch.manual_seed(0)
    before, after = (CAiD(Unet(), mode=mode, dim=5, queue_size=12) for mode in ("id", "caid"))
    fresh = state_of(after)
    initialise_from_stage(first_stage(before), after, carry_head=False, carry_queue=False)
    assert {n for n in fresh if not n.startswith("network.")}.isdisjoint(differing(fresh, after))
    assert differing(state_of(before.network), after.network) == set()
    after(two_views())
    encoders = after.discrimination.key_encoder.conv.weight, after.network.encoder.conv.weight
    assert torch.equal(*encoders)  # the key branch starts from the carried encoder


def test_queues_of_another_size_or_network():
    checkpoint = first_stage(adam(0))
    other = adam(1, queue_size=24)
    before = state_of(other)
    with pytest.raises(
        CheckpointError, match="given stage: must be .* queue_size; found 1 of .*discrimination.queue.keys"
    ):
        initialise_from_stage(checkpoint, other)
    assert differing(before, other) == set()
    initialise_from_stage(checkpoint, other, carry_queue=False)
    with pytest.raises(CheckpointError, match="missing or of another shape, network.encoder.conv.weight"):
        initialise_from_stage(checkpoint, CAiD(Unet(), dim=5, queue_size=12), carry_head=False, carry_queue=False)


def test_numbers_that_are_not_finite():
    checkpoint, after = first_stage(adam(0)), adam(1)
    before = state_of(after)
    checkpoint["method"]["network.conv.weight"][0] = float("nan")
    with pytest.raises(CheckpointError, match="given stage: weights must be finite"):
        initialise_from_stage(checkpoint, after)
    assert differing(before, after) == set()


def test_errors(tmp_path):
    with pytest.raises(ValueError, match="carry_queue: must be False where carry_head is"):
        initialise_from_stage({}, adam(0), carry_head=False)
    with pytest.raises(CheckpointError, match="gone.pt"):
        initialise_from_stage(tmp_path / "gone.pt", adam(0))
