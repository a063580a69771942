"""What a run of a bundle is told by, and where its weights go."""

import json

import pytest

from medgenesis import bundles


@pytest.fixture
def told(fresh_bundle, phantoms, tmp_path):
    """told(merge, **settings) -> the `made_with` of a fine-tuning, of a list with that merge in its header."""
    listed = json.loads(phantoms.read_text())
    for records in (listed[section] for section in ("training", "validation", "test")):
        for record in records:
            record |= {key: str(phantoms.parent / record[key]) for key in ("image", "label")}

    def told(merge, **settings):
        (tmp_path / "list.json").write_text(json.dumps({**listed, "label_merge": merge}))
        fresh_bundle.datalist = tmp_path / "list.json"
        workflow = fresh_bundle.workflow("finetune", init="scratch", **settings)
        return workflow.parser.get_parsed_content("train#trainer#made_with")

    return told


def test_what_may_change_and_what_may_not(told):
    merge = {"1": [1], "2": [6]}
    first = told(merge)
    json.dumps(first)  # plain data
    for free in ({"num_workers": 1}, {"learning_rate": 0.1}, {"finetune_epochs": 9}, {"cache": "none"}):
        assert told(merge, **free) == first, free
    others = [
        told({"1": [6], "2": [1]}),
        *(told(merge, **one) for one in ({"cube_size": [32, 32, 32]}, {"norm": "instance"}, {"overlap": 0.25})),
        told(merge, **{"train#random_transforms#2#prob": 0.1}),
    ]
    assert all(other != first for other in others)


def test_a_trial_in_a_folder_of_its_own_leaves_the_models_alone(tmp_path):
    default = tmp_path / "runs" / "finetune"
    assert bundles.models_folder(tmp_path, default, default) == str(tmp_path / "models")
    assert bundles.models_folder(tmp_path, tmp_path / "trial", default) == str(tmp_path / "trial")


def test_settings_are_checked_before_a_label_map_is_read(fresh_bundle, monkeypatch):
    monkeypatch.setattr("medgenesis.data.choose_labels", lambda *_, **__: pytest.fail("label maps were read"))
    with pytest.raises(RuntimeError) as error:
        fresh_bundle.workflow("finetune", init="scratch", overlap=2)
    assert "overlap: must be from 0 to below 1" in str(error.getrepr(style="long"))
    fresh_bundle.workflow("finetune", init="scratch")


@pytest.mark.parametrize("task", ["finetune", "classify"])
@pytest.mark.parametrize("family", ["volumes", "slabs"])
def test_the_rate_of_the_optimizer_is_that_of_its_groups(family, task, fresh_bundle, request):
    """`--optimizer#lr`, as of a pre-training."""
    bundle = fresh_bundle if family == "volumes" else request.getfixturevalue("caid")
    classes = {"num_classes": 4} if family == "slabs" and task == "classify" else {}
    typed = {"init": "scratch", "rates": {"encoder": 0.1}, "optimizer#lr": 0.05, **classes}
    optimizer = bundle.workflow(task, **typed).parser.get_parsed_content("optimizer")
    assert sorted({group["lr"] for group in optimizer.param_groups}) == pytest.approx([0.005, 0.05])


def test_a_run_of_before_is_continued(told):
    """What version 0.2.0 said of a fine-tuning, where configs have come to say the same in other words."""
    said = told({"1": [1], "2": [6]}, set_by_command=("datalist",))
    rates = "$medgenesis.engines.parameter_groups(@network, @learning_rate, @rates, @layer_decay)"
    assert said["optimizer"]["params"] == rates
    assert said["validate"]["postprocessing"] == "@train::postprocessing"
    assert "set_by_command" not in said


@pytest.mark.parametrize("batches", [1, 2])
def test_a_pretraining_of_before_is_continued_where_a_step_is_a_batch(fresh_bundle, batches):
    """Steps of the rate were counted in batches: with one batch a step the same, else another training."""
    workflow = fresh_bundle.workflow("pretrain", accumulation_steps=batches)
    said = workflow.parser.get_parsed_content("train#trainer#made_with")
    before = "$@lr_step_epochs * len(@train::dataloader)"
    assert (said["lr_scheduler"]["schedulers"][1]["step_size"] == before) == (batches == 1)


@pytest.mark.parametrize("batches", [1, 2, 3])
def test_the_rate_is_halved_after_so_many_epochs(fresh_bundle, batches):
    parser = fresh_bundle.workflow("pretrain", accumulation_steps=batches, lr_step_epochs=5).parser
    length = len(parser.get_parsed_content("train#dataloader"))
    steps = len(range(0, length, batches))
    assert parser.get_parsed_content("lr_scheduler")._schedulers[1].step_size == 5 * steps
