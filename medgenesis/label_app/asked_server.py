"""A DICOMweb server is waited for within limits, and what it answers amiss is said with its address and a remedy."""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

import requests
from dicomweb_client import DICOMwebClient
from dicomweb_client.ext.gcp.session_utils import create_session_from_gcp_credentials
from monailabel.config import settings as server_settings
from monailabel.datastore.dicom import DICOMwebClientX
from requests.adapters import HTTPAdapter

WITHIN = (10.0, 60.0)  # seconds: to be connected, and from one part of an answer to the next


def client_of(address: str) -> Any:
    """A client for the server, with the user and the prefixes of MONAI Label's own settings."""
    if "googleapis.com" in address:  # its session has a limit of time of its own
        return AskedServer(DICOMwebClient(url=address, session=create_session_from_gcp_credentials()))
    session = TimedSession()
    user, password = server_settings.MONAI_LABEL_DICOMWEB_USERNAME, server_settings.MONAI_LABEL_DICOMWEB_PASSWORD
    if user and password:
        session.auth = (user, password)
    client = DICOMwebClientX(
        url=address,
        session=session,
        qido_url_prefix=server_settings.MONAI_LABEL_QIDO_PREFIX,
        wado_url_prefix=server_settings.MONAI_LABEL_WADO_PREFIX,
        stow_url_prefix=server_settings.MONAI_LABEL_STOW_PREFIX,
    )
    return AskedServer(client)


class TimedSession(requests.Session):
    """A session whose requests end where the server hangs."""

    def __init__(self) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _TimedAdapter())


class _TimedAdapter(HTTPAdapter):
    def send(self, request: Any, *args: Any, timeout: Any = None, **kwargs: Any) -> requests.Response:
        return super().send(request, *args, timeout=timeout or WITHIN, **kwargs)


class AskedServer:
    """A client of `dicomweb_client` whose searches and transfers to here end in errors that a user can act on.

    Args:
        client: of the server.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        own = getattr(self._client, name)
        return partial(self._asked, own) if name.startswith(("search_", "retrieve_")) else own

    def _asked(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What the server answers.

        Raises:
            ConnectionError: nothing that a DICOMweb server would.
        """
        try:
            return call(*args, **kwargs)
        except Exception as error:  # of the client, of pydicom, of requests: whatever such an answer leads to
            raise ConnectionError(
                f"{self._client.base_url}: must answer as a DICOMweb server; found {_found(error)}. Check the address, "
                "MONAI_LABEL_DICOMWEB_USERNAME and MONAI_LABEL_DICOMWEB_PASSWORD, and the log of that server."
            ) from error


def _found(error: Exception) -> str:
    if isinstance(error, requests.HTTPError) and error.response is not None:
        status = error.response.status_code
        known = {one.value: one.phrase for one in HTTPStatus}
        return f"status {status} {known.get(status, error.response.reason or '')}".strip()
    if isinstance(error, requests.Timeout):
        return f"no answer within {WITHIN[0]:g} s (connection) or {WITHIN[1]:g} s (data)"
    if isinstance(error, requests.ConnectionError):
        return "no connection, or one that broke off"
    return f"an answer that is no DICOM, a login page for example ({type(error).__name__}: {error})"
