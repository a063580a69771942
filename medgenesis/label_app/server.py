"""MONAI Label's server, whose errors reach the viewer as a sentence: status 422, not "Internal Server Error".

What another web page in the same browser asks for is refused, and archives are unpacked into their own folder alone.
"""

import logging
import os
import tarfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse, Response
from monailabel.app import app
from monailabel.config import settings
from monailabel.endpoints.ohif import get_ohif
from monailabel.endpoints.user.auth import RBAC
from monailabel.interfaces.exception import LabelNotFoundException, MONAILabelException

from medgenesis.errors import DOMAIN_ERRORS, cause_of
from medgenesis.label_app import dicomweb
from medgenesis.label_app.background import end_background_tasks
from medgenesis.label_app.own_pages import OwnPagesAlone
from medgenesis.label_app.start import LISTENS, LOOPBACK
from medgenesis.label_app.studies import is_address

NOT_FOUND, UNUSABLE, UNEXPECTED = 404, 422, 500

logger = logging.getLogger(__name__)


async def say_cause(request: Request, error: Exception) -> JSONResponse:
    """What a user can act on, as `detail`; of an unexpected error its kind too."""
    cause: Any = cause_of(error)
    if isinstance(cause, MONAILabelException):
        absent = isinstance(cause, LabelNotFoundException)
        return JSONResponse({"detail": cause.msg}, NOT_FOUND if absent else UNUSABLE)
    if isinstance(cause, (*DOMAIN_ERRORS, ValueError, OSError)):
        logger.warning("%s", cause)
        return JSONResponse({"detail": str(cause)}, UNUSABLE)
    return JSONResponse({"detail": f"unexpected {type(cause).__name__}: {cause}"}, UNEXPECTED)


for kind in (MONAILabelException, *DOMAIN_ERRORS, ValueError, OSError, RuntimeError, Exception):
    app.add_exception_handler(kind, say_cause)

viewer = APIRouter(include_in_schema=False, dependencies=[Depends(RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER))])


@viewer.get("/ohif/{path:path}")
def open_ohif(request: Request, path: str) -> Response:
    """OHIF, told that MONAI Label is here: without this cookie its panel looks at port 8000."""
    page = get_ohif(path)
    page.set_cookie("MONAILABEL_SERVER_URL", quote(f"{request.url.scheme}://{request.url.netloc}/", safe=""))
    return page


# Before MONAI Label's own. Of a folder of studies OHIF is shown what it expects of a DICOM server; of a DICOMweb
# address MONAI Label asks that server.
remote = is_address(settings.MONAI_LABEL_STUDIES)
app.router.routes[:0] = viewer.routes if remote else [*viewer.routes, *dicomweb.router.routes]

# MONAI Label lets pages of any origin ask, so any page in the browser of whoever runs it; its own setting for this ends
# its start with an error (0.8.5). Its viewer, OHIF, is a page of this server.
own = [f"http://{host}:{settings.MONAI_LABEL_SERVER_PORT}" for host in ("127.0.0.1", "localhost")]
for middleware in app.user_middleware:
    if middleware.cls is CORSMiddleware:
        middleware.kwargs["allow_origins"] = own
# CORS keeps answers from a page; what it has sent is done all the same.
hosts = LOOPBACK if os.environ.get(LISTENS) in LOOPBACK else None
app.add_middleware(OwnPagesAlone, allowed=own, hosts=hosts)

started = app.router.lifespan_context


@asynccontextmanager
async def with_its_processes(served: FastAPI) -> AsyncGenerator[Any, None]:
    """MONAI Label's start; when the server stops, the processes that it has started end too."""
    async with started(served) as state:
        yield state
    await run_in_threadpool(end_background_tasks)


app.router.lifespan_context = with_its_processes

if hasattr(tarfile, "data_filter"):  # a session may be sent as an archive, whose names could lead anywhere
    tarfile.TarFile.extraction_filter = staticmethod(tarfile.data_filter)

__all__ = ["app", "open_ohif", "say_cause"]
