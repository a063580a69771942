"""DICOMweb of a folder of studies, as far as OHIF asks: MONAI Label alone shows OHIF nothing but a DICOM server.

References:
    DICOM PS3.18: QIDO-RS (10.6), WADO-RS (10.4); the tags that a search returns (10.6.3).
"""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.responses import JSONResponse, Response
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC
from monailabel.interfaces.utils.app import app_instance

from medgenesis.label_app.datastore import StudyFolder
from medgenesis.label_app.shown_series import ShownSeries, shown_header, shown_series

_JSON, _BOUNDARY = "application/dicom+json", "medgenesis-frame"

router = APIRouter(
    prefix="/proxy/dicom", include_in_schema=False, dependencies=[Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))]
)


@router.get("/{_}/studies")
@router.get("/{_}/studies/{study}/series")
@router.get("/{_}/series")
def search(request: Request, study: str | None = None) -> Response:
    """The studies, or the one series of each."""
    folder, asked = _folder(), request.query_params
    found = [shown_header(name, folder.modality) for name in folder.shown()]
    wanted: Mapping[str, str | None] = {
        "StudyInstanceUID": study or asked.get("StudyInstanceUID"),
        "SeriesInstanceUID": asked.get("SeriesInstanceUID"),
    }
    for tag, uid in wanted.items():
        found = [one for one in found if uid is None or str(one[tag].value) in uid.split(",")]
    text = (asked.get("PatientName") or asked.get("00100010") or "").strip("*").casefold()
    found = [one for one in found if text in str(one.PatientName).casefold()]
    first = int(asked.get("offset") or 0)
    rows = []
    for one in found[first : first + int(asked.get("limit") or len(found))]:
        one.ModalitiesInStudy, one.NumberOfStudyRelatedSeries = one.Modality, 1
        rows.append(one.to_json_dict())
    return JSONResponse(rows, media_type=_JSON)


@router.get("/{_}/studies/{study}/metadata")
@router.get("/{_}/studies/{study}/series/{series}/metadata")
@router.get("/{_}/studies/{study}/series/{series}/instances")
def metadata(study: str) -> Response:
    """Headers of all slices."""
    return JSONResponse(_shown(study).metadata(), media_type=_JSON)


@router.get("/{_}/studies/{study}/series/{series}/instances/{instance}/frames/{number}")
def frame(study: str, instance: str) -> Response:
    """Pixels of a slice."""
    begin = f"--{_BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()
    pixels = _shown(study).frame(instance)
    kind = f'multipart/related; type="application/octet-stream"; boundary="{_BOUNDARY}"'
    return Response(begin + pixels + f"\r\n--{_BOUNDARY}--\r\n".encode(), media_type=kind)


@router.get("/{path:path}")
@router.post("/{path:path}")
def nothing_else(path: str) -> Response:
    """Whatever else a DICOM server has."""
    raise HTTPException(404, f"{path}: a folder of studies is shown, nothing is stored here. Save in 3D Slicer.")


def _folder() -> StudyFolder:
    return app_instance().datastore()


def _shown(study: str) -> ShownSeries:
    folder = _folder()
    name = folder.name_of(study)
    if name is None:
        raise HTTPException(404, f"study: must be one of the folder; found {study}. Go back to the list of studies.")
    return shown_series(folder.get_image_uri(study), name, folder.modality)


def image_info(folder: Any, name: str) -> dict[str, str]:
    """What OHIF shows of the next study, and opens it by; nothing for other stores and flat images."""
    if not isinstance(folder, StudyFolder) or name not in folder.shown():
        return {}
    header = shown_header(name, folder.modality)
    tags = ("Modality", "PatientID", "StudyInstanceUID", "SeriesInstanceUID")
    return {tag: str(header[tag].value) for tag in tags}


__all__ = ["image_info", "router"]
