"""Which steps are done: told by their files and by what the folder's record says of their settings."""

import json

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


@pytest.mark.parametrize("settings, said", [({"a": 2}, "a = 1, now it is 2"), ({}, "a = 1, now it is None"),
                                            ({"a": 1, "b": 3}, "b = None, now it is 3")])  # fmt: skip
def test_other_settings_name_the_file_and_all_that_depends_on_it(steps, settings, said):
    done(steps, "first", {"a": 1}, "first.npz")
    done(steps, "second", {}, "second.json", "second.png")
    with pytest.raises(ValueError, match="first.npz: was made with") as error:
        steps.done("first", settings)
    assert said in str(error.value)
    assert all(str(steps.folder / name) in str(error.value) for name in ("first.npz", "second.json", "second.png"))
    assert steps.done("second", {}), "a later step does not mind"


def test_what_a_stopped_step_has_left_is_not_mixed_with_other_settings(steps):
    with pytest.raises(KeyboardInterrupt), steps.doing("first", {"a": 1}):
        leave(steps, "first.partial")
        raise KeyboardInterrupt
    assert not steps.done("first", {"a": 1})
    with pytest.raises(ValueError, match="first.partial: was made with a = 1, now it is 2"):
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
    with pytest.raises(ValueError, match=r"steps.json: cannot be read"):
        steps.done("first", {})


def test_the_record_is_plain(steps):
    done(steps, "first", {"a": 1}, "first.npz")
    assert json.loads(steps.path.read_text()) == {"first": {"settings": {"a": 1}, "finished": True}}
