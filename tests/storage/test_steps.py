"""Which steps are done: told by their files and by what the folder's record says of their settings."""

import json
import signal
import subprocess
import sys

import pytest

from medgenesis.storage.steps import Step, Steps

STEPS = {"first": Step(("first.npz",), ("first.partial",)), "second": Step(("second.json", "second.png"))}


@pytest.fixture
def steps(tmp_path):
    return Steps(tmp_path / "run", STEPS)


def leave(steps, *names):
    for name in names:
        (steps.folder / name).write_text(name)


def done(steps, name, settings, *files):
    with steps.doing(name, settings):
        leave(steps, *files)


def test_a_step_is_done_when_all_its_results_are_there_and_it_has_ended_well(steps):
    assert not steps.done("second", {"a": 1})
    with steps.doing("second", {"a": 1}):
        leave(steps, "second.json", "second.png")
        assert not steps.done("second", {"a": 1})
    assert steps.done("second", {"a": 1})
    (steps.folder / "second.png").unlink()
    assert not steps.done("second", {"a": 1})
    assert not steps.done("first", {})


def test_a_step_that_was_stopped_is_not_done(steps):
    with pytest.raises(KeyboardInterrupt), steps.doing("first", {"a": 1}):
        leave(steps, "first.npz")
        raise KeyboardInterrupt
    assert not steps.done("first", {"a": 1})
    done(steps, "first", {"a": 1}, "first.npz")
    assert steps.done("first", {"a": 1})


@pytest.mark.parametrize("settings", [{"sides": (1, 2), "b": None}, {"sides": [1, 2], "b": None}])
def test_settings_are_compared_as_json_has_them(steps, settings):
    done(steps, "first", {"sides": (1, 2), "b": None}, "first.npz")
    assert steps.done("first", settings)


@pytest.mark.parametrize("settings, said", [({"a": 2}, "a = 1, now it is 2"), ({}, "a = 1, now it is not set"),
                                            ({"a": 1, "b": 3}, "b = not set, now it is 3")])  # fmt: skip
def test_other_settings_name_the_file_and_all_that_depends_on_it(steps, settings, said):
    done(steps, "first", {"a": 1}, "first.npz")
    done(steps, "second", {}, "second.json", "second.png")
    with pytest.raises(ValueError, match="first.npz: .*it was made with") as error:
        steps.done("first", settings)
    assert said in str(error.value)
    assert all(str(steps.folder / name) in str(error.value) for name in ("first.npz", "second.json", "second.png"))
    assert steps.done("second", {}), "a later step does not mind"


def test_what_a_stopped_step_has_left_is_not_mixed_with_other_settings(steps):
    with pytest.raises(KeyboardInterrupt), steps.doing("first", {"a": 1}):
        leave(steps, "first.partial")
        raise KeyboardInterrupt
    assert not steps.done("first", {"a": 1})
    with pytest.raises(ValueError, match="first.partial: .*it was made with a = 1, now it is 2"):
        steps.done("first", {"a": 2})


def test_removed_results_free_the_step_for_other_settings(steps):
    done(steps, "first", {"a": 1}, "first.npz")
    (steps.folder / "first.npz").unlink()
    assert not steps.done("first", {"a": 2})
    done(steps, "first", {"a": 2}, "first.npz")
    assert steps.done("first", {"a": 2})


def test_files_of_unknown_origin_are_refused(steps):
    steps.folder.mkdir()
    leave(steps, "second.png")
    with pytest.raises(ValueError, match=r"second.png: .*steps.json does not say which settings"):
        steps.done("second", {})


@pytest.mark.parametrize("text", ["{", "[]", '{"first": 1}', '{"first": {"settings": {}}}'])
def test_a_damaged_record_is_named(steps, text):
    done(steps, "first", {}, "first.npz")
    steps.path.write_text(text)
    with pytest.raises(ValueError, match=r"steps.json: cannot be read as a record of steps"):
        steps.done("first", {})


def test_the_record_is_plain(steps):
    done(steps, "first", {"a": 1}, "first.npz")
    assert json.loads(steps.path.read_text()) == {"first": {"settings": {"a": 1}, "finished": True}}


def test_files_are_named_up_to_a_few(tmp_path):
    steps = Steps(tmp_path, {"many": Step(tuple(f"{i:02d}.png" for i in range(20)))})
    done(steps, "many", {}, *steps.steps["many"].results)
    with pytest.raises(ValueError, match="04.png and 15 more") as error:
        steps.done("many", {"a": 1})
    assert "05.png" not in str(error.value)


def with_policy(steps, changed):
    return Steps(steps.folder, STEPS, changed)


