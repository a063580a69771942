"""The studies of a DICOMweb server, whose labels are DICOM SEG on it: written with the names of the app, and read back.

MONAI Label alone names segments by their place in a list, counts a study as unlabelled for two hours after it was
labelled, keeps what broke off, and keeps patients' IDs in a file of its own.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import requests
import SimpleITK as sitk
from filelock import FileLock
from monailabel.datastore.dicom import DICOMWebDatastore
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore
from monailabel.datastore.utils.dicom import dicom_web_download_series
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.exception import ImageNotFoundException, LabelNotFoundException
from pydicom import Dataset, dcmread

from medgenesis.errors import OutputError, VolumeError
from medgenesis.label_app.dicom_seg import read_dicom_seg, segment_names, write_dicom_seg
from medgenesis.label_app.labelled import Saved
from medgenesis.label_app.labels import check_label, write_renumbered
from medgenesis.label_app.plain_names import plain_tag
from medgenesis.label_app.sent_files import errors_call
from medgenesis.label_app.studies import FETCHING, convert_series
from medgenesis.label_app.whole_list import WholeList
from medgenesis.storage.atomic import replacing

logger = logging.getLogger(__name__)

_MODEL = "drawn in MONAI Label"  # name of the series of segments


class SeriesGoneError(ImageNotFoundException, VolumeError):
    """The server has a series no more: viewers are told so, and a training leaves it out."""


@dataclass(frozen=True)
class _Segments:
    """A DICOM SEG on the server, and the series of images that it is of."""

    study: str
    series: str
    instance: str
    image: str
    names: tuple[str, ...]
    when: datetime


class DicomWebStudies(WholeList, DICOMWebDatastore):
    """The series of a DICOMweb server that are searched for, and the newest segments of each.

    Segments count where one has a name of the app: what other programs have stored of other structures is passed over.

    Args:
        client: of `dicomweb_client`.
        classes: name -> value of the labels.
        search: of the series, by DICOM attribute.
        cache: folder for what is fetched.
        frames: fetch slices frame by frame, from servers that send no whole series.
    """

    def __init__(
        self, client: Any, classes: Mapping[str, int], search: dict[str, Any], cache: str | Path, frames: bool = False
    ) -> None:
        self.classes = dict(classes)
        self.unusable: set[str] = set()  # series that are no volume, as was found when they were converted
        self._described: dict[tuple[str, str], list[_Segments]] = {}
        super().__init__(client, search, str(cache), frames)

    def get_image_uri(self, image_id: str) -> str:
        """The series as NIfTI, fetched and converted once.

        Raises:
            ImageNotFoundException: no such series.
            VolumeError: it is no volume. OSError: the server cannot be reached, or does not send it whole.
        """
        path = Path(self._datastore.image_path()) / f"{image_id}.nii.gz"
        if (image_id not in self._datastore.objects or not path.is_file()) and image_id not in self.list_images():
            raise ImageNotFoundException(f"image: must be a series of the server; found {image_id!r}")
        if not path.is_file():
            fetched = self._fetched(image_id)
            try:
                convert_series(fetched, path)
            except VolumeError as error:
                if image_id not in self.unusable:
                    logger.warning("%s: passed over, for it cannot be converted (%s)", image_id, error)
                    self.unusable.add(image_id)
                raise
        if image_id not in self._datastore.objects:
            info = {**self._dicom_info(image_id), "ts": int(path.stat().st_mtime), "name": path.name}
            with FileLock(self._lock_file):
                one = ImageLabelModel(image=DataModel(info=info, ext=".nii.gz"))
                # another dict: a thread of MONAI Label goes through this one when files appear
                self._datastore.objects = {**self._datastore.objects, image_id: one}
                self._update_datastore_file(lock=False)
        return str(path)

    def _fetched(self, series: str) -> Path:
        """The folder of its slices, all of them; the server and a training may fetch at once."""
        folder = Path(self._datastore.image_path()) / series
        if folder.is_dir():
            return folder
        header = self._header_of(series)
        wanted = header.get("NumberOfSeriesRelatedInstances")
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=FETCHING) as beside:
            whole = Path(beside) / series
            dicom_web_download_series(
                str(header.StudyInstanceUID), series, str(whole), self._client, self._fetch_by_frame
            )
            count = sum(1 for _ in whole.iterdir())
            if count < int(wanted or 1):
                raise ConnectionError(
                    f"{series}: must be fetched whole; found {count} of {wanted or 1} slices. Try again when the "
                    "server has them all."
                )
            with contextlib.suppress(OSError):  # another process was first
                whole.rename(folder)
        return folder

    def _header_of(self, series: str) -> Dataset:
        """What the server says of a series; some answer with all that they have, whatever was asked for."""
        found = map(Dataset.from_json, self._client.search_for_series(search_filters={"SeriesInstanceUID": series}))
        header = next((one for one in found if str(one.get("SeriesInstanceUID")) == series), None)
        if header is None:
            raise SeriesGoneError(
                f"image: must be a series of the server; found {series!r}, which it does not have now. Choose another."
            )
        return header

    def _has_arrived(self, sent: Dataset, answer: Dataset) -> bool:
        """Whether the server says that it has what was sent, or finds it: a login page has a good status, too."""
        stored = {one.get("ReferencedSOPInstanceUID") for one in answer.get("ReferencedSOPSequence") or ()}
        if sent.SOPInstanceUID in stored:
            return True
        with contextlib.suppress(SeriesGoneError):
            return self._header_of(sent.SeriesInstanceUID) is not None
        return False

    def _dicom_info(self, series_id: str) -> dict[str, str]:
        """What viewers are told of a series: nothing of the patient."""
        header = self._header_of(series_id)
        tags = ("StudyDate", "StudyTime", "Modality", "RetrieveURL", "StudyInstanceUID")
        return {"SeriesInstanceUID": series_id, **{tag: str(header.get(tag) or "UNK") for tag in tags}}

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """The series that have segments of the app on the server now."""
        return sorted(self._newest())

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """The others, without those that are no volume."""
        return sorted(set(self.list_images()) - set(self._newest()) - self.unusable)

    def warn_of_none(self) -> None:
        """Say at the start that no series is found, or that the server does not answer."""
        try:
            if self.list_images():
                return
        except OSError as error:
            logger.warning("%s", error)
            return
        logger.warning(
            "0 series of modality %s at %s: nothing to draw. Another search is asked for by "
            'MONAI_LABEL_DICOMWEB_SEARCH_FILTER=\'{"Modality": "MR"}\', for example',
            *(self._search_filter.get("Modality", "(any)"), self._client.base_url),
        )

    def get_label_uri(self, label_id: str, label_tag: str, image_id: str = "") -> str:
        """A file of the label; of a final one its newest segments, by the number of the segment.

        Raises:
            LabelNotFoundException: there is none.
        """
        tag = plain_tag(label_tag)
        if tag != DefaultLabelTag.FINAL.value:
            return LocalDatastore.get_label_uri(self, label_id, tag)
        segments = self._newest().get(image_id or label_id)
        if segments is None:
            raise LabelNotFoundException(f"label: must be of a labelled series; found {label_id!r}")
        return self._files(segments)[1]

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """Images and labels; those that cannot be used are left out, which a training says."""
        found = []
        for one in self._newest().values():
            with contextlib.suppress(VolumeError, OSError):
                image, label, _ = self._files(one)
                found.append({"image": image, "label": label})
        return found

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Refused: the studies are those of the server."""
        raise VolumeError(
            f"image: must be stored on the DICOMweb server itself; found {image_id or Path(image_filename).name!r}. "
            "Send it there."
        )

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Store what was drawn on the server, as DICOM SEG with the names of the app.

        Raises:
            ImageNotFoundException: no such series.
            VolumeError: a final label that no training could use; or the tag is no plain name.
            OutputError: the server does not take it.
        """
        tag = plain_tag(label_tag)
        image, info = self.get_image_uri(image_id), {**(label_info or {})}
        if tag != DefaultLabelTag.FINAL.value:
            return LocalDatastore.save_label(self, image_id, label_filename, tag, info)
        with errors_call(f"label of {image_id}", label_filename):
            values = check_label(image, label_filename, self.classes, info.get("label_info"))
        with tempfile.TemporaryDirectory() as folder:
            drawn = write_renumbered(label_filename, Path(folder) / "drawn", values)
            named = {name: value for name, value in self.classes.items() if value in values.values()}
            segments = Path(write_dicom_seg(drawn, image, named, _MODEL))
        try:
            sent, answer = dcmread(segments), Dataset()
            with contextlib.suppress(requests.ReadTimeout):  # it may have arrived all the same
                answer = self._client.store_instances([sent]) or answer
            arrived = self._has_arrived(sent, answer)
        except OSError as error:  # requests' are OSErrors
            raise OutputError(
                f"{image_id}: segments must be stored on the server; found {error}. Ask its owner."
            ) from None
        finally:
            segments.unlink()
        if answer.get("FailedSOPSequence"):
            raise OutputError(
                f"{image_id}: segments must be stored on the server; found that it refused them. Ask its owner."
            )
        if not arrived:
            raise OutputError(
                f"{image_id}: segments must be stored on the server; found that it has none of them. Keep your "
                "drawing, check MONAI_LABEL_DICOMWEB_USERNAME and MONAI_LABEL_DICOMWEB_PASSWORD, and save again."
            )
        return image_id

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Remove a label that is not final: those are the server's.

        Raises:
            VolumeError: a final one, or the tag is none. LabelNotFoundException: there is none.
        """
        if plain_tag(label_tag) == DefaultLabelTag.FINAL.value:
            raise VolumeError(
                f"label: must be removed on the DICOMweb server itself; found {label_id!r}. Remove its DICOM SEG there."
            )
        super().remove_label(label_id, label_tag)

    def saved(self) -> Iterator[Saved]:
        """The newest segments of each series, with their names and the time of their saving."""
        for name, segments in sorted(self._newest().items()):
            yield Saved(name, (segments.instance,), partial(self._files, segments))

    def _files(self, one: _Segments) -> tuple[str, str, dict[str, Any]]:
        """Image, segments on its grid, and what is said with them."""
        image = self.get_image_uri(one.image)
        folder = Path(self._datastore.image_path()) / "segments"
        stored, path = folder / f"{one.instance}.dcm", folder / f"{one.instance}.nrrd"
        if not stored.is_file():
            found = self._client.retrieve_instance(one.study, one.series, one.instance)
            with replacing(stored) as beside:
                found.save_as(beside, write_like_original=False)
        if not path.is_file():
            segments = read_dicom_seg(stored, image)
            with replacing(path) as beside:
                sitk.WriteImage(segments, str(beside))
        info = [{"name": said, "idx": value} for value, said in segment_names(stored).items() if said]
        return image, str(path), {"label_info": info, "ts": int(one.when.timestamp())}

    def _newest(self) -> dict[str, _Segments]:
        """Series of images -> its newest segments, as the server has them now."""
        found, known = {}, set(self.list_images())
        own = {name.strip().casefold() for name in self.classes}
        for header in map(Dataset.from_json, self._client.search_for_series(search_filters={"Modality": "SEG"})):
            for one in self._of_series(header):
                named = own & {name.strip().casefold() for name in one.names}
                if named and one.image in known and (one.image not in found or found[one.image].when <= one.when):
                    found[one.image] = one
        return found

    def _of_series(self, header: Dataset) -> list[_Segments]:
        """All segments of a series, asked for again when there are more."""
        study, series = str(header.StudyInstanceUID), str(header.SeriesInstanceUID)
        key = (series, str(header.get("NumberOfSeriesRelatedInstances", "")))
        if key not in self._described:
            try:
                headers = map(Dataset.from_json, self._client.retrieve_series_metadata(study, series))
                self._described[key] = [_described(one) for one in headers if one.get("ReferencedSeriesSequence")]
            except (OSError, ValueError, AttributeError) as error:
                logger.warning("%s: these segments are passed over, for they cannot be read (%s)", series, error)
                return []
        return self._described[key]


def _described(header: Dataset) -> _Segments:
    day = str(header.get("ContentDate") or header.get("SeriesDate") or "")
    time = str(header.get("ContentTime") or header.get("SeriesTime") or "").partition(".")[0]
    try:
        when = datetime.strptime(day + time.ljust(6, "0"), "%Y%m%d%H%M%S")
    except ValueError:
        when = datetime.fromtimestamp(0)
    return _Segments(
        str(header.StudyInstanceUID),
        str(header.SeriesInstanceUID),
        str(header.SOPInstanceUID),
        str(header.ReferencedSeriesSequence[0].SeriesInstanceUID),
        tuple(str(one.SegmentLabel) for one in header.get("SegmentSequence", ())),
        when,
    )
