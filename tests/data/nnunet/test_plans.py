"""What is read of nnU-Net's plans, and what is refused."""

import copy
import json

import pytest
from helpers.nnunet import plans

from medgenesis.data.nnunet import plan_of, read_dataset_json, read_plans


def planned(content=None, configuration="3d_fullres", **named):
    return plan_of(content or plans(), configuration, source="nnUNetPlans.json", **named)


def test_axes_spacing_patch_channels_and_network_are_those_of_the_plans():
    content = plans("CTNormalization", channels=2)
    plan = planned(content, dataset={"channel_names": {"0": "CT", "1": "CT late"}})
    assert plan["axes"] == [2, 1, 0] and plan["spacing"] == [2, 1, 1] and plan["patch_size"] == [8, 16, 12]
    assert [channel["name"] for channel in plan["channels"]] == ["CT", "CT late"]
    assert plan["channels"][0]["range"] == [(-10 - 40) / 20, (90 - 40) / 20]
    assert plan["architecture"] == content["configurations"]["3d_fullres"]["architecture"]
    assert plan["data_identifier"] == "nnUNetPlans_3d_fullres" and plan["batch_size"] == 2
    json.dumps(plan)


def test_a_configuration_has_what_it_inherits():
    plan = planned(configuration="3d_lowres")
    assert plan["data_identifier"] == "nnUNetPlans_3d_lowres" and plan["patch_size"] == [8, 16, 12]


@pytest.mark.parametrize(
    ("reader", "order", "axes"),
    [
        ("SimpleITKIO", [0, 1, 2], [2, 1, 0]),
        ("NibabelIO", [2, 0, 1], [0, 2, 1]),
        ("NibabelIOWithReorient", [0, 1, 2], "SAR"),
        ("SimpleITKIOWithReorient", [1, 0, 2], "ASR"),
        ("Tiff3DIO", [0, 1, 2], None),
    ],
)
def test_axes_are_those_of_the_reader_transposed(reader, order, axes):
    assert planned({**plans(), "image_reader_writer": reader, "transpose_forward": order})["axes"] == axes


def test_plans_before_2_4_name_the_network_by_numbers():
    content = plans()
    found = content["configurations"]["3d_fullres"]
    wanted = found.pop("architecture")
    kwargs = wanted["arch_kwargs"]
    kwargs["features_per_stage"] = [4, 8, 12]
    found |= {"UNet_class_name": "PlainConvUNet", "UNet_base_num_features": 4, "unet_max_num_features": 12}
    found |= {"n_conv_per_stage_encoder": [1, 2, 1], "n_conv_per_stage_decoder": [1, 1]}
    found |= {"conv_kernel_sizes": kwargs["kernel_sizes"], "pool_op_kernel_sizes": kwargs["strides"]}
    assert planned(content)["architecture"] == wanted


def changed(**entries):
    content = copy.deepcopy(plans())
    content["configurations"]["3d_fullres"].update(entries)
    return content


@pytest.mark.parametrize(
    ("content", "configuration", "message"),
    [
        (
            plans(),
            "3d_full",
            "configuration must be one of 2d, 3d_fullres, 3d_lowres, 3d_cascade_fullres; found '3d_full'",
        ),
        (plans(), "2d", r"must be a 3D configuration; found a patch_size of \[16, 12\]"),
        (plans(), "3d_cascade_fullres", "second stage of a cascade"),
        (changed(architecture={"network_class_name": "x.Primus"}), "3d_fullres", "network must be one of .*'x.Primus'"),
        (changed(normalization_schemes=["Odd"]), "3d_fullres", "normalization_schemes must be of .*'Odd'"),
        (changed(normalization_schemes=[]), "3d_fullres", "must have channels"),
        (changed(spacing=[1, 1]), "3d_fullres", "spacing must be three numbers above 0"),
        (changed(spacing=[1, 0, float("nan")]), "3d_fullres", "spacing must be three numbers above 0"),
        (changed(patch_size=[8, 17, 12]), "3d_fullres", r"strides \[2, 4, 4\]; found \[8, 17, 12\]"),
        (changed(inherits_from="3d_fullres"), "3d_fullres", "configuration must be one of"),
        ({**plans(), "transpose_forward": [0, 0, 1]}, "3d_fullres", "transpose_forward must order"),
        (
            {**plans("CTNormalization"), "foreground_intensity_properties_per_channel": {}},
            "3d_fullres",
            "CTNormalization needs the foreground's mean",
        ),
    ],
)
def test_plans_that_cannot_be_followed_are_refused(content, configuration, message):
    with pytest.raises(ValueError, match=message):
        planned(content, configuration)


def test_channels_must_be_those_of_dataset_json():
    with pytest.raises(ValueError, match="must have the channels of dataset.json.*found 1"):
        planned(dataset={"channel_names": {"0": "T1", "1": "T2"}})


def test_files_that_are_no_plans_of_nnunet_2_are_refused(tmp_path):
    with pytest.raises(ValueError, match="found a pickle, as nnU-Net v1"):
        read_plans(tmp_path / "nnUNetPlansv2.1_plans_3D.pkl")
    with pytest.raises(ValueError, match="found no file"):
        read_plans(tmp_path / "nnUNetPlans.json")
    for content, message in (
        ('{"plans_per_stage": {}}', "found those of v1"),
        ('{"channel_names": {}}', "with `configurations`; found channel_names"),
        ("[]", "no JSON object"),
        ("{", "no JSON object"),
    ):
        (tmp_path / "p.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            read_plans(tmp_path / "p.json")


def test_dataset_json_is_looked_for_beside_the_plans(tmp_path):
    assert read_dataset_json(tmp_path / "nnUNetPlans.json") is None
    (tmp_path / "dataset.json").write_text('{"a": 1}')
    assert read_dataset_json(tmp_path / "nnUNetPlans.json") == {"a": 1}
    with pytest.raises(ValueError, match="must be nnU-Net's dataset.json"):
        read_dataset_json(tmp_path / "nnUNetPlans.json", tmp_path / "absent.json")
