"""Fine-tuning on the labels that were saved, by the bundle's own `finetune.yaml`."""

import logging
import time
from collections.abc import Collection, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from monai.bundle import ConfigWorkflow
from monailabel.interfaces.tasks.train import TrainTask

from medgenesis.data.datalists import write_datalist
from medgenesis.errors import DatalistError
from medgenesis.label_app.app_folder import labels_of
from medgenesis.label_app.class_order import order_of
from medgenesis.label_app.config_parts import fine_tuning_parts
from medgenesis.label_app.history import DATALIST, MODEL, History
from medgenesis.label_app.labelled import Labelled, labelled_studies, split_labelled
from medgenesis.label_app.measure import mean_dice
from medgenesis.label_app.settings import AppSettings

STARTS = ("self-supervised", "last", "scratch")

logger = logging.getLogger(__name__)


class FineTuneTask(TrainTask):
    """Fine-tune from self-supervised weights (or from the last model) on what is labelled.

    A label that cannot be used is named and left out, the others train. Where validation studies are kept (five
    labels and more), the epoch that is best on them is the model, and a model that is worse on them than the
    one before it is not shown. Killed or stopped, the best epoch so far stays.

    Args:
        settings: of the app.
        app: its folder.
        history: receives the training.
        epochs: what viewers propose.
    """

    def __init__(self, settings: AppSettings, app: str | Path, history: History, epochs: int = 100) -> None:
        super().__init__(f"Fine-tune {settings.name} on the labels saved so far")
        self.settings, self.app, self.history, self.epochs = settings, Path(app), history, epochs

    def config(self) -> dict[str, Any]:
        """What a viewer may change."""
        starts = ["scratch", "last"] if self.settings.weights == "scratch" else list(STARTS)  # the first is the default
        return {"max_epochs": self.epochs, "val_split": 0.2, "start": starts}

    def stats(self) -> dict[str, Any]:
        """Of the last training that came to its end."""
        ended = [one for one in map(self.history.result, self.history.trainings()) if one]
        return ended[-1] if ended else {}

    def __call__(self, request: Mapping[str, Any], datastore: Any) -> dict[str, Any]:
        """Train, and say what was found.

        Raises:
            DatalistError: no label that can be used, or options that make no sense.
        """
        began = time.perf_counter()
        epochs, share, start = self._asked(request)
        previous = self.history.current()
        folder = self.history.begin()
        start, weights = self._begun_with(start, previous)
        steps = fine_tuning_parts(self.settings, weights, ("preprocessing",))["preprocessing"]
        labelled, left_out = labelled_studies(datastore, self.settings.classes, folder / "labels", steps)
        for name, why in left_out.items():
            logger.warning("left out: %s (%s)", name, why)
        if not labelled:
            why = "".join(f"; {name}: {reason}" for name, reason in left_out.items())
            raise DatalistError(f"labels: must be saved before training; found none that can be used{why}. Save some.")
        known = self.history.learnt_from()
        training, validation = split_labelled(labelled, share, self.history.folder / "validation.json", known)
        logger.info("training on %d studies, validating on %d", len(training), len(validation))
        self.history.note(folder, [one.name for one in training])
        self._run(folder, training, validation, epochs, weights)
        result = {
            "studies": len(training),
            "validation": len(validation),
            "left_out": left_out,
            "start": start,
            "epochs": epochs,
            **self._compared(folder / MODEL, previous, validation, known),
            "total_time": f"{time.perf_counter() - began:.0f} s",
        }
        self.history.conclude(folder, result)
        return result

    def _asked(self, request: Mapping[str, Any]) -> tuple[int, float, str]:
        own = self.config()
        epochs, share, start = (request.get(name, own[name]) for name in ("max_epochs", "val_split", "start"))
        start = start[0] if isinstance(start, (list, tuple)) else start
        try:
            epochs, share = int(epochs), float(share)
        except (TypeError, ValueError):
            epochs = 0
        if epochs < 1 or not 0 <= share < 1 or start not in STARTS:
            raise DatalistError(
                f"options: max_epochs must be at least 1, val_split below 1, start one of {', '.join(STARTS)}; found "
                f"{epochs}, {share}, {start}. Correct the options of the training."
            )
        return epochs, share, start

    def _begun_with(self, start: str, previous: Path | None) -> tuple[str, str]:
        """What a training really begins with, in the words of the options, and the weights."""
        if start == "last" and previous is not None:
            return start, str(previous)
        weights = "scratch" if start == "scratch" else self.settings.weights
        begun = "scratch" if weights == "scratch" else "self-supervised"
        if start != begun:
            why = "there is no model yet" if start == "last" else "the app has no self-supervised weights"
            logger.warning("start: %s was asked for, and %s: the training begins with %s", start, why, begun)
        return begun, weights

    def _run(self, folder: Path, training: list, validation: list, epochs: int, weights: str) -> None:
        order = order_of(self.settings.labels, labels_of(weights)) or [0, *self.settings.classes.values()]
        numbers = dict(zip(self.settings.labels, order[1:], strict=True))  # of the model that the training goes on from
        names = {"0": "background", **{str(value): name for name, value in sorted(numbers.items(), key=itemgetter(1))}}
        merge = {value: [self.settings.classes[name]] for name, value in numbers.items()}
        sections = {"training": training, "validation": validation}
        records = {name: [one.record for one in studies] for name, studies in sections.items()}
        write_datalist({"name": self.settings.name, "labels": names, **records}, folder / DATALIST)
        workflow = ConfigWorkflow(
            config_file=self.settings.files("finetune"),
            workflow_type="train",
            logging_file=False,
            **{
                "num_workers": 0,
                **self.settings.settings,
                "bundle_root": str(self.app),
                "output_dir": str(folder),
                "cache_dir": str(folder / "cache"),
                "datalist": str(folder / DATALIST),
                "init": weights,
                "label_merge": {} if order == sorted(order) else merge,
                "num_classes": len(names),
                "finetune_epochs": epochs,
                "val_interval": max(1, epochs // 10),
                "on_error": "skip",
            },
        )
        workflow.initialize()
        workflow.run()
        workflow.finalize()

    def _compared(
        self, model: Path, previous: Path | None, validation: list[Labelled], known: Collection[str]
    ) -> dict[str, Any]:
        """Dice of the new model, and whether it is worse than the one before on studies that none has learnt from."""
        if not validation:
            return {"best_metric": None, "worse": False}
        best = mean_dice(self.settings, model, validation)
        fair = [one for one in validation if one.name not in known]
        dice, earlier = best, None
        if previous is not None and fair:
            dice = best if len(fair) == len(validation) else mean_dice(self.settings, model, fair)
            earlier = mean_dice(self.settings, previous, fair)
        worse = earlier is not None and dice < earlier
        if worse:
            logger.warning("Dice %.3f, below %.3f of the model before: that one stays in use", dice, earlier)
        return {"best_metric": round(best, 4), "earlier_metric": earlier and round(earlier, 4), "worse": worse}
