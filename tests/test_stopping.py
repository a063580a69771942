"""A signal ends a work of many runs once, at once or at the next safe point."""

import os
import signal
from contextlib import suppress

import pytest

from medgenesis.stopping import STOPPING, end_if_asked, ended_by_signals, note_signal

both = pytest.mark.parametrize(
    "number, ended, status", [(signal.SIGINT, KeyboardInterrupt, ()), (signal.SIGTERM, SystemExit, (143,))]
)


@both
def test_it_raises_at_once_and_says_that_the_same_command_continues(caplog, number, ended, status):
    before = [signal.getsignal(one) for one in STOPPING]
    done = []
    with pytest.raises(ended) as raised, ended_by_signals("runs"):
        signal.raise_signal(number)
        done.append("more")
    assert raised.value.args == status and not done
    assert caplog.messages == ["stopped; finished runs are kept in runs: the same command continues"]
    assert [signal.getsignal(one) for one in STOPPING] == before
    end_if_asked()  # forgotten


@both
def test_what_was_swallowed_is_raised_at_the_next_safe_point(number, ended, status):
    done = []
    with pytest.raises(ended) as raised, ended_by_signals("runs"):
        end_if_asked()
        with suppress(ended):
            signal.raise_signal(number)
        done.append("went on")
        end_if_asked()
        done.append("more")
    assert raised.value.args == status and done == ["went on"]


def test_nothing_is_remembered_outside():
    note_signal(signal.SIGINT)
    end_if_asked()
    with ended_by_signals("runs"):
        end_if_asked()


@pytest.mark.parametrize("number", STOPPING)
def test_a_forked_worker_is_ended_as_without_it(number):
    """A pool that ends its workers by SIGTERM would else wait for ever."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with ended_by_signals("runs"):
            child = os.fork()
            if not child:
                os.kill(os.getpid(), number)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            end_if_asked()
    finally:
        signal.signal(number, before)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == number
