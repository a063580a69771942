"""Values that no task can run with: said by the setting's name before hours of reading, not by a stack of calls."""

import numbers
import re
from collections.abc import Callable, Mapping
from typing import Any

from medgenesis.bundles.reading import Reading


def refuse_impossible_values(reading: Reading) -> None:
    """Refuse a value of the config being read that its setting cannot have, a text for a number for example.

    Settings are known by the names that the bundles' configs share (`RULES`); others are left to what uses them.

    Raises:
        ValueError: there is one.
    """
    config = reading.parser.get()
    for id, said in config.items():
        if id in RULES and not _is_computed(said):
            possible, rule, remedy = RULES[id]
            value = reading.parser.get_parsed_content(id)
            if not possible(value):
                raise ValueError(f"{id}: must be {rule}; found {value!r}. {remedy}")


def _is_computed(said: Any) -> bool:
    """Whether a value is worked out from other parts of the config: `num_classes` reads all label maps, for example."""
    return isinstance(said, str) and said.startswith("$") and bool({*re.findall(r"@(\w+)", said)} - {"settings"})


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and value >= least


def _number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and abs(float(value)) < float("inf")


def _positive(value: Any) -> bool:
    return _number(value) and value > 0


def _sides(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and len(value) == 3 and all(_whole(side, 1) for side in value)


def _spacing(value: Any) -> bool:
    several = isinstance(value, (list, tuple)) and len(value) == 3 and all(map(_positive, value))
    return value is None or several or _positive(value)


def _share(value: Any) -> bool:
    return _number(value) and 0 < value <= 1


def _mapping(value: Any) -> bool:
    return value is None or isinstance(value, Mapping)


def refuse_missing_device(reading: Reading) -> None:
    """Refuse a `device` of the config being read that this machine has not.

    Raises:
        ValueError: it is none, or not here.
    """
    import torch

    if "device" not in reading.parser.get():
        return
    value = reading.parser.get_parsed_content("device")

    try:
        device = torch.device(value)
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(
            f"device: must be cpu, cuda, cuda:1 or the like; found {value!r}. Write one of them."
        ) from error
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        usable = f"PyTorch {torch.__version__} sees {count} CUDA devices"
        raise ValueError(f"device: must be one of this machine; found {value!s}, and {usable}. Give --device cpu.")


Rule = tuple[Callable[[Any], bool], str, str]  # whether a value is possible, what it must be, what to do


def _rules(rule: Rule, ids: str) -> dict[str, Rule]:
    return dict.fromkeys(ids.split(), rule)


def _one_of(id: str, *words: str) -> dict[str, Rule]:
    return _rules((lambda value: value in words, f"one of {', '.join(words)}", "Choose one of them."), id)


_COUNTS = """width batch_size volumes_per_batch crops_per_volume patches_per_image accumulation_steps warmup_iterations
    pretrain_epochs finetune_epochs classify_epochs autoencoder_epochs val_interval lr_step_epochs queue_size classes
    train_patients size block_size lr_patience"""
RULES: Mapping[str, Rule] = {
    **_rules((lambda value: _whole(value, 1), "a whole number above 0", "Give 1 or more."), _COUNTS),
    **_rules(
        (lambda value: value is None or _whole(value, 1), "a whole number above 0, or null", "Give 1 or more."),
        "save_every num_classes classifier_hidden cache_num max_image_side steps patience",
    ),
    **_rules(
        (lambda value: _whole(value, 0), "a whole number", "Give 0 or more."),
        "num_workers seed level validation_patients warmup_epochs norm_batches",
    ),
    **_rules((_positive, "a number above 0", "Write it as 0.001 or, in YAML, 1.0e-3."), "learning_rate"),
    **_rules((_positive, "a number above 0", "Give 30, for example."), "timeout_minutes reading_hours"),
    **_rules(
        (lambda value: _number(value) and 0 <= value < 1, "from 0 to below 1", "Give 0.5, for example."), "overlap"
    ),
    **_rules(
        (lambda value: _number(value) and 0 < value < 1, "between 0 and 1", "Give 0.75, for example."), "mask_ratio"
    ),
    **_rules((_share, "above 0 and at most 1", "Give 0.75, for example, or 1 for none."), "layer_decay"),
    **_rules((_mapping, "a mapping of parts, or null", "Write \"{'encoder': 20}\", for example."), "freeze"),
    **_rules((_mapping, "a mapping of parts, or null", "Write \"{'encoder': 0.1}\", for example."), "rates"),
    **_rules(
        (_mapping, "a mapping of classes to labels, or null", "Write \"{'1': '10-14,20'}\", for example."),
        "label_merge probe_label_merge",
    ),
    **_one_of("schedule", "cosine", "plateau", "constant"),
    **_one_of("init_parts", "all", "encoder"),
    **_rules((_sides, "three whole numbers above 0", "Write [64,64,32], for example."), "cube_size volume_size"),
    **_rules(
        (_spacing, "a number of millimetres above 0, one for each axis, or null", "Write [1,1,2.5]."), "spacing_mm"
    ),
}
