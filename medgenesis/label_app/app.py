"""The app that MONAI Label's server, and the process that trains, make from the folder of an app."""

import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from monailabel.config import settings as server_settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore, DefaultLabelTag
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.activelearning.first import First
from monailabel.tasks.activelearning.random import Random

from medgenesis import __version__
from medgenesis.errors import VolumeError
from medgenesis.label_app.asked_server import client_of
from medgenesis.label_app.click_task import ClickTask
from medgenesis.label_app.datastore import StudyFolder
from medgenesis.label_app.devices import device_of
from medgenesis.label_app.dicomweb import image_info
from medgenesis.label_app.dicomweb_studies import DicomWebStudies
from medgenesis.label_app.draft_task import DraftTask
from medgenesis.label_app.features import StudyFeatures
from medgenesis.label_app.history import History
from medgenesis.label_app.infer_task import Models, SegmentTask, no_study
from medgenesis.label_app.plain_names import plain_tag
from medgenesis.label_app.plain_sessions import PlainSessions
from medgenesis.label_app.restoration import Restoration
from medgenesis.label_app.scribble_task import ScribbleTask
from medgenesis.label_app.sent_files import lies_in
from medgenesis.label_app.settings import AppSettings
from medgenesis.label_app.start import dicomweb_cache
from medgenesis.label_app.strategies import ByFeatures, ByScore, FlipDisagreement, Strangeness, StudyScore
from medgenesis.label_app.studies import is_address
from medgenesis.label_app.train_task import FineTuneTask

logger = logging.getLogger(__name__)


