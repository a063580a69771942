"""What takes long says how much is done and left: a bar on a terminal, lines in a log, nothing when quiet."""

import io
import logging

import pytest

from medgenesis import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("seconds, text", [(0, "0:00:00"), (61.4, "0:01:01"), (7322, "2:02:02")])
def test_duration(seconds, text):
    assert progress.duration(seconds) == text


def test_the_time_left_follows_from_what_was_done_now(monkeypatch, caplog):
    clock = iter(range(0, 1000, 40))  # 40 s an item
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO):
        assert list(progress.track("abc", "scans", total=5, done=2)) == ["a", "b", "c"]
    told = [record.getMessage() for record in caplog.records]
    assert told == ["scans: 3 of 5, 0:01:20 left", "scans: 4 of 5, 0:00:40 left", "scans: 5 of 5, 0:00:00 left"]


def test_a_slow_first_item_says_at_once_how_long_all_will_take(monkeypatch, caplog):
    clock = iter([0.0, 10.0, 11.0, 12.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with caplog.at_level(logging.INFO):
        list(progress.track("abc", "scans"))
    assert [record.getMessage() for record in caplog.records] == ["scans: 1 of 3, 0:00:20 left"]


def test_a_bar_on_a_terminal_and_none_when_messages_are_disabled(monkeypatch):
    for disabled in (False, True):
        terminal = Terminal()
        monkeypatch.setattr(progress.tqdm, "__init__", _to(terminal, progress.tqdm.__init__))
        logging.disable(logging.INFO if disabled else logging.NOTSET)
        try:
            list(progress.track(range(3), "scans"))
        finally:
            logging.disable(logging.NOTSET)
            monkeypatch.undo()
        assert ("scans" in terminal.getvalue()) is not disabled


def _to(file, original):
    def init(self, *args, **settings):
        original(self, *args, file=file, mininterval=0, **settings)

    return init


def test_one_that_is_left_early_is_closed():
    tracked = progress.track(range(3), "scans")
    assert next(tracked) == 0
    tracked.close()
    assert list(tracked) == []
