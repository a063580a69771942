"""The transfer study's published numbers, as data, to stand beside ours.

Source: the tables committed with Anton, Castelli, Chan, Outters, Tang, Cheung, Shukla, Walambe, Kotecha, "How Well Do
Self-Supervised Models Transfer to Medical Imaging?", J. Imaging 8(12):320, 2022. Accuracies in per cent; few-shot: 20
shots, 15 queries, 600 episodes, mean ± 1.96 sd / sqrt(600).
"""

import re

MODELS = (
    *("simclr-v1", "moco-v2", "swav", "byol", "pirl", "supervised-r50", "supervised-r18", "supervised-d121"),
    *("mimic-chexpert-lr-0.01", "mimic-chexpert-lr-0.1", "mimic-chexpert-lr-1.0"),
    *("moco-cxr-r18", "moco-cxr-d121"),  # mimic-cxr_… in the study's files
)
MEAN_OF_CLASSES = ("eyepacs", "stoic")  # data sets that the study judges by the mean of the classes
FIVE_WAY = ("eyepacs", "chestxray14_single", "cifar10")  # episodes of the others have two classes
SHOTS, FINDING = 20, "Pleural Effusion"  # labelled images a class; of CheXpert
IMAGENET_TOP1 = dict(zip(MODELS, (69.30, 71.10, 75.30, 74.30, 61.70, 77.20, 72.12, 74.98), strict=False))
_FEW_SHOT_COLUMNS = (
    *("shenzhen", "montgomery", "bach", "ichallenge_amd", "ichallenge_pm", "chexpert", "stoic"),
    *("eyepacs", "chestxray14_single", "cifar10 2-way", "cifar10"),
)
_FEW_SHOT = """
74.46±0.66 63.20±0.80 80.61±0.74 74.90±0.62 94.92±0.32 59.73±0.72 51.63±0.73 32.78±0.42 29.86±0.46 91.70±0.66 77.78±0.53
73.76±0.66 63.54±0.74 82.53±0.71 74.91±0.64 94.21±0.33 57.39±0.75 50.96±0.72 34.07±0.43 28.69±0.44 90.69±0.70 76.47±0.49
75.22±0.65 67.38±0.71 82.78±0.65 70.94±0.66 94.69±0.31 57.61±0.77 52.51±0.76 34.47±0.43 27.76±0.44 92.22±0.62 78.38±0.53
76.29±0.65 70.98±0.67 83.28±0.66 74.58±0.61 95.83±0.28 58.44±0.74 52.79±0.72 33.66±0.40 30.28±0.46 91.92±0.62 78.43±0.49
77.48±0.60 63.58±0.76 81.02±0.69 75.26±0.60 93.49±0.35 58.51±0.76 50.61±0.72 34.19±0.41 28.52±0.44 88.70±0.73 70.73±0.54
70.86±0.72 62.31±0.75 80.49±0.68 75.70±0.64 94.80±0.33 56.14±0.76 51.32±0.75 31.32±0.43 27.71±0.46 94.68±0.47 83.84±0.43
74.16±0.66 62.94±0.69 80.78±0.71 74.59±0.62 93.68±0.35 57.69±0.80 52.54±0.74 32.96±0.41 28.58±0.40 94.07±0.55 81.37±0.49
73.43±0.65 65.31±0.67 81.21±0.70 77.12±0.60 94.86±0.30 57.41±0.78 51.99±0.73 33.49±0.42 27.88±0.44 93.29±0.55 81.84±0.45
69.08±0.68 69.15±0.66 66.86±0.96 62.72±0.75 78.84±0.67 62.10±0.73 51.70±0.70 22.56±0.38 33.73±0.45 69.58±0.89 41.88±0.52
73.22±0.64 67.54±0.63 69.66±1.04 62.87±0.74 83.66±0.54 61.57±0.78 52.46±0.74 25.71±0.40 34.79±0.50 71.32±0.89 42.43±0.54
68.62±0.72 67.13±0.65 71.60±0.98 65.05±0.72 76.90±0.58 62.45±0.75 52.39±0.73 22.23±0.37 34.82±0.48 69.51±0.90 41.73±0.54
73.89±0.64 57.25±0.69 66.96±0.88 60.08±0.75 79.06±0.61 58.06±0.74 53.79±0.76 24.27±0.38 26.15±0.41 71.40±0.98 43.59±0.55
67.69±0.68 65.02±0.70 69.07±0.82 68.17±0.72 87.59±0.47 60.33±0.74 52.73±0.75 27.78±0.41 29.01±0.46 78.08±0.94 52.34±0.59
"""
_LINEAR = {  # accuracy (pleural effusion or not); mean accuracy of the classes
    "chexpert": (75.01, 74.94, 74.97, 74.61, 74.20, 73.47, 71.43, 72.50, 75.97, 77.28, 75.66, 74.27, 74.76),
    "eyepacs": (31.51, 32.18, 37.61, 34.27, 31.51, 31.46, 30.52, 33.96, 21.26, 22.85, 20.99, 20.91, 24.96),
}
_FINETUNE = {  # likewise; those of EyePACS are not of all models
    "chexpert": (75.82, 79.96, 77.84, 78.97, 78.30, 79.43, 79.31, 79.62, 78.68, 78.80, 77.87, 74.98, 74.55),
    "eyepacs": (36.48, 45.64, 44.47, 41.17, 40.89, 47.08, 42.66, 40.18),
}
_CELL = re.compile(r"([\d.]+)±([\d.]+)")


def published_metric(dataset: str) -> str:
    """What the study judges a data set's classes by: "balanced_accuracy", the mean of the classes, or "accuracy"."""
    return "balanced_accuracy" if dataset in MEAN_OF_CLASSES else "accuracy"


def published_few_shot(dataset: str) -> dict[str, tuple[float, float]]:
    """Model -> accuracy and half-width of the study, as shares; empty for a data set that is not of the study.

    Args:
        dataset: name, as in the registry; "eyepacs", "chestxray14_single" and "cifar10" are 5-way, the others 2-way.
    """
    if dataset not in _FEW_SHOT_COLUMNS:
        return {}
    column = _FEW_SHOT_COLUMNS.index(dataset)
    rows = [_CELL.findall(line)[column] for line in _FEW_SHOT.strip().splitlines()]
    return {model: (float(mean) / 100, float(half) / 100) for model, (mean, half) in zip(MODELS, rows, strict=True)}


def published_linear(dataset: str) -> dict[str, float]:
    """Model -> accuracy of the study, as a share (EyePACS: mean of the classes); empty for other data sets."""
    return {model: value / 100 for model, value in zip(MODELS, _LINEAR.get(dataset, ()), strict=False)}


def published_finetune(dataset: str) -> dict[str, float]:
    """Model -> accuracy of the study after fine-tuning, likewise."""
    return {model: value / 100 for model, value in zip(MODELS, _FINETUNE.get(dataset, ()), strict=False)}
