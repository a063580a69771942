"""A config as plain data."""

import torch

from medgenesis.bundles.plain_config import plain_config


def test_settings_objects_and_what_is_left_out():
    config = {
        "width": "$@settings['width']",
        "kept": ({"a": "$@settings['sides']", "lr": 1}, None, 1.5, True),
        "unknown": "$@settings['none']",
        "expression": "$@width + 1",
        "object": torch.zeros(1),
        3: "x",
    }
    shared = {"width": 8, "sides": (1, 2), "sly": "$@settings['width']"}
    assert plain_config(config, shared, without={"lr"}) == {
        "width": 8,
        "kept": [{"a": [1, 2]}, None, 1.5, True],
        "unknown": "$@settings['none']",
        "expression": "$@width + 1",
        "object": "Tensor",
        "3": "x",
    }
    assert plain_config("$@settings['sly']", shared) == "$@settings['width']"  # once, not again


def test_what_is_told_in_the_place_of_a_list_or_a_text():
    def told(value):
        return "2 records" if isinstance(value, list) and len(value) == 2 else "file" if value == "f" else value

    config = {"data": [{}, {}], "nested": [["f"], "g"], "of settings": "$@settings['f']"}
    assert plain_config(config, {"f": "f"}, told=told) == {
        "data": "2 records",
        "nested": "2 records",
        "of settings": "file",
    }
