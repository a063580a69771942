"""The trainings of fine-tuning: one encoder on one data set, by the one engine; each is made once, and goes on."""

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from medgenesis.engines import PretextTrainer
from medgenesis.handlers import CollapseGuard, ValidatedSteps
from medgenesis.methods import Supervised
from medgenesis.networks import PooledClassifier
from medgenesis.statistics.scores import Judge
from medgenesis.storage.atomic import write_text
from medgenesis.storage.checkpoint import read_checkpoint, save_checkpoint
from medgenesis.storage.steps import Step, Steps
from medgenesis.transfer.encoder import Encoder
from medgenesis.transfer.features import pooled_vectors
from medgenesis.transfer.protocols.finetune_settings import Finetune
from medgenesis.transfer.protocols.training_data import TrainingData
from medgenesis.transfer.study_set import StudySet

WEIGHTS, RECORD = "classifier.pt", "training.json"


class FinetuneRuns:
    """Trainings of one encoder on one data set.

    Args:
        encoder: a copy of whose network is trained.
        study_set: with classes.
        settings: of all of them, but for what a single one is given.
        data: the images.
        folder: of the runs.
    """

    def __init__(
        self, encoder: Encoder, study_set: StudySet, settings: Finetune, data: TrainingData, folder: Path
    ) -> None:
        self.encoder, self.study_set, self.settings = encoder, study_set, settings
        self.data, self.folder = data, folder
        self.classes = int(study_set.labels.max()) + 1

    def trained(self, own: Finetune, name: str, train: np.ndarray, valid: np.ndarray | None) -> dict[str, Any]:
        """Train, or read what was trained with the same settings.

        Args:
            own: settings of this run.
            name: its folder, below that of all.
            train: rows to learn from.
            valid: rows to choose by; None: the last weights count.

        Returns:
            What is known of it, see `FinetuneResult.training`.
        """
        folder = self.folder / name
        steps = Steps(folder, {"training": Step((WEIGHTS, RECORD), ("last.pt", "best.pt"))}, changed="renew")
        made = {**asdict(own), **self.encoder.shown(self.data.intensity)}
        made["dataset (fingerprint)"] = self.study_set.fingerprint
        steps.once("training", made, lambda: self._train(own, folder, train, valid))
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))

    def _train(self, own: Finetune, folder: Path, train: np.ndarray, valid: np.ndarray | None) -> None:
        classifier = self._classifier(own.seed)
        loader = self.data.loader(train, own)
        optimizer = torch.optim.SGD(
            classifier.parameters(), own.rate, momentum=0.9, nesterov=True, weight_decay=own.weight_decay
        )
        cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, own.steps)
        judge = None if valid is None else lambda: self._score(classifier, valid, own.metric)
        looks = ValidatedSteps(folder, own.steps, judge, every=own.every, patience=own.patience)
        method = Supervised(classifier, nn.CrossEntropyLoss(), "class", torch.long)
        epochs = -(-own.steps // len(loader))
        PretextTrainer(
            self.encoder.device, epochs, loader, method, optimizer, cosine, [CollapseGuard(), looks], seed=own.seed
        ).run()
        best = valid is not None and not own.compat
        weights = read_checkpoint(folder / "best.pt") if best else classifier.state_dict()
        last = looks.rows[-1]
        told = {"rate": own.rate, "weight_decay": own.weight_decay, "step": looks.best_step if best else last["step"]}
        told |= {"score": looks.best if best else last.get("score"), "steps": last["step"]}
        save_checkpoint(weights, folder / WEIGHTS)
        whole = {**told, "ended_early": looks.ended_early, "curve": looks.rows}
        write_text(folder / RECORD, json.dumps(whole, indent=1) + "\n")

    def answers(self, weights: Path, rows: np.ndarray) -> np.ndarray:
        """Probabilities (rows, classes) by the weights of a file."""
        classifier = self._classifier(self.settings.seed)
        classifier.load_state_dict(read_checkpoint(weights, map_location=self.encoder.device))
        return self._probabilities(classifier, rows)

    def _classifier(self, seed: int) -> PooledClassifier:
        network = copy.deepcopy(self.encoder.network).requires_grad_(True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return PooledClassifier(network, self.data.width, self.classes).to(self.encoder.device)

    def _score(self, classifier: PooledClassifier, rows: np.ndarray, metric: str) -> float:
        return Judge(self.study_set.labels[rows], self._probabilities(classifier, rows))()[metric]

    @torch.no_grad()
    def _probabilities(self, classifier: PooledClassifier, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        tuned = replace(self.encoder, network=classifier.encoder)  # in evaluation mode
        inputs = self.data.inputs(rows)
        vectors = torch.stack(list(pooled_vectors(tuned, inputs, self.settings.batch_size)))
        logits = classifier.head(vectors.to(self.encoder.device)).double().cpu()
        return logits.softmax(1).numpy()
