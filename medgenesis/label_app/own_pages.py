"""Refuses what a web page of somewhere else sends: a browser sends a form to any server, and does not ask first."""

from collections.abc import Collection
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_READING = ("GET", "HEAD", "OPTIONS")


class OwnPagesAlone:
    """Let requests that change something come from pages of this server, and from programs, which name no page.

    A browser names the page by the header Origin, which no page can change; 3D Slicer sends none.

    Args:
        app: what answers.
        allowed: origins beside the server's own, as in CORS.
    """

    def __init__(self, app: ASGIApp, allowed: Collection[str] = ()) -> None:
        self.app, self.allowed = app, frozenset(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 to another page."""
        if scope["type"] == "http" and scope["method"] not in _READING and not self._is_own(Request(scope)):
            detail = (
                "Origin: must be a page of this server; found another web page. Open OHIF at the server's own address; "
                "a proxy before it must pass on the header Host, or X-Forwarded-Host."
            )
            await JSONResponse({"detail": detail}, 403)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _is_own(self, request: Request) -> bool:
        origin = request.headers.get("origin")
        if origin is None or origin in self.allowed:
            return True
        own = (request.headers.get("host"), request.headers.get("x-forwarded-host"))
        return bool(urlsplit(origin).netloc) and urlsplit(origin).netloc in own
