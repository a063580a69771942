"""A copy of a bundle whose network and preprocessing are those of nnU-Net's plans.

The configs stay whole files that people read and change: the entries that speak of the bundle's own network and
preprocessing are replaced by those of the plan, which stands once, in `settings.yaml`.
"""

import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from medgenesis.bundles.catalog import copy, names
from medgenesis.bundles.model_card import write_model_card
from medgenesis.bundles.shared import SETTINGS
from medgenesis.bundles.yaml_edits import Entry, edited

_PLAN = "plan: $@settings['plan'] # nnU-Net's: axes, spacing, normalisation, network"
_NETWORK = """_target_: medgenesis.networks.planned_network # of the package that nnU-Net takes it from
architecture: $@plan['architecture']"""
_RANGES = "channel_ranges: \"$[one['range'] for one in @plan['channels']]\" # null: each cube's own"
_GONE = ("spacing_mm", "width", "norm")  # what the plan says in their place
_OVERLAYS = ("quick.yaml", "device.yaml", "evaluate.yaml", "multi_gpu.yaml", "inference_trt.yaml")
_QUICK = ("width", "cube_size", "block_size", "batch_size")
_OF_THE_BUNDLE = ("intensity", *_GONE, "cube_size", "crop_criterion")  # of its settings
_LEFT = re.compile(
    r"UNet3D|'@(width|norm|intensity|spacing_mm)'|medgenesis\.data\.preprocessing\b|^width:", re.MULTILINE
)


def can_be_planned() -> tuple[str, ...]:
    """The bundles that a plan can be put into: those of one 3D network that restores."""
    return tuple(name for name in names() if name in ("masked_autoencoder_ct", "models_genesis_ct"))


def copy_planned(name: str, folder: str | Path, plan: Mapping[str, Any], origin: str) -> Path:
    """Copy the bundle `name` to `folder` for the network and the preprocessing of a plan.

    Args:
        name: of `can_be_planned`.
        folder: new or empty.
        plan: plain values, as `medgenesis.data.nnunet.plan_of` gives them.
        origin: what the plan was read from, for the bundle's page.

    Raises:
        ValueError: another bundle, or a folder that holds something.
    """
    if name not in can_be_planned():
        raise ValueError(
            f"--bundle: must be one of {', '.join(can_be_planned())}; found {name!r}. Choose one of them: others need "
            "a network of their own."
        )
    folder = copy(name, folder)
    configs = folder / "configs"
    for path in sorted(configs.glob("*.yaml")):
        if path.is_symlink():  # train.yaml to finetune.yaml
            continue
        if path.name in _OVERLAYS or "bundle_root:" in path.read_text(encoding="utf-8") or path.name == SETTINGS:
            path.write_text(_rewritten(path, plan), encoding="utf-8")
        else:  # an overlay of the published network and tasks
            path.unlink()
    for path in (*(folder / "models").glob("*.pt"), folder / "docs" / "data_license.txt"):  # of the phantom's weights
        path.unlink(missing_ok=True)
    (folder / "docs" / "tasks.md").unlink()  # of the family's settings, and of exports that the plan's network has not
    for path in configs.glob("infer.json"):
        path.write_text(_infer(path), encoding="utf-8")
    (folder / "large_files.yml").write_text("large_files: []\n", encoding="utf-8")
    (configs / "metadata.json").write_text(_metadata(configs / "metadata.json", plan), encoding="utf-8")
    (folder / "docs" / "README.md").write_text(_page(name, folder.name, plan, origin), encoding="utf-8")
    write_model_card(folder)
    return folder


def _rewritten(path: Path, plan: Mapping[str, Any]) -> str:
    text = path.read_text(encoding="utf-8")
    if path.name == SETTINGS:
        return _settings(text, plan)
    if path.name == "quick.yaml":
        text = edited(text, lambda entry: "" if entry.id in _QUICK else None)
        return text.replace("small network, small cubes, few epochs", "few epochs; the network is as planned")
    batches = {"volumes_per_batch": f"{plan['batch_size']} # the plans' batch", "crops_per_volume": "1"}
    if path.name == "pretrain.yaml":
        batches["batch_size"] = f"{plan['batch_size']} # the plans'"
    text = edited(text, partial(_planned, batches=batches))
    left = _LEFT.search(text)
    if left:  # a bundle's file was changed, and this file was not
        raise RuntimeError(
            f"{path.name}: must be of the plan alone; found {left[0]!r}. Mend the replacements of medgenesis.bundles."
        )
    return text


