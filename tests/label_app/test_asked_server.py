"""A DICOMweb server that hangs, asks for a login or fails: each ends soon, in a sentence with its address."""

import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

pytest.importorskip("monailabel", reason="MONAI Label is not installed: make test-label runs this in its environment")

from medgenesis.label_app import asked_server
from medgenesis.label_app.asked_server import client_of

LOGIN = b"<html><body>Log in</body></html>"


@contextmanager
def _answering(status, body, kind):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Nothing is printed."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/dicom-web"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ((200, LOGIN, "text/html"), "an answer that is no DICOM, a login page for example"),
        ((401, b"{}", "application/json"), "status 401 Unauthorized"),
        ((500, b"oops", "text/plain"), "status 500 Internal Server Error"),
    ],
)
def test_an_answer_that_is_none_is_said_with_a_remedy(answer, found):
    with _answering(*answer) as address:
        client = client_of(address)
        for ask in (client.search_for_series, lambda: client.retrieve_series("1.2", "1.3")):
            with pytest.raises(ConnectionError) as said:
                ask()
            text = str(said.value)
            assert text.startswith(f"{address}: must answer as a DICOMweb server; found {found}")
            assert "Check the address, MONAI_LABEL_DICOMWEB_USERNAME and MONAI_LABEL_DICOMWEB_PASSWORD" in text


def test_a_server_that_hangs_or_is_away_is_named(monkeypatch):
    monkeypatch.setattr(asked_server, "WITHIN", (5.0, 0.2))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/dicom-web"
        with pytest.raises(ConnectionError, match=rf"^{address}: must answer.*no answer within 5 s .*or 0\.2 s"):
            client_of(address).search_for_series()
    with pytest.raises(ConnectionError, match=f"^{address}: must answer.*found no connection"):
        client_of(address).search_for_series()


def test_user_and_password_are_sent(monkeypatch):
    """As `create_session_from_user_pass` of the client would."""
    for name, value in (("USERNAME", "ada"), ("PASSWORD", "secret")):
        monkeypatch.setattr(f"medgenesis.label_app.asked_server.server_settings.MONAI_LABEL_DICOMWEB_{name}", value)
    assert client_of("http://127.0.0.1:1/dicom-web")._session.auth == ("ada", "secret")
