"""Which ids are taken: those of the configs, and arguments that a component of theirs takes."""

import json

import pytest
from monai.bundle.utils import DEFAULT_EXP_MGMT_SETTINGS

from medgenesis import bundles
from medgenesis.bundles.unused import TRACKING
from medgenesis.cli.configs import Setting, checked_id, find_bundle, merged_settings
from medgenesis.cli.configs.ids import RENAMED, used_ids


@pytest.fixture(scope="module")
def pretrain():
    return merged_settings(find_bundle("models_genesis_ct").files("pretrain", ["quick"]))


def settings_of(**texts):
    return {id.replace("__", "::"): Setting(id.replace("__", "::"), text) for id, text in texts.items()}


@pytest.mark.parametrize("separator", ["#", "::"])
@pytest.mark.parametrize(
    "parts",
    [
        ["width"],
        ["train", "trainer", "max_epochs"],
        ["train", "handlers", "0", "_disabled_"],
        ["network_def", "strides"],
    ],
    ids="-".join,
)
def test_what_a_config_uses(parts, separator, pretrain):
    if parts[-1] == "strides":  # no argument of UNet3D
        with pytest.raises(ValueError):
            checked_id(separator.join(parts), pretrain)
    else:
        assert checked_id(separator.join(parts), pretrain) == "::".join(parts)


def test_an_argument_that_is_not_written_in_the_config():
    settings = settings_of(part=None, part___target_="torch.nn.Linear", part__in_features="1")
    assert checked_id("part#bias", settings) == "part::bias"
    with pytest.raises(ValueError, match="part::bias"):
        checked_id("part#biass", settings)
    anything = settings_of(part=None, part___target_="$some.expression")
    assert checked_id("part::x", anything) == "part::x"


@pytest.mark.parametrize(
    "id, nearest",
    [("witdh", "width"), ("train::trainer::max_epoch", "train::trainer::max_epochs"), ("output", "output_dir")],
)
def test_an_id_that_no_config_uses_and_the_nearest(id, nearest, pretrain):
    with pytest.raises(ValueError, match=f"^{id}: .*Nearest: .*{nearest}"):
        checked_id(id, pretrain)


@pytest.mark.parametrize(
    "id", ["finetune_epochs", "width::x", "train::trainer", "train::new", "train::handlers::99::x"]
)
def test_what_is_not_taken(id, pretrain):
    if id == "train::trainer":
        assert checked_id(id, pretrain) == id
    else:
        with pytest.raises(ValueError):
            checked_id(id, pretrain)


def test_an_overlay_s_ids_count_where_something_mentions_them(pretrain):
    assert "crops_per_volume" in pretrain and "crops_per_volume" not in used_ids(pretrain)
    several = merged_settings(find_bundle("models_genesis_ct").files("pretrain", ["multi_gpu"]))
    assert checked_id("backend", several) == "backend"


@pytest.mark.parametrize("old, new", [*RENAMED.items(), ("cut::border", "crop::border")])
def test_an_old_name_is_told_its_new_one(old, new):
    settings = settings_of(crop_criterion="lung", patches_per_image="1", crop=None, crop__border="1")
    with pytest.raises(ValueError, match=f"renamed to {new}"):
        checked_id(old, settings)
    assert checked_id("cut", settings_of(cut="1")) == "cut"


@pytest.mark.parametrize("id, other", [("init", "weights"), ("weights", "init")])
def test_weights_under_the_name_of_another_task(id, other):
    settings = settings_of(**{other: "x", "intensity": "1"})
    with pytest.raises(ValueError, match=f"^{id}: must be an id .* are named by --{other}"):
        checked_id(id, settings)
    assert checked_id(id, settings_of(init="x", weights="y")) == id
    with pytest.raises(ValueError, match="Nearest: intensity"):
        checked_id("intens", settings)


@pytest.mark.parametrize("id", TRACKING)
def test_what_tracking_brings_is_taken_with_it_alone(id):
    settings = settings_of(intensity="1")
    assert checked_id(id, settings, ["tracking"]) == id
    with pytest.raises(ValueError, match=f"^{id}: must be an id"):
        checked_id(id, settings)


def test_what_tracking_brings_is_what_the_trackers_put_at_the_top():
    ours = json.loads((bundles.path("models_genesis_ct") / "configs" / "tracking_wandb.json").read_text())
    brought = {**DEFAULT_EXP_MGMT_SETTINGS["mlflow"]["configs"], **ours["configs"]}
    handlers = {"trainer", "validator", "evaluator"}
    assert set(TRACKING) == brought.keys() - handlers - {"output_dir"}  # every task has that itself


def test_a_setting_of_one_stage():
    settings = settings_of(level="0", size="1", stages=None, stages__one=None, stages__one__level="0")
    assert checked_id("stages#one#size", settings) == "stages::one::size"
    with pytest.raises(ValueError):
        checked_id("stages::one::sise", settings)


def test_what_monai_s_runner_takes_itself(pretrain):
    assert checked_id("logging_file", pretrain) == "logging_file"
    assert checked_id("tracking_uri", pretrain, ["tracking"]) == "tracking_uri"
    for id in ("tracking_uri", "config_file", "args_file"):
        with pytest.raises(ValueError):
            checked_id(id, pretrain)
