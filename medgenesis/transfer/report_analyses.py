"""The parts of a study's page that need no class: saliency maps, invariance curves, views."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medgenesis.report import Report
from medgenesis.report.text import figure_text
from medgenesis.transfer.report_published import add_published
from medgenesis.transfer.result_settings import settings_said

_IMAGES = 3  # of an encoder

_NOTES = {
    "saliency": "diffusion: the share of pixels above the mean of the map, with the least and the most of the images.",
    "inversion": "Reconstructions from the features alone against the images, with the least and the most of them: "
    "ssim 1 and mse 0 of equal images; feature_error: what of the features is not met, as a share of them.",
    "perceptual": "Distances of the reconstructions from the images, smaller is nearer, with the least and the most of "
    "the images. lpips_…: LPIPS. features of …: distances of that network's features, on another scale, not LPIPS.",
    "invariance": "Cosine of the whitened features of an image and its changed copy, mean over the parameters but for "
    "the one that changes nothing.",
    "landmarks": "Share of the searches that end within so many pixels of the truth, and mean distance; same place: "
    "of the answer that looks at no image. Intervals are 95 %, over the patients whose landmarks are sought.",
    "locality": "silhouette, by cosine: 1 where landmarks stand apart; accuracy: of the neighbours from other images; "
    "distance ratio: within landmarks over between them, 0 is best.",
    "compositionality": "Cosine of the features of a whole and the mean of those of its parts, and how much more that "
    "is than of unrelated ones: of constant features it is 1, and the difference 0.",
    "cka": "Linear CKA of the pooled features of two encoders, plain and debiased (for few images): 1 for features "
    "that differ by a rotation and a scale, 0 for unrelated ones.",
    "multiview": "Whitened cosine of two views of a patient, and of two patients; retrieval: the patient's other view "
    "is the most similar of all. Intervals are 95 %, over patients.",
}

_CAPTIONS = {  # of the questions that leave images
    "saliency": "the warmer, the more the features change.",
    "locality": "landmarks of all images, along the two main directions of their features.",
    "inversion": "the image, and what its features tell of it.",
}


def add_analysis(report: Report, question: str, results: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Add the table of one question, and its curves or images.

    Args:
        report: the page.
        question: of `_NOTES`.
        results: of that question.
        folder: of the study.
    """
    measures = list(dict.fromkeys(name for result in results for name in result["figures"]))
    rows = [
        (
            " and ".join([result["encoder"]["name"], *([result["other"]["name"]] if question == "cka" else [])]),
            result["dataset"]["dataset"],
            *(figure_text(result["figures"].get(m)) for m in measures),
            settings_said(result, results),
        )
        for result in results
    ]
    report.table(("encoder", "data set", *measures, "settings"), rows, _NOTES.get(question, question))
    for dataset in dict.fromkeys(result["dataset"]["dataset"] for result in results):
        own = [result for result in results if result["dataset"]["dataset"] == dataset]
        add_published(report, question, dataset, own)
    if question in _CAPTIONS:
        for result in results:
            place = folder / question / result["path"].stem
            images = [
                (np.asarray(Image.open(path)), _caption(result, results))
                for path in sorted(place.glob("*.png"))[:_IMAGES]
            ]
            if images:
                report.gallery(images)
    if question == "invariance":
        _curves(report, results)


def add_training(report: Report, results: Sequence[Mapping[str, Any]]) -> None:
    """Of what was fine-tuned the score on validation at every look, and which weights were tested.

    Args:
        report: the page.
        results: of "finetune"; none adds nothing.
    """
    for dataset in dict.fromkeys(result["dataset"]["dataset"] for result in results):
        own = [result for result in results if result["dataset"]["dataset"] == dataset]
        names = [result["encoder"]["name"] for result in own]
        curves, rows = {}, []
        for number, (name, result) in enumerate(zip(names, own, strict=True), 1):
            training, label = result["training"], name if names.count(name) == 1 else f"{name} ({number})"
            looks = [(row["step"], row["score"]) for row in training["curve"] if "score" in row]
            if looks:
                curves[label] = tuple(np.array(looks, float).T)
            rows.append((label, *(training[key] for key in ("rate", "weight_decay", "steps", "step", "score"))))
        if curves:
            said = f"{dataset}: the metric of validation while it is fine-tuned."
            report.curves(curves, "step", "validation", said)
        headings = ("encoder", "rate", "weight decay", "steps done", "tested are those of step", "validation")
        report.table(headings, rows, f"{dataset}: what was tested.")


def _curves(report: Report, results: Sequence[Mapping[str, Any]]) -> None:
    for dataset in dict.fromkeys(result["dataset"]["dataset"] for result in results):
        own = [result for result in results if result["dataset"]["dataset"] == dataset]
        for change in dict.fromkeys(name for result in own for name in result["figures"]):
            curves = {}
            for result in (one for one in own if change in one["curves"]):
                points = ([row[name] for row in result["curves"][change]] for name in ("parameter", "similarity"))
                curves[result["encoder"]["name"]] = tuple(np.array(axis, float) for axis in points)
            if curves:
                report.curves(curves, change, "similarity", f"{dataset}: {change}.")


def _caption(result: Mapping[str, Any], among: Sequence[Mapping[str, Any]]) -> str:
    settings = settings_said(result, among)
    whose = f"{result['encoder']['name']} on {result['dataset']['dataset']}" + (f" ({settings})" if settings else "")
    return f"{whose}: {_CAPTIONS[result['question']]}"
