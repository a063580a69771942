"""A DICOMweb server for tests, as far as MONAI Label asks: `DICOMfileClient` of dicomweb_client, over HTTP."""

import io
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit

from pydicom import Dataset, dcmread

_BOUNDARY = b"of-the-test"


class _Handler(BaseHTTPRequestHandler):
    """QIDO of series, WADO of series and their metadata, STOW."""

    def do_GET(self):
        parts = urlsplit(self.path)
        path = parts.path.strip("/").split("/")[1:]
        if path == ["series"]:
            asked = {name: value for name, value in parse_qsl(parts.query) if name not in ("limit", "offset")}
            self._json(self.server.client.search_for_series(search_filters=asked))
        elif path[-1] == "metadata":
            self._json(self.server.client.retrieve_series_metadata(path[1], path[3]))
        elif "instances" in path:
            self._series([self.server.client.retrieve_instance(path[1], path[3], path[5])])
        else:
            self._series(self.server.client.retrieve_series(path[1], path[3]))

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        boundary = self.headers["Content-Type"].partition("boundary=")[2].split(";")[0].strip('"').encode()
        parts = [part.partition(b"\r\n\r\n")[2] for part in body.split(b"--" + boundary)[1:-1]]
        self.server.client.store_instances([dcmread(io.BytesIO(part.removesuffix(b"\r\n"))) for part in parts])
        self._json(Dataset().to_json_dict())

    def _series(self, instances):
        found = []
        for instance in instances:
            file = io.BytesIO()
            instance.save_as(file, write_like_original=False)
            found.append(b"--" + _BOUNDARY + b"\r\nContent-Type: application/dicom\r\n\r\n" + file.getvalue())
        body = b"\r\n".join(found) + b"\r\n--" + _BOUNDARY + b"--\r\n"
        self._send(body, f'multipart/related; type="application/dicom"; boundary={_BOUNDARY.decode()}')

    def _json(self, found):
        self._send(json.dumps(found).encode(), "application/dicom+json")

    def _send(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Nothing is printed."""


@contextmanager
def dicomweb_server(folder):
    """The address of a server on a folder of DICOM files."""
    server, ready = HTTPServer(("127.0.0.1", 0), _Handler), threading.Event()

    def serve():
        from dicomweb_client import DICOMfileClient

        server.client = DICOMfileClient(f"file://{folder}", update_db=True, in_memory=True)  # of one thread alone
        ready.set()
        server.serve_forever()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        assert ready.wait(60)
        yield f"http://127.0.0.1:{server.server_port}/dicom-web"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
