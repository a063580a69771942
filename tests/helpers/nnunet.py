"""nnU-Net's plans, written out, for a network of a few kilobytes, and cases that fit them."""

import copy
import json

import nibabel
import numpy as np

IDENTIFIER = "nnUNetPlans_3d_fullres"
_PLAIN = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "arch_kwargs": {
        "n_stages": 3,
        "features_per_stage": [4, 8, 12],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[1, 3, 3], [3, 3, 3], [3, 3, 3]],
        "strides": [[1, 1, 1], [1, 2, 2], [2, 2, 2]],
        "n_conv_per_stage": [1, 2, 1],
        "n_conv_per_stage_decoder": [1, 1],
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}
_RESAMPLING = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}


def plans(scheme="ZScoreNormalization", channels=1, *, residual=False, spacing=(2.0, 1.0, 1.0), **changes):
    """Content of nnUNetPlans.json as nnU-Net 2.8 writes it."""
    network = copy.deepcopy(_PLAIN)
    if residual:
        network["network_class_name"] = "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet"
        network["arch_kwargs"]["n_blocks_per_stage"] = network["arch_kwargs"].pop("n_conv_per_stage")
    fullres = {
        "data_identifier": IDENTIFIER,
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [8, 16, 12],
        "spacing": list(spacing),
        "normalization_schemes": [scheme] * channels,
        "use_mask_for_norm": [False] * channels,
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": _RESAMPLING,
        "architecture": network,
    }
    measured = {"mean": 40.0, "std": 20.0, "percentile_00_5": -10.0, "percentile_99_5": 90.0, "min": -50, "max": 200}
    return {
        "dataset_name": "Dataset001_Test",
        "plans_name": "nnUNetPlans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "configurations": {
            "2d": {**fullres, "patch_size": [16, 12], "spacing": [1.0, 1.0]},
            "3d_fullres": {**fullres, **changes},
            "3d_lowres": {"inherits_from": "3d_fullres", "data_identifier": "nnUNetPlans_3d_lowres"},
            "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
        },
        "foreground_intensity_properties_per_channel": {str(index): measured for index in range(channels)},
    }


def write_dataset(folder, count=3, channels=1, content=None):
    """A folder nnUNet_preprocessed/DATASET with plans, dataset.json and arrays (.npz), and its path."""
    arrays = folder / IDENTIFIER
    arrays.mkdir(parents=True)
    (folder / "nnUNetPlans.json").write_text(json.dumps(content or plans(channels=channels)))
    names = {str(index): f"T{index}" for index in range(channels)}
    said = {"channel_names": names, "labels": {"background": 0, "organ": 1}, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(said))
    rng = np.random.default_rng(0)
    for number in range(count):
        data = rng.normal(size=(channels, 10, 20, 14)).astype(np.float32)
        seg = np.zeros((1, 10, 20, 14), np.int8)
        seg[:, 3:7, 6:12, 4:9] = 1
        seg[:, 0] = -1
        np.savez_compressed(arrays / f"case_{number:03d}.npz", data=data + 2 * seg, seg=seg)
    return folder


def write_image(path, shape=(14, 20, 10), spacing=(1.0, 1.0, 2.0), codes="RAS", seed=0):
    """A NIfTI whose voxels are zero outside a box; axes grow as the codes say."""
    rng = np.random.default_rng(seed)
    voxels = np.zeros(shape, np.float32)
    voxels[2:-1, 1:-2, 1:] = rng.uniform(10, 100, voxels[2:-1, 1:-2, 1:].shape)
    voxels[4, 4, 4] = 0  # a hole
    affine = nibabel.orientations.inv_ornt_aff(
        nibabel.orientations.ornt_transform(
            nibabel.orientations.axcodes2ornt("RAS"), nibabel.orientations.axcodes2ornt(codes)
        ),
        shape,
    )
    affine = affine @ np.diag([*spacing, 1.0])
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(voxels, affine), path)
    return voxels