class LabelApp(MONAILabelApp):
    """Segmentation, fine-tuning and the choice of the next study, for one bundle.

    Args:
        app_dir: the app's folder, as `prepare` writes it.
        studies: folder of the studies, as `gather_studies` fills it, or the address of a DICOMweb server.
        conf: of MONAI Label; nothing of it is needed.
    """

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.settings = AppSettings.read(app_dir)
        self.history = History(app_dir, self.settings)
        self.models = Models(self.settings, self.history)
        self.draft = DraftTask(self.settings, app_dir, self.datastore)
        restoration = Restoration(self.settings)
        self.scores: dict[str, StudyScore] = {"uncertain": FlipDisagreement(self.models)}
        if restoration.possible:
            self.scores["strange"] = Strangeness(restoration)
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name=self.settings.name,
            description="Fine-tuning from self-supervised weights (medgenesis). Research; not for diagnosis",
            version=__version__,
            labels=list(self.settings.labels),
        )

    def init_datastore(self) -> Datastore:
        """The folder of the studies, or the DICOMweb server."""
        if is_address(self.studies):
            self._download_dcmqi_tools()
            return self._on_server(self.studies.strip().rstrip("/"))
        reload = bool(server_settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD)
        turned = Path(self.app_dir) / "ohif"
        return StudyFolder(self.studies, self.settings.classes, reload, self.settings.modality, turned)

    def _on_server(self, address: str) -> Datastore:
        search = dict(server_settings.MONAI_LABEL_DICOMWEB_SEARCH_FILTER)
        if "MONAI_LABEL_DICOMWEB_SEARCH_FILTER" not in os.environ:
            search["Modality"] = self.settings.modality
        frames = bool(server_settings.MONAI_LABEL_DICOMWEB_FETCH_BY_FRAME)
        cache = dicomweb_cache(self.app_dir)
        store = DicomWebStudies(client_of(address), self.settings.classes, search, cache, frames)
        store.warn_of_none()
        return store

    def on_init_complete(self) -> None:
        """Name the trainings that are not shown, and a network that gives no draft, when the server starts."""
        for name, labels in self.history.passed_over().items():
            own = ", ".join(self.settings.labels)
            logger.warning("training %s is passed over: it is of %s, not of %s; --labels chooses", name, labels, own)
        if (network := self.draft.unknown) is not None:
            logger.warning("no draft before a training: where the feature maps of %s are is not known", network)
        super().on_init_complete()

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        """The next study, with what OHIF opens it by; what shows itself to be no volume is passed over."""
        unusable = getattr(self.datastore(), "unusable", ())
        while True:
            known = len(unusable)
            try:
                found = super().next_sample(request)
                break
            except VolumeError:
                if len(unusable) == known:
                    raise
        return {**image_info(self.datastore(), found["id"]), **found} if found else found

    def infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """A study by its ID. MONAI Label would take a file of that name, where the server was started, in its place."""
        if request.get("save_label"):
            plain_tag(request.get("label_tag", DefaultLabelTag.ORIGINAL))  # before anything is computed
        request = {**request, "device": device_of(request.get("device"))}
        study, store = request.get("image"), datastore or self.datastore()
        drawn = request.get("label")
        if isinstance(drawn, str) and self._is_foreign(drawn):
            raise VolumeError(f"label: must be sent along; found {drawn!r}, a file of the server. Draw, and ask again.")
        if not isinstance(study, str) or (Path(study).is_absolute() and Path(study).exists()):
            if isinstance(study, str) and self._is_foreign(study):
                raise no_study(study)
            return super().infer(request, datastore)  # sent along
        file = store.get_image_uri(study)
        if not Path(file).is_file():
            raise no_study(study)
        found = super().infer({**request, "image": file}, datastore)
        if request.get("save_label") and found["file"]:
            said = {"model": request.get("model"), "params": found["params"]}
            tag = request.get("label_tag", DefaultLabelTag.ORIGINAL)
            found["label"] = store.save_label(study, found["file"], tag, said)
        return found

    def _is_foreign(self, file: str) -> bool:
        """Whether a file of this computer was neither sent, nor is one of the app or its studies."""
        sessions = server_settings.MONAI_LABEL_SESSION_PATH
        studies = [] if is_address(self.studies) else [self.studies]
        own = [tempfile.gettempdir(), *([sessions] if sessions else []), self.app_dir, *studies]
        return Path(file).exists() and not lies_in(file, own)

    def batch_infer(self, request: dict[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """All studies, or some; without CUDA by the processor, where MONAI Label would share them among no devices."""
        plain_tag(request.get("label_tag", DefaultLabelTag.ORIGINAL))
        own = {} if torch.cuda.is_available() else {"multi_gpu": False, "device": "cpu"}
        return super().batch_infer({**request, **own}, datastore)

    def _load_sessions(self, load: bool = False) -> PlainSessions | None:
        own = server_settings
        return PlainSessions(own.MONAI_LABEL_SESSION_PATH, own.MONAI_LABEL_SESSION_EXPIRY) if load else None

    def init_infers(self) -> dict[str, InferTask]:
        """The bundle's segmentation, the draft, clicks and scribbles."""
        return {
            self.settings.name: SegmentTask(self.settings, self.models),
            "draft": self.draft,
            "clicks": ClickTask(self.settings, self.models),
            "scribbles": ScribbleTask(self.settings, self.models),
        }

    def init_trainers(self) -> dict[str, TrainTask]:
        """The bundle's fine-tuning."""
        return {self.settings.name: FineTuneTask(self.settings, self.app_dir, self.history)}

    def init_strategies(self) -> dict[str, Strategy]:
        """What chooses the next study to label."""
        features = StudyFeatures(self.settings, self.app_dir)
        return {
            "typical": ByFeatures(features, typical=True),
            "coverage": ByFeatures(features),
            **{name: ByScore(score) for name, score in self.scores.items()},
            "first": First(),
            "random": Random(),
        }

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        """What gives each study a number: the doubt of the model, and how strange the study is."""
        return {score.name: score for score in self.scores.values()}

    def info(self) -> dict[str, Any]:
        """What viewers are told; models that are not there yet are left out."""
        return {**super().info(), "trainings": len(self.history.trainings())}

    def _download_dcmqi_tools(self) -> None:
        """Nothing is downloaded: the tool that writes DICOM SEG comes with the extra `label`."""
        if shutil.which("itkimage2segimage") is None:
            logger.warning("itkimage2segimage is not there: no DICOM SEG can be written. pip install dcmqi")
