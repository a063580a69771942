"""The studies of a DICOMweb server, whose labels are DICOM SEG on it: written with the names of the app, and read back.

MONAI Label alone names segments by their place in a list, counts a study as unlabelled for two hours after it was
labelled, and keeps patients' IDs in a file of its own.
"""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import SimpleITK as sitk
from dicomweb_client import DICOMwebClient
from dicomweb_client.ext.gcp.session_utils import create_session_from_gcp_credentials
from dicomweb_client.session_utils import create_session_from_user_pass
from monailabel.config import settings as server_settings
from monailabel.datastore.dicom import DICOMwebClientX, DICOMWebDatastore
from monailabel.datastore.local import LocalDatastore
from monailabel.datastore.utils.dicom import dicom_web_download_series
from monailabel.interfaces.datastore import DefaultLabelTag
from monailabel.interfaces.exception import ImageNotFoundException
from pydicom import Dataset, dcmread

from medgenesis.errors import OutputError, VolumeError
from medgenesis.label_app.dicom_seg import read_dicom_seg, segment_names, write_dicom_seg
from medgenesis.label_app.labels import check_label, write_renumbered
from medgenesis.label_app.studies import convert_series
from medgenesis.storage.atomic import make_folder, replacing

_MODEL = "drawn in MONAI Label"  # name of the series of segments


def client_of(address: str) -> Any:
    """A client for the server, with the user and the prefixes of MONAI Label's own settings."""
    if "googleapis.com" in address:
        return DICOMwebClient(url=address, session=create_session_from_gcp_credentials())
    user, password = server_settings.MONAI_LABEL_DICOMWEB_USERNAME, server_settings.MONAI_LABEL_DICOMWEB_PASSWORD
    return DICOMwebClientX(
        url=address,
        session=create_session_from_user_pass(user, password) if user and password else None,
        qido_url_prefix=server_settings.MONAI_LABEL_QIDO_PREFIX,
        wado_url_prefix=server_settings.MONAI_LABEL_WADO_PREFIX,
        stow_url_prefix=server_settings.MONAI_LABEL_STOW_PREFIX,
    )


@dataclass(frozen=True)
class _Segments:
    """A series of segments on the server, and the series of images that it is of."""

    study: str
    series: str
    image: str
    when: datetime


class DicomWebStudies(DICOMWebDatastore):
    """The series of a DICOMweb server that are searched for, and the newest segments of each.

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
        self._described: dict[str, _Segments | None] = {}
        super().__init__(client, search, str(cache), frames)

    def get_image_uri(self, image_id: str) -> str:
        """The series as NIfTI, fetched and converted once."""
        folder = Path(self._datastore.image_path()) / image_id
        path = folder.with_name(f"{image_id}.nii.gz")
        if not path.is_file() or image_id not in self._datastore.objects:
            if image_id not in self.list_images():
                raise ImageNotFoundException(f"image: must be a series of the server; found {image_id!r}")
            self._fetch(image_id, folder)
            with tempfile.TemporaryDirectory() as beside:
                converted = Path(beside) / path.name
                convert_series(folder, converted)
                self.add_image(image_id, str(converted), self._dicom_info(image_id))
        return str(path)

    def _fetch(self, series: str, folder: Path, study: str | None = None) -> None:
        """Download a series, whole or not at all."""
        if folder.is_dir():
            return
        make_folder(folder.parent)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as beside:
            whole = Path(beside) / series
            dicom_web_download_series(study, series, str(whole), self._client, self._fetch_by_frame)
            whole.rename(folder)

    def _dicom_info(self, series_id: str) -> dict[str, str]:
        """What viewers are told of a series: nothing of the patient."""
        return {name: value for name, value in super()._dicom_info(series_id).items() if name != "PatientID"}

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """The series that have segments on the server now."""
        return sorted(self._newest())

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        """The others."""
        return sorted(set(self.list_images()) - set(self._newest()))

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Store what was drawn on the server, as DICOM SEG with the names of the app.

        Raises:
            ImageNotFoundException: no such series.
            VolumeError: a final label that no training could use.
            OutputError: the server does not take it.
        """
        image, info = self.get_image_uri(image_id), {**(label_info or {})}
        tag = label_tag.value if isinstance(label_tag, DefaultLabelTag) else label_tag
        if tag != DefaultLabelTag.FINAL.value:
            return LocalDatastore.save_label(self, image_id, label_filename, tag, info)
        values = check_label(image, label_filename, self.classes, info.get("label_info"))
        with tempfile.TemporaryDirectory() as folder:
            drawn = write_renumbered(label_filename, Path(folder) / "drawn", values)
            named = {name: value for name, value in self.classes.items() if value in values.values()}
            segments = Path(write_dicom_seg(drawn, image, named, _MODEL))
        try:
            failed = self._client.store_instances([dcmread(segments)])
        except OSError as error:  # requests' are OSErrors
            raise OutputError(
                f"{image_id}: segments must be stored on the server; found {error}. Ask its owner."
            ) from None
        finally:
            segments.unlink()
        if failed is not None and failed.get("FailedSOPSequence"):
            raise OutputError(
                f"{image_id}: segments must be stored on the server; found that it refused them. Ask its owner."
            )
        return image_id

    def saved(self) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        """Series, its file, its newest segments as a file, and the names of these with the time of their saving."""
        for name, segments in sorted(self._newest().items()):
            file = self._segments(segments)
            info = [{"name": said, "idx": value} for value, said in segment_names(file).items()]
            label = self._on_grid(file, self.get_image_uri(name))
            yield name, self.get_image_uri(name), str(label), {"label_info": info, "ts": int(segments.when.timestamp())}

    def _segments(self, one: _Segments) -> Path:
        folder = Path(self._datastore.image_path()) / "segments" / one.series
        self._fetch(one.series, folder, one.study)
        return min(folder.iterdir())

    def _on_grid(self, file: Path, image: str) -> Path:
        """The segments on the grid of their series; where they cannot be read, their own file, which is then named."""
        path = file.parent.with_suffix(f"{file.parent.suffix}.nrrd")
        if not path.is_file():
            try:
                segments = read_dicom_seg(file, image)
            except VolumeError:
                return file
            with replacing(path) as beside:
                sitk.WriteImage(segments, str(beside))
        return path

    def _newest(self) -> dict[str, _Segments]:
        """Series of images -> its newest segments, as the server has them now."""
        found, known = {}, set(self.list_images())
        for header in map(Dataset.from_json, self._client.search_for_series(search_filters={"Modality": "SEG"})):
            study, series = str(header.StudyInstanceUID), str(header.SeriesInstanceUID)
            if series not in self._described:
                metadata = self._client.retrieve_series_metadata(study, series)
                self._described[series] = _described(study, series, Dataset.from_json(metadata[0]))
            one = self._described[series]
            if one is not None and one.image in known and (one.image not in found or found[one.image].when <= one.when):
                found[one.image] = one
        return found


def _described(study: str, series: str, header: Dataset) -> _Segments | None:
    """None where it is not said which series the segments are of."""
    referenced = header.get("ReferencedSeriesSequence")
    if not referenced:
        return None
    day = str(header.get("ContentDate") or header.get("SeriesDate") or "")
    time = str(header.get("ContentTime") or header.get("SeriesTime") or "").partition(".")[0]
    try:
        when = datetime.strptime(day + time.ljust(6, "0"), "%Y%m%d%H%M%S")
    except ValueError:
        when = datetime.fromtimestamp(0)
    return _Segments(study, series, str(referenced[0].SeriesInstanceUID), when)
