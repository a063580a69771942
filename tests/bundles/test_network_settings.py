"""A network that a user puts into a bundle has the settings that are kept with its weights, or is refused."""

import pytest
from monai.bundle import ConfigWorkflow

from medgenesis import bundles
from medgenesis.errors import cause_of

OWN = "medgenesis.networks.UNet3D"
SEGRESNET = "monai.networks.nets.SegResNet"


@pytest.fixture
def checked(tmp_path):
    """Whether the pre-training of models_genesis_ct takes a `network_def`: the error's text, or none."""
    configs = bundles.copy("models_genesis_ct", tmp_path / "bundle") / "configs"

    def check(task, network_def, **settings):
        asked = {"init_id": "asked", "asked": "$medgenesis.bundles.check_settings(@settings)"}
        try:
            ConfigWorkflow(
                [str(configs / f"{task}.yaml")],
                workflow_type="train",
                logging_file=False,
                network_def=network_def,
                init="scratch",
                **asked,
                **settings,
            ).initialize()
        except RuntimeError as error:
            return str(cause_of(error))
        return ""

    return check


@pytest.mark.parametrize("task", ["pretrain", "finetune"])
@pytest.mark.parametrize(
    ("arguments", "settings", "found"),
    [
        ({}, {"width": 8}, ("width must be the setting width, 8", "found 32, as it is left out")),
        (
            {"width": 16, "norm": "@norm"},
            {},
            ("width must be the setting width, 32", "found 16. Write width: '@width'"),
        ),
        ({"width": "@width"}, {"norm": "instance"}, ("norm must be the setting norm, 'instance'", "found 'batch'")),
        ({"width": "$4 * 2"}, {}, ("width must be", "found 8")),
        ({"in_channels": 1}, {"in_channels": 2}, ("in_channels must be the setting in_channels, 2", "found 1")),
        ({}, {"out_channels": 3}, ("out_channels must be the setting out_channels, 3", "found 1, as it is left out")),
    ],
)
def test_a_network_of_other_settings_is_refused(checked, task, arguments, settings, found):
    said = checked(task, {"_target_": OWN, **arguments}, **settings)
    assert said.startswith("network_def: ") and all(part in said for part in found)


def test_a_model_that_is_there_may_have_another_width(tmp_path):
    """`evaluate` trains nothing: the network of an overlay is that of the weights."""
    configs = bundles.copy("models_genesis_ct", tmp_path / "bundle") / "configs"
    asked = {"init_id": "asked", "asked": "$medgenesis.bundles.check_settings(@settings)", "init": "scratch"}
    files = [str(configs / name) for name in ("finetune.yaml", "evaluate.yaml")]
    network_def = {"_target_": OWN, "width": 4}
    ConfigWorkflow(files, workflow_type="train", logging_file=False, network_def=network_def, **asked).initialize()


def test_lists_and_tuples_are_alike_and_what_has_no_default_is_for_the_network(checked):
    group = ["group", {"num_groups": 2}]
    assert not checked("pretrain", {"_target_": OWN, "width": "@width", "norm": f"${tuple(group)}"}, norm=group)
    planned = {"_target_": "medgenesis.networks.planned_network", "architecture": {}}
    assert not checked("pretrain", planned, in_channels=2)


def test_a_task_that_keeps_nothing_may_have_a_norm_of_its_own(tmp_path):
    """As the mining of published.yaml."""
    configs = bundles.copy("transvw_ct", tmp_path / "bundle") / "configs"
    asked = {"init_id": "asked", "asked": "$medgenesis.bundles.check_settings(@settings)"}
    files = [str(configs / f"{name}.yaml") for name in ("mine", "published")]
    ConfigWorkflow(files, workflow_type="train", logging_file=False, **asked).initialize()


@pytest.mark.parametrize("task", ["pretrain", "finetune"])
@pytest.mark.parametrize(
    ("target", "arguments", "settings"),
    [
        (OWN, {"width": "@width", "norm": "@norm"}, {"width": 8, "norm": "instance"}),
        (OWN, {"in_channels": 2, "out_channels": 2}, {}),  # of the list, which is not there yet
        (OWN, {"width": 8}, {"width": 8}),
        ("medgenesis.networks.UNet25D", {}, {}),
        (SEGRESNET, {"init_filters": 8}, {"width": 8}),
    ],
)
def test_one_that_agrees_is_taken_and_another_package_is_left_alone(checked, task, target, arguments, settings):
    assert checked(task, {"_target_": target, **arguments}, **settings) == ""


