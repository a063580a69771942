"""Settings read with their comments: the ids and values are those that MONAI's own parser has."""

import re

import pytest
import yaml
from monai.bundle import ConfigParser

from medgenesis import bundles
from medgenesis.cli.configs import find_bundle, merged_settings

RUNS = [
    (name, task, overlays)
    for name in bundles.names()
    for task in find_bundle(name).tasks()
    for overlays in {"pretrain": [("multi_gpu", "quick")], "finetune": [("evaluate",)]}.get(task, [()])
    if task != "train"  # a link to finetune
]


@pytest.fixture
def read(tmp_path):
    def merged(*texts, shared=None):
        paths = [tmp_path / f"{name}.yaml" for name in ("task", "one", "two")[: len(texts)]]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text, encoding="utf-8")
        if shared is not None:
            (tmp_path / "settings.yaml").write_text(shared)
        return merged_settings(paths)

    return merged


@pytest.mark.parametrize("name, task, overlays", RUNS, ids=lambda value: str(value))
def test_ids_and_values_are_those_of_monai(name, task, overlays):
    files = find_bundle(name).files(task, overlays)
    parser = ConfigParser()
    parser.read_config([str(file) for file in files])
    del parser.get()["_meta_"]
    settings = merged_settings(files)
    assert {one.top for one in settings.values()} == {key.partition("#")[0] for key in parser.get()}
    for id, one in settings.items():
        value = parser[id]
        if one.text is None:
            assert isinstance(value, dict | list)
        elif isinstance(value, str):
            assert " ".join(value.split()) == " ".join(one.text.split()) or "settings[" in value
        elif value is None or isinstance(value, bool):
            assert one.text == str(value)
        else:
            assert yaml.safe_load(one.text) == value
    shown = {id for id, one in settings.items() if one.text is not None}
    for path in paths(parser.get()):
        assert sum("::".join(path[:end]) in shown for end in range(1, len(path) + 1)) == 1, path


def paths(value):
    """Where the leaves of nested mappings and lists are."""
    if not value or not isinstance(value, dict | list):
        return [[]]
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    return [[*re.split("#", str(key)), *path] for key, part in parts for path in paths(part)]


def test_comments_and_headings(read):
    settings = read(
        "# What it is for\n#   a command\nimports: [x]\nplain: 3\n\n# the volumes,\n# all of them\n"
        "width: 8 # channels # of it\npath: 'a # b'\nnetwork: # a network\n  name: U # its name\n\nlast: null\n"
    )
    told = {id: (one.text, one.comment, one.heading) for id, one in settings.items()}
    volumes = "the volumes, all of them"
    assert told == {
        "imports": ("[x]", "", ""),
        "plain": ("3", "", ""),
        "width": ("8", "channels # of it", volumes),
        "path": ("a # b", "", volumes),
        "network": (None, "a network", volumes),
        "network::name": ("U", "its name", volumes),
        "last": ("None", "", ""),
    }


def test_an_overlay_replaces_an_id_whole_and_tells_its_file(read):
    settings = read(
        "# head\na: {b: 1, c: 2} # both\nd: 3\nnetwork: {y: 0}\n",
        "a: 5\nnew: 1\n",
        "a: {e: 6}\nnetwork#x: 7\n+d: 8 # more\n",
    )
    told = {id: (one.text, one.file, one.of_task) for id, one in settings.items()}
    assert told == {
        "a": (None, "two", True),
        "a::e": ("6", "two", True),
        "d": ("8", "two", True),
        "new": ("1", "one", False),
        "network": (None, "task", True),
        "network::y": ("0", "task", True),
        "network::x": ("7", "two", True),
    }


def test_a_number_that_the_tasks_of_a_bundle_share(read):
    task = "settings: $medgenesis.bundles.settings(@bundle_root)\nwidth: $@settings['width']\nother: $@settings['no']\n"
    settings = read(task + "names: $@settings['names']\n", shared="width: 32 # channels\nnames: { a: 1 } # by number\n")
    assert (settings["names"].text, settings["names"].comment) == ("{ a: 1 }", "by number")
    assert (settings["width"].text, settings["width"].comment) == ("32", "channels")
    assert settings["width"].of_task and settings["other"].text == "$@settings['no']"


@pytest.mark.parametrize("text", ["a: [", "just a text\n", "- a\n"])
def test_what_is_no_config_is_named(read, text):
    with pytest.raises(ValueError, match="task.yaml: must"):
        read(text)


@pytest.mark.parametrize(
    "text, found",
    [("network: $made()", "has '$made()' there"), ("other: { a: 1 }", "has none"), ("network: 3", "has '3'")],
)
def test_an_overlay_for_another_task_is_refused(read, text, found):
    with pytest.raises(ValueError, match="OVERLAY: one must stand behind a task whose 'network' has parts") as error:
        read(text, "# To measure.\nnetwork#skip_head: never")
    assert found in str(error.value) and "To measure." in str(error.value)


def test_an_overlay_may_change_parts_of_mappings_and_lists(read):
    task = "network: { _target_: a }\nsteps: [1, 2]\nparts:\n  - { a: 1 }"
    settings = read(task, "network#new#deep: 1\nsteps#0: 3\nparts#0#a: 2\nown: 5")
    assert settings["parts::0::a"].text == "2" and settings["own"].text == "5"


def test_an_overlay_that_changes_nothing_of_the_task_is_refused(tmp_path):
    (tmp_path / "task.yaml").write_text("rate: 1\nother: $@width * 2\n")
    (tmp_path / "fits.yaml").write_text("width: 8\nfor_another: 3\n")
    (tmp_path / "idle.yaml").write_text("# for another task\nfor_another: '@third'\nthird: 1\n")
    merged_settings([tmp_path / "task.yaml", tmp_path / "fits.yaml"])
    with pytest.raises(ValueError, match="OVERLAY: idle must stand behind .*; found task, which has no for"):
        merged_settings([tmp_path / "task.yaml", tmp_path / "fits.yaml", tmp_path / "idle.yaml"])
    with pytest.raises(ValueError, match="which has no corrupt_on_device"):
        merged_settings(find_bundle("models_genesis_ct").files("finetune", ["device"]))