def _planned(entry: Entry, batches: Mapping[str, str]) -> str | None:
    """What a plan says in the place of an entry of a task; "": nothing; None: the entry stays."""
    id, value = entry.id, entry.value
    if entry.path == ("network_def",):
        return _NETWORK if id == "_target_" else None if id in ("in_channels", "out_channels") else ""
    if (entry.path, id) == (("page",), "intensity"):
        return "intensity: mri_percentile"  # of the page alone, whatever was scanned
    if value in (f"@{id}", f"$@settings['{id}']") and id in ("intensity", *_GONE):
        return "" if id in _GONE else "plan: '@plan'" if value == "@intensity" else _PLAN
    if (id, value) == ("_target_", "medgenesis.data.preprocessing"):
        return "_target_: medgenesis.data.nnunet.nnunet_preprocessing"
    if (id, value) == ("criterion", "foreground"):
        return "criterion: any"
    if entry.path == ("corrupt",) and id == "preset":
        return f"{id}: {value}\n{_RANGES}"
    if entry.path == () and id == "in_channels":
        return "in_channels: $len(@plan['channels'])"
    return f"{id}: {batches[id]}" if entry.path == () and id in batches else None


def _settings(text: str, plan: Mapping[str, Any]) -> str:
    half = min(plan["patch_size"]) // 2  # two blocks or more along each axis
    block = f"block_size: {next((size for size in (16, 8, 4) if size <= half), 2)} # voxels a side"
    rules = {**dict.fromkeys(_OF_THE_BUNDLE, ""), "block_size": block}
    kept = edited(text, lambda entry: rules.get(entry.id))
    # plain values alone, and aliases for none: whoever reads the file should see them where they count
    shown = yaml.dump(json.loads(json.dumps(plan)), sort_keys=False, default_flow_style=None, width=110)
    block = "".join(f"  {line}\n" for line in shown.splitlines())
    return (
        f"{kept.rstrip()}\n"
        f"cube_size: {list(plan['patch_size'])} # the plans' patch, in nnU-Net's order of axes\n"
        "crop_criterion: any # as nnU-Net draws patches; the others are thresholds of the scale from 0 to 1\n"
        f"plan: # what nnU-Net's plans say; another plan is another bundle\n{block}"
    )


def _infer(path: Path) -> str:
    """The network's definition for `monai.bundle.load`, which reads JSON alone."""
    said = json.loads(path.read_text(encoding="utf-8"))
    network = said["network_def"]
    kept = {key: network[key] for key in ("in_channels", "out_channels")}
    said = {key: value for key, value in said.items() if key not in ("width", "norm")}
    said |= {"plan": "$@settings['plan']", "in_channels": "$len(@plan['channels'])"}
    planned = {"_target_": "medgenesis.networks.planned_network", "architecture": "$@plan['architecture']"}
    return json.dumps({**said, "network_def": {**planned, **kept}}, indent=4) + "\n"


def _metadata(path: Path, plan: Mapping[str, Any]) -> str:
    said = json.loads(path.read_text(encoding="utf-8"))
    channels = [channel["name"] for channel in plan["channels"]]
    network = plan["architecture"]["network_class_name"].rpartition(".")[2]
    said["name"] = f"{said['name'].partition(',')[0]}, nnU-Net {plan['configuration']}"
    said["description"] = (
        f"Pre-trains the {network} of nnU-Net's plans on unlabelled images; the weights start a fold of nnU-Net, or "
        "segmentation and classification here. Comes without weights."
    )
    said["data_source"], said["data_type"] = "nnU-Net's preprocessed arrays, or raw images", "b2nd, npz, nifti, nrrd"
    said["image_classes"] = f"{len(channels)} channels ({', '.join(channels)}), normalised as nnU-Net's plans say"
    said["required_packages_version"]["dynamic-network-architectures"] = "0.4.4"
    for way in ("inputs", "outputs"):
        for one in said["network_data_format"][way].values():
            one["spatial_shape"] = list(plan["patch_size"])
    image = said["network_data_format"]["inputs"]["image"]
    image |= {"num_channels": len(channels), "format": "magnitude", "modality": "n/a", "value_range": []}
    image["channel_def"] = {str(index): name for index, name in enumerate(channels)}
    return json.dumps(said, indent=4) + "\n"


def _page(name: str, folder: str, plan: Mapping[str, Any], origin: str) -> str:
    network = plan["architecture"]["network_class_name"].rpartition(".")[2]
    schemes = ", ".join(f"{channel['name']}: {channel['scheme']}" for channel in plan["channels"])
    return f"""# {network} of nnU-Net, pre-trained without labels

The method is that of `{name}`; network, patch, spacing, normalisation and channels are those of nnU-Net's plans.

| | |
|---|---|
| plans | {origin}, {plan["configuration"]} |
| network | {network}, `medgenesis.networks.planned_network` |
| patch | {list(plan["patch_size"])} voxels of {list(plan["spacing"])} mm, in nnU-Net's order of axes |
| channels | {schemes} |

```
medgenesis nnunet datalist PREPROCESSED --out list.json      # nnUNet_preprocessed/DATASET/…_{plan["configuration"]}
medgenesis run {folder} pretrain --datalist list.json        # learn without labels
medgenesis nnunet export {folder}/models/pretrained.pt --out start.pth
nnUNetv2_train DATASET {plan["configuration"]} FOLD -pretrained_weights start.pth
```

Images are nnU-Net's preprocessed arrays, taken as they are, or files with geometry, which go through the same steps.
All numbers of the plans stand in `configs/settings.yaml`, under `plan`, and among the weights. Research use: not for
diagnosis or treatment.
"""
