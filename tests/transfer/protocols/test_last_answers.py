"""The answer of a run's last weights: on which grid it is judged, and that records are data and no configuration."""

import unittest.mock

import nibabel as nib
import numpy as np
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from monai.bundle import ConfigParser, ConfigWorkflow

from medgenesis import bundles
from medgenesis.bundles.reading import Reading
from medgenesis.bundles.unused import unused_ids
from medgenesis.transfer.protocols import last_dice, last_weights


def test_dice_is_measured_on_the_images_own_grid(tmp_path):
    """Whatever the spacing that the network learns from, label maps stay as they were drawn."""
    values = np.zeros((12, 10, 8), np.uint8)
    values[3:9, 3:8, 2:6] = 1
    for name in ("image", "label"):
        nib.save(nib.Nifti1Image(values, np.diag([2.0, 2.0, 3.0, 1.0])), tmp_path / f"{name}.nii.gz")
    prepare = {"_target_": "medgenesis.data.preprocessing", "label_keys": ["label"], "intensity": None}
    parser = ConfigParser(
        {
            "preprocessing": {**prepare, "spacing_mm": [4.0, 4.0, 4.0]},
            "validate": {"preprocessing": "@preprocessing", "postprocessing": "@train#postprocessing"},
            "train": {"postprocessing": {"_target_": "monai.transforms.AsDiscreted", "keys": "pred", "threshold": 0.5}},
        }
    )
    last_dice._measure_on_own_grid(parser)
    paths = {name: str(tmp_path / f"{name}.nii.gz") for name in ("image", "label")}
    item = parser.get_parsed_content("validate#preprocessing")(paths)
    item = parser.get_parsed_content("validate#postprocessing")({**item, "pred": item["image"].clone()})
    assert item["pred"].shape == item["label"].shape == (1, 12, 10, 8)
    assert float(item["label"].sum()) == values.sum()
    learnt = parser.get_parsed_content("preprocessing")(paths)
    assert learnt["label"].shape != item["label"].shape


def test_what_a_command_sets_itself_is_no_setting_without_effect(tmp_path):
    """Each fold warned: datalist: has no effect in this task."""
    for bundle, task in (
        ("models_genesis_ct", "classify"),
        ("adam_cxr", "classify"),
        ("models_genesis_ct", "finetune"),
    ):
        config = bundles.path(bundle) / "configs" / f"{task}.yaml"
        records = [{"image": "a.nii.gz", "class": 0}]
        own = {"datalist": str(tmp_path / "list.json")}
        workflow = last_weights.prepare_training(
            [config], records, records, tmp_path, init="scratch", seed=0, overrides=own
        )
        found = unused_ids(Reading(workflow.parser, config.parent, workflow))
        assert "datalist" not in found and "set_by_command" not in found


class Unrun(ConfigWorkflow):
    """A workflow whose training and validation are stand-ins; `latest` is the one that was made last."""

    latest = None

    def initialize(self):
        type(self).latest = self

    def run(self):
        self.found = {part: self.parser.get_parsed_content(f"{part}#dataset").data for part in ("train", "validate")}

    class evaluator:
        run = staticmethod(lambda: None)
        add_event_handler = staticmethod(lambda *_: None)

        class state:
            metric_details = {"val_mean_dice": torch.zeros(1, 1)}


CODE = "__import__('pathlib').Path({file!r}).touch()"
KEYS = st.sampled_from(["patient", "_target_", "_disabled_", "_mode_", "a#b", "a::b", "@width", "%width", "$x"])


def hostile_values(file):
    code = CODE.format(file=file)
    words = ["$" + code, "@width", "%width", "%train", "@##width", "$@width", "pathlib.Path.touch", "os.getcwd", "a"]
    words = st.sampled_from(words) | st.text(max_size=5)
    return st.recursive(words, lambda part: st.lists(part, max_size=2) | st.dictionaries(KEYS, part, max_size=2))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_a_record_holds_is_never_parsed_as_configuration(tmp_path, monkeypatch, data):
    monkeypatch.setattr(last_weights, "ConfigWorkflow", Unrun)
    monkeypatch.setattr(last_dice, "SegmentationCases", unittest.mock.Mock())
    dataset = "{_target_: monai.data.Dataset, data: []}"
    config = f"preprocessing: {{}}\nvolumes_per_batch: 2\ntrain: {{dataset: {dataset}}}\n"
    config += f"validate: {{dataset: {dataset}, preprocessing: '@preprocessing', postprocessing: null}}\n"
    (tmp_path / "finetune.yaml").write_text(config)
    records = st.dictionaries(KEYS, hostile_values(str(tmp_path / "ran")), max_size=3)
    training, test = data.draw(st.lists(records, min_size=1, max_size=2)), [data.draw(records)]
    last_dice.dice_after_finetuning(
        [tmp_path / "finetune.yaml"], training, test, tmp_path, init="scratch", seed=0, iterations=1
    )
    assert list(Unrun.latest.found["train"]) == training and list(Unrun.latest.found["validate"]) == test
    assert not (tmp_path / "ran").exists()