@pytest.mark.parametrize(
    ("network_def", "told"),
    [
        (None, {"width", "norm"}),
        ({"_target_": SEGRESNET, "init_filters": 8}, set()),
        ({"_target_": SEGRESNET, "init_filters": "@width"}, {"width"}),
        ({"_target_": SEGRESNET, "init_filters": "@filters"}, {"width"}),  # by way of another
        ({"_target_": OWN, "width": 32}, {"width", "norm"}),  # the setting's value, as the tasks after it build it
    ],
)
def test_weights_tell_no_setting_that_their_network_has_not(tmp_path, network_def, told):
    configs = bundles.copy("models_genesis_ct", tmp_path / "bundle") / "configs"
    network = {} if network_def is None else {"network_def": network_def}
    asked = {
        "init_id": "asked",
        "asked": "$medgenesis.bundles.kept_settings({'width': 8, 'norm': 'batch', 'cube_size': 1})",
    }
    for task in ("pretrain", "finetune"):
        workflow = ConfigWorkflow(
            [str(configs / f"{task}.yaml")],
            workflow_type="train",
            logging_file=False,
            filters="$@width // 2",
            **network,
            **asked,
        )
        workflow.initialize()
        assert {*workflow.parser.get_parsed_content("asked")} == {*told, "cube_size"}


@pytest.mark.parametrize(
    ("network_def", "told"),
    [
        (None, {"width", "norm", "guidance", "head_levels"}),
        ({"_target_": SEGRESNET, "in_channels": "@in_channels", "out_channels": "@out_channels"}, set()),
        ({"_target_": SEGRESNET, "in_channels": "$@in_channels + @click_channels"}, {"guidance"}),
    ],
)
def test_channels_of_the_list_are_no_settings_of_the_network(tmp_path, network_def, told):
    """`in_channels` refers to a part of `train`, whose other parts refer to every setting."""
    configs = bundles.copy("models_genesis_ct", tmp_path / "bundle") / "configs"
    kept = "{'width': 8, 'norm': 'batch', 'guidance': 0, 'head_levels': 'last', 'cube_size': 1}"
    workflow = ConfigWorkflow(
        [str(configs / "finetune.yaml")],
        workflow_type="train",
        logging_file=False,
        init_id="asked",
        asked=f"$medgenesis.bundles.kept_settings({kept})",
        **({} if network_def is None else {"network_def": network_def}),
    )
    workflow.initialize()
    assert {*workflow.parser.get_parsed_content("asked")} == {*told, "cube_size"}


def test_what_a_task_has_not_is_said_before_a_volume_is_read(tmp_path, monkeypatch):
    configs = bundles.copy("semantic_genesis_ct", tmp_path / "bundle") / "configs"
    network_def = {"_target_": SEGRESNET, "out_channels": "@out_channels"}
    monkeypatch.setattr("medgenesis.mining.PatternTable.load", lambda *_: pytest.fail("the table was read"))
    asked = {"init_id": "asked", "asked": "$medgenesis.bundles.check_settings(@settings)"}
    with pytest.raises(RuntimeError) as error:
        ConfigWorkflow(
            [str(configs / "pretrain.yaml")],
            workflow_type="train",
            logging_file=False,
            network_def=network_def,
            **asked,
        ).initialize()
    said = str(cause_of(error.value))
    assert said.startswith("network_def: must refer to settings of this task; found out_channels, ")
    assert "a head for classes" in said


def test_cubes_of_which_swin_unetr_leaves_one_voxel_are_refused(checked):
    """Its transformer halves five times: torch said "Expected more than 1 spatial element" after all was read."""
    network_def = {"_target_": "monai.networks.nets.SwinUNETR", "in_channels": 1, "out_channels": 1}
    for sides in ([32, 32, 32], [16, 32, 32]):
        said = checked("pretrain", network_def, cube_size=sides)
        assert said.startswith("cube_size: must be above 32 on one side for SwinUNETR") and f"found {sides}." in said
    assert not checked("pretrain", network_def, cube_size=[64, 32, 32])
