"""Which bundle a config that is read belongs to, and what is said where nobody can know it."""

import json

import pytest
from monai.bundle import ConfigParser, ConfigWorkflow, create_workflow

from medgenesis import bundles
from medgenesis.engines import StagedWorkflow
from medgenesis.errors import cause_of

CONFIG = """
imports: [$import medgenesis]
bundle_root: $medgenesis.bundles.root()
settings: $medgenesis.bundles.settings(@bundle_root)
width: $@settings['width']
output_dir: $@bundle_root + '/runs'
stages: {one: {width: 3}}
initialize: [$medgenesis.bundles.check_settings(@settings)]
run: []
"""


@pytest.fixture
def bundle(tmp_path, monkeypatch):
    """A bundle under a path with a space; the folder above is where commands are typed."""
    folder = tmp_path / "my bundle"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "task.yaml").write_text(CONFIG)
    (folder / "configs" / "small.yaml").write_text("width: 8\n")
    (folder / "configs" / "settings.yaml").write_text("width: 32\n")
    (folder / "configs" / "metadata.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return folder


def made(*files, workflow=ConfigWorkflow, **settings):
    settings = {"workflow_type": None, "logging_file": False, **settings}
    return create_workflow(workflow, config_file=[str(file) for file in files], **settings)


@pytest.mark.parametrize("workflow", [ConfigWorkflow, StagedWorkflow])
@pytest.mark.parametrize("relative", [True, False])
def test_a_workflow_reads_the_bundle_of_its_file(bundle, workflow, relative):
    folder = bundle.relative_to(bundle.parent) if relative else bundle
    found = made(folder / "configs" / "task.yaml", workflow=workflow)
    if workflow is StagedWorkflow:
        found.run = lambda: ConfigWorkflow.initialize(found)  # a stage's own
        found.run()
    assert found.parser.get_parsed_content("bundle_root") == str(bundle)
    assert found.parser.get_parsed_content("width") == 32


def test_from_inside_its_folder_and_with_an_overlay(bundle, monkeypatch):
    monkeypatch.chdir(bundle / "configs")
    found = made("task.yaml", "small.yaml").parser
    assert found.get_parsed_content("bundle_root") == str(bundle) and found.get_parsed_content("width") == 8
    assert made("task.yaml", width=4).parser.get_parsed_content("width") == 4


def test_what_a_file_of_arguments_names(bundle):
    arguments = {"config_file": str(bundle / "configs" / "task.yaml"), "workflow_type": None, "logging_file": False}
    (bundle.parent / "arguments.json").write_text(json.dumps(arguments))
    found = create_workflow(args_file=str(bundle.parent / "arguments.json"))
    assert found.parser.get_parsed_content("bundle_root") == str(bundle)


def test_a_linked_bundle_is_where_it_is_linked(bundle):
    link = bundle.parent / "link"
    link.symlink_to(bundle, target_is_directory=True)
    assert made(link / "configs" / "task.yaml").parser.get_parsed_content("bundle_root") == str(link)
    configs = bundle.parent / "other" / "configs"
    configs.mkdir(parents=True)
    (configs / "task.yaml").symlink_to(bundle / "configs" / "task.yaml")
    (configs / "settings.yaml").write_text("width: 16\n")
    parser = made(configs / "task.yaml").parser
    assert parser.get_parsed_content("bundle_root") == str(configs.parent)
    assert parser.get_parsed_content("width") == 16


def test_a_workflow_inside_of_another_is_its_own(bundle, tmp_path):
    inner = tmp_path / "inner" / "configs"
    inner.mkdir(parents=True)
    for name in ("task.yaml", "settings.yaml"):
        (inner / name).write_text((bundle / "configs" / name).read_text())
    seen = []

    def nested():
        seen.append(made(inner / "task.yaml").parser.get_parsed_content("bundle_root"))
        parser = ConfigParser()
        parser.read_config(inner / "task.yaml")
        with pytest.raises(RuntimeError) as error:
            parser.get_parsed_content("bundle_root")
        seen.append(str(cause_of(error.value)))

    outer = made(bundle / "configs" / "task.yaml")
    outer.parser["run"] = [nested]
    outer.parser["call"] = "$[one() for one in @run]"
    outer.parser.parse()
    outer._run_expr("call")
    assert seen[0] == str(inner.parent) and seen[1].startswith("bundle_root: ")


def test_results_go_elsewhere_where_that_is_said(bundle, tmp_path):
    parser = made(bundle / "configs" / "task.yaml", bundle_root=str(tmp_path / "out")).parser
    assert parser.get_parsed_content("output_dir") == str(tmp_path / "out") + "/runs"
    assert parser.get_parsed_content("width") == 32


def test_a_parser_by_itself_must_be_told(bundle):
    """Never the installed package in place of it."""
    parser = ConfigParser()
    parser.read_config(bundle / "configs" / "task.yaml")
    with pytest.raises(RuntimeError) as error:
        parser.get_parsed_content("width")
    found = cause_of(error.value)
    assert isinstance(found, ValueError) and "bundle_root" in str(found) and "--bundle_root DIR" in str(found)
    parser["bundle_root"] = str(bundle)
    assert parser.get_parsed_content("width") == 32


def test_a_config_in_another_folder_must_be_told(bundle):
    (bundle / "task.yaml").write_text(CONFIG)
    with pytest.raises(RuntimeError) as error:
        made(bundle / "task.yaml")
    assert str(bundle) in str(cause_of(error.value)) and "--bundle_root DIR" in str(cause_of(error.value))


def test_outside_of_a_config():
    with pytest.raises(ValueError):
        bundles.root()


def test_settings_that_are_not_there(bundle):
    (bundle / "configs" / "settings.yaml").unlink()
    with pytest.raises(RuntimeError) as error:
        made(bundle / "configs" / "task.yaml").parser.get_parsed_content("width")
    assert str(bundle / "configs" / "settings.yaml") in str(cause_of(error.value))


# settings that nothing uses


def test_a_mistyped_setting_is_refused_with_the_nearest_names(bundle):
    with pytest.raises(RuntimeError) as error:
        made(bundle / "configs" / "task.yaml", widht=8)
    found = cause_of(error.value)
    assert isinstance(found, ValueError) and str(found).startswith("widht: ") and "width" in str(found)


def test_what_only_a_part_of_a_task_uses_is_named_with_that_part(bundle):
    (bundle / "configs" / "settings.yaml").write_text("width: 32\nnorm: batch\nother: 1\n")
    (bundle / "configs" / "task.yaml").write_text(CONFIG + "net: {parts: [a, {norm: \"$@settings['norm']\"}]}\n")
    for id, remedy in (
        ("norm", "settings.yaml alone. Change it there, or type --net#parts#1#norm"),
        ("other", "use it"),
    ):
        with pytest.raises(RuntimeError) as error:
            made(bundle / "configs" / "task.yaml", **{id: "instance"})
        assert str(cause_of(error.value)).startswith(f"{id}: ") and remedy in str(cause_of(error.value))
    parser = made(bundle / "configs" / "task.yaml", **{"net#parts#1#norm": "instance"}).parser
    assert parser.get_parsed_content("net")["parts"][1]["norm"] == "instance"


def test_a_setting_that_something_refers_to_is_taken(bundle):
    parser = made(bundle / "configs" / "task.yaml", my_width=5, width="@my_width").parser
    assert parser.get_parsed_content("width") == 5


@pytest.mark.parametrize("id", ["device", "dataset_dir", "evaluator", "finalize"])
def test_what_monai_reads_by_its_name_is_taken(bundle, id):
    made(bundle / "configs" / "task.yaml", **{id: "cpu"})


def test_an_overlay_may_hold_what_a_task_does_not_use(bundle, caplog):
    """What is typed beside it has no effect either, and that is said."""
    (bundle / "configs" / "other.yaml").write_text(CONFIG + "epochs: 100\ndepth: $@epochs\n")
    (bundle / "configs" / "small.yaml").write_text("width: 8\nepochs: 2\n")
    files = [bundle / "configs" / name for name in ("task.yaml", "small.yaml")]

    def said(*files, **settings):
        caplog.clear()
        made(*files, **settings)
        return [one.getMessage() for one in caplog.records if one.name == "medgenesis.bundles.unused"]

    assert said(*files) == []
    (message,) = said(*files, epochs=3)
    assert message.startswith("epochs: has no effect") and "other.yaml" in message
    assert said(*files, epochs=3, set_by_command=("epochs",)) == []
    assert said(bundle / "configs" / "other.yaml", epochs=3) == []


@pytest.fixture
def said(bundle, caplog):
    """said(*files, **typed) -> the warnings of settings without effect."""

    def said(*files, **typed):
        caplog.clear()
        made(*(bundle / "configs" / file for file in files), **typed)
        return [one.getMessage() for one in caplog.records if one.name == "medgenesis.bundles.unused"]

    return said


def test_a_typed_setting_is_compared_with_the_files_that_are_read(bundle, said):
    """Not with another task's, or an overlay's that is not there: `--schedule constant` as classify.yaml has it."""
    (bundle / "configs" / "task.yaml").write_text(CONFIG + "schedule: cosine\nplan: $@schedule\nuser: $@plan\n")
    (bundle / "configs" / "other.yaml").write_text(
        CONFIG + "schedule: constant\nepochs: 9\nuser: $[@schedule, @epochs]\n"
    )
    (bundle / "configs" / "quick.yaml").write_text("epochs: 2\nschedule: plateau\n")
    own = {"plan": 1}  # in the place of what uses the schedule
    assert said("task.yaml", **own) == said("task.yaml", "quick.yaml", **own) == said("other.yaml", epochs=2) == []
    assert said("task.yaml", "quick.yaml", schedule="plateau", **own) == []
    (message,) = said("task.yaml", schedule="constant", **own)
    assert message.startswith("schedule: has no effect here")
    for epochs in (2, 9):  # of no file that is read
        (message,) = said("task.yaml", epochs=epochs)
        assert message.startswith("epochs: has no effect in this task; it is a setting of other.yaml")
    (message,) = said("task.yaml", "quick.yaml", epochs=9)
    assert message.startswith("epochs: has no effect")


def test_what_only_an_entry_that_is_not_chosen_uses_has_no_effect(bundle, said):
    config = CONFIG + "depth: 1\nrate: 2\nkind: deep\nkinds: {deep: ['@depth', '@rate'], flat: '@rate'}\n"
    (bundle / "configs" / "task.yaml").write_text(config + "user: $medgenesis.bundles.chosen('kind', @kind, @kinds)\n")
    assert said("task.yaml", depth=3, rate=3) == said("task.yaml", kind="flat", rate=3) == []
    (message,) = said("task.yaml", depth=3, kind="flat")
    assert message.startswith("depth: has no effect here")
    assert said("task.yaml", depth=3, kind="none") == []  # an error of its own, where it is chosen


def test_what_is_only_noted_with_the_weights_has_no_effect(bundle, said):
    """Another network may have no width; that its weights note one is no use."""
    config = CONFIG + "norm: batch\nnet: ['@width', '@norm']\nkept: {width: '@width', norm: '@norm', mine: '@mine'}\n"
    (bundle / "configs" / "task.yaml").write_text(config + "mine: 1\nuser: $[@net, @kept]\n")
    assert said("task.yaml", width=8, norm="instance") == []
    (message,) = said("task.yaml", width=8, net=["@norm"])
    assert message.startswith("width: has no effect here")
    assert said("task.yaml", "small.yaml", net=["@norm"]) == []
    (bundle / "configs" / "task.yaml").write_text(config + "user: $[@net, @kept]\n")
    assert said("task.yaml", mine=3) == []  # a user's own, to be kept


@pytest.mark.parametrize("id", ["train#dataloder", "train#trainr", "train::inferrer"])
def test_a_mistyped_part_is_refused_with_the_nearest_names(bundle, id):
    known = "train: {dataloader: {_target_: list}, trainer: {_target_: dict}, inferer: null, free: {a: 1}}\n"
    (bundle / "configs" / "task.yaml").write_text(CONFIG + known + "whole: $@train#free\n")
    made(
        bundle / "configs" / "task.yaml",
        **{"train#free#b": 2, "train#trainer#max_epochs": 1},
    )
    with pytest.raises(RuntimeError) as error:
        made(bundle / "configs" / "task.yaml", **{id: 3})
    found = str(cause_of(error.value))
    assert found.startswith("train#") and "Nearest: train#" in found


# values that no task can run with


@pytest.mark.parametrize("file", ["learning_rate: 1e-3\n", "learning_rate: 0.001\n", "learning_rate: 1.0e-3\n"])
def test_how_yaml_writes_a_rate_is_said_as_it_reads_it(bundle, file):
    """1e-3 is a text to YAML 1.1, and what is advised instead a number."""
    (bundle / "configs" / "task.yaml").write_text(CONFIG + "user: $@learning_rate\n" + file)
    if "1e-3" not in file:
        assert made(bundle / "configs" / "task.yaml").parser.get_parsed_content("user") == 0.001
        return
    with pytest.raises(RuntimeError) as error:
        made(bundle / "configs" / "task.yaml")
    assert "Write it as 0.001 or, in YAML, 1.0e-3." in str(cause_of(error.value))


@pytest.mark.parametrize(
    ("id", "right", "wrong"),
    [
        ("width", (1, 32), (0, -1, 2.5, "abc", None, True, [32])),
        ("num_workers", (0, 4), (-1, 0.5, "four")),
        ("learning_rate", (1, 1e-3), (0, -1, "fast", float("nan"), float("inf"), "1e-3")),
        ("patience", (None, 1, 50), (0, 0.5, "abc", True)),
        ("overlap", (0, 0.5), (1, -0.1, "half")),
        ("cube_size", ([16, 16, 8],), (16, [16, 16], [16, 16, 0], [16, 16, 8.0], "16")),
        ("spacing_mm", (None, 1.5, [1, 1, 2.5]), (0, [1, -1, 1], [1], [1.5, 1.5], "1mm", [1, None, 1])),
        ("label_merge", (None, {}, {1: "1-2"}), ("1=1-2", [1, 2], 1)),
        ("probe_label_merge", (None, {1: [1, 2]}), ("1=1-2",)),
        ("save_every", (None, 3), (0, "daily")),
        ("steps", (None, 400), (0, 1.5)),
        ("layer_decay", (1.0, 0.75), (0, 1.5, "fast")),
        ("freeze", (None, {"encoder": 20}), ("encoder", ["encoder"], 3)),
        ("schedule", ("cosine", "plateau", "constant"), ("step", None)),
        ("init_parts", ("all", "encoder"), ("decoder",)),
        ("device", ("cpu",), ("cudda", 3.5, "cuda:99")),
    ],
)
def test_impossible_values_are_refused_by_name(bundle, id, right, wrong):
    (bundle / "configs" / "task.yaml").write_text(CONFIG + f"{id}: null\nuser: $@{id}\n".replace("width: null\n", ""))
    for value in right:
        made(bundle / "configs" / "task.yaml", **{id: "$None" if value is None else value})
    for value in wrong:
        with pytest.raises(RuntimeError) as error:
            made(bundle / "configs" / "task.yaml", **{id: "$None" if value is None else value})
        assert str(cause_of(error.value)).startswith(f"{id}: must be ")
