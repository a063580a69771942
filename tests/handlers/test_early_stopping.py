"""Early stopping against the published rule, on curves of any kind."""

from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medgenesis.handlers import EarlyStopping


def published(losses, patience):
    """The epoch after which training stops: a count of epochs without a lower loss; None: never."""
    best, count = float("inf"), 0
    for epoch, loss in enumerate(losses, 1):
        if loss < best:
            best, count = loss, 0
        else:
            count += 1
        if count >= patience:
            return epoch
    return None


def ours(losses, patience, restart=None):
    """The same by the handler; `restart`: an epoch before which everything but the evaluator's best is made anew."""
    state = SimpleNamespace(best_metric=float("inf"), best_metric_epoch=-1)
    stopped = []
    handler = EarlyStopping(SimpleNamespace(state=state), patience)
    for epoch, loss in enumerate(losses, 1):
        engine = SimpleNamespace(state=SimpleNamespace(epoch=epoch), terminate=lambda: stopped.append(True))
        if epoch == restart:
            handler = EarlyStopping(SimpleNamespace(state=state), patience)
        handler(engine, -1)
        if stopped:
            return epoch - 1  # a run that had stopped stays stopped
        if loss < state.best_metric:
            state.best_metric, state.best_metric_epoch = loss, epoch
        handler(engine, 0)
        if stopped:
            return epoch
    return None


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 6), st.integers(1, 30))
def test_it_stops_when_the_published_rule_does(losses, patience, restart):
    expected = published(losses, patience)
    assert ours(losses, patience) == expected
    assert ours(losses, patience, restart) == expected


@pytest.mark.parametrize("patience", [0, -1, 0.5, "abc", True])
def test_a_patience_that_is_no_number_of_epochs_is_refused(patience):
    with pytest.raises(ValueError, match=f"patience: must be a whole number of epochs above 0; found {patience!r}"):
        EarlyStopping(SimpleNamespace(), patience)