def test_renew_does_a_step_of_other_settings_again_without_what_it_left(steps, caplog):
    renewing = with_policy(steps, "renew")
    done(steps, "first", {"a": 1}, "first.npz", "first.partial")
    assert renewing.done("first", {"a": 1}) and not caplog.text
    assert not renewing.done("first", {"a": 2})
    assert "first.npz: it was made with a = 1, now it is 2; it is computed anew" in caplog.text
    with renewing.doing("first", {"a": 2}):
        assert not (steps.folder / "first.partial").exists(), "it is not to go on from what other settings left"
        assert not renewing.done("first", {"a": 2})
    assert renewing.done("first", {"a": 2})


def test_renew_goes_on_from_what_the_same_settings_left(steps):
    renewing = with_policy(steps, "renew")
    with pytest.raises(KeyboardInterrupt), renewing.doing("first", {"a": 1}):
        leave(steps, "first.partial")
        raise KeyboardInterrupt
    with renewing.doing("first", {"a": 1}):
        assert (steps.folder / "first.partial").exists()


def test_keep_uses_finished_results_of_other_settings_with_a_warning(steps, caplog):
    keeping = with_policy(steps, "keep")
    done(steps, "first", {"a": 1}, "first.npz")
    assert keeping.done("first", {"a": 2})
    assert "a = 1, now it is 2; it is kept as it is" in caplog.text
    caplog.clear()
    with pytest.raises(KeyboardInterrupt), keeping.doing("second", {"a": 1}):
        leave(steps, "second.json", "second.png")
        raise KeyboardInterrupt
    assert not keeping.done("second", {"a": 2})
    assert "the step goes on from there" in caplog.text


@pytest.mark.parametrize("changed", ["renew", "keep"])
def test_files_of_unknown_origin_are_never_taken_for_results(steps, changed, caplog):
    steps.folder.mkdir()
    leave(steps, "first.npz")
    assert not with_policy(steps, changed).done("first", {})
    assert "does not say which settings" in caplog.text


def test_another_policy_is_refused(tmp_path):
    with pytest.raises(ValueError, match="changed: must be one of refuse, renew, keep; found 'maybe'"):
        Steps(tmp_path, STEPS, "maybe")


def test_what_is_known_of_a_step(steps):
    assert steps.settings_of("first") is None and not steps.finished("first") and steps.left_by("first") == []
    with steps.doing("first", {"sides": (1, 2)}):
        leave(steps, "first.npz")
        assert steps.settings_of("first") == {"sides": [1, 2]} and not steps.finished("first")
    assert steps.finished("first") and [path.name for path in steps.left_by("first")] == ["first.npz"]


def test_once_a_step_is_done_its_settings_are_not_done_again_and_nothing_is_left_to_go_on_from(steps):
    renewing, done_with = with_policy(steps, "renew"), []

    def work(a, stop=None):
        assert (steps.folder / ".running").is_file(), "another process must not begin it too"
        assert (steps.folder / "first.partial").exists() == (done_with[-1:] == [a])
        done_with.append(a)
        leave(steps, "first.partial")
        if stop:
            raise stop
        leave(steps, "first.npz")

    with pytest.raises(KeyboardInterrupt):
        renewing.once("first", {"a": 1}, lambda: work(1, KeyboardInterrupt))
    assert (steps.folder / "first.partial").exists() and not (steps.folder / ".running").exists()
    for a in (1, 1, 1, 2, 2):
        renewing.once("first", {"a": a}, lambda a=a: work(a))
        assert sorted(path.name for path in steps.folder.iterdir()) == ["first.npz", "steps.json"]
        assert renewing.done("first", {"a": a})
    assert done_with == [1, 1, 2]


def test_once_other_settings_are_refused_before_the_work(steps):
    done(steps, "first", {"a": 1}, "first.npz")
    with pytest.raises(ValueError, match="a = 1, now it is 2"):
        steps.once("first", {"a": 2}, lambda: pytest.fail("begun"))


KILLED = """
import os, signal, sys
from pathlib import Path
from medgenesis.storage.steps import Step, Steps
steps = Steps(sys.argv[1], {"only": Step(("result.txt",))})
with steps.doing("only", {"a": 1}):
    Path(sys.argv[1], "result.txt").write_text("all of it")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_step_that_is_killed_at_its_very_end_is_not_done(tmp_path):
    assert subprocess.run([sys.executable, "-c", KILLED, tmp_path], check=False).returncode == -signal.SIGKILL
    steps = Steps(tmp_path, {"only": Step(("result.txt",))})
    assert (tmp_path / "result.txt").exists() and not steps.done("only", {"a": 1})
    with steps.doing("only", {"a": 1}):
        pass
    assert steps.done("only", {"a": 1})
