"""The label of a place by its features: of the most similar labelled places, or by a logistic regression."""

import warnings

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Tensor

METHODS = ("nearest", "linear")
_NEIGHBOURS, _TEMPERATURE = 5, 0.1


class PlaceClassifier:
    """From features of places to shares of the labels; features are standardised as the labelled places have them.

    Args:
        method: "nearest", a vote of the 5 labelled places most similar by cosine; "linear", a logistic regression.
        features: of the labelled places, (P, d).
        truth: their labels, (P,).
        weights: how many places of the image each stands for, (P,).

    Attributes:
        classes: the labels, ascending.
    """

    def __init__(self, method: str, features: np.ndarray, truth: np.ndarray, weights: np.ndarray) -> None:
        self.mean, deviation = features.mean(0), features.std(0)
        self.deviation = np.where(deviation > 1e-6, deviation, 1.0)
        scaled = (features - self.mean) / self.deviation
        self.classes, self.truth = np.unique(truth, return_inverse=True)
        self.model = None
        if method == "linear" and len(self.classes) > 1:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model = LogisticRegression(C=0.1, max_iter=100)
                self.model = model.fit(scaled, self.truth, sample_weight=weights / weights.mean())
        else:
            self.known = torch.nn.functional.normalize(torch.from_numpy(scaled).float(), dim=1)

    def __call__(self, features: Tensor) -> Tensor:
        """Shares (P, labels) of places with features (P, d)."""
        scaled = (features.numpy() - self.mean) / self.deviation
        if self.model is not None:
            return torch.from_numpy(self.model.predict_proba(scaled))
        units = torch.nn.functional.normalize(torch.from_numpy(scaled).float(), dim=1)
        likeness, nearest = (units @ self.known.T).topk(min(_NEIGHBOURS, len(self.known)), dim=1)
        votes = ((likeness - 1) / _TEMPERATURE).exp()
        shares = torch.zeros(len(units), len(self.classes))
        shares.scatter_add_(1, torch.from_numpy(self.truth)[nearest], votes)
        return shares / shares.sum(1, keepdim=True)
