"""Refuses what a web page of somewhere else sends: a browser sends a form to any server, and does not ask first."""

from collections.abc import Collection
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_READING = ("GET", "HEAD", "OPTIONS")


class OwnPagesAlone:
    """Let requests that change something come from pages of this server, and from programs, which name no page.

    A browser names the page by the header Origin, and the server by Host, which no page can change; 3D Slicer sends no
    Origin. A name in the Internet may be made to lead to this computer (DNS rebinding), so that a page of it would be
    one of this server: only Host tells.

    Args:
        app: what answers.
        allowed: origins beside the server's own, as in CORS.
        hosts: names by which the server is asked, without ports; None: any.
    """

    def __init__(self, app: ASGIApp, allowed: Collection[str] = (), hosts: Collection[str] | None = None) -> None:
        self.app, self.allowed = app, frozenset(allowed)
        self.hosts = None if hosts is None else frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 to another page, and to another name."""
        detail = self._refused(Request(scope)) if scope["type"] == "http" else None
        if detail is not None:
            await JSONResponse({"detail": detail}, 403)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refused(self, request: Request) -> str | None:
        """Why, in a sentence, or None."""
        host = request.headers.get("host")
        if self.hosts is not None and host is not None and _without_port(host) not in self.hosts:
            return (
                f"Host: must be {' or '.join(sorted(self.hosts))}; found {host!r}. Open the server at one of these; a "
                "proxy before it must ask by one of them, and pass on its own name as X-Forwarded-Host."
            )
        if request.method not in _READING and not self._is_own(request):
            return (
                "Origin: must be a page of this server; found another web page. Open OHIF at the server's own address; "
                "a proxy before it must pass on its name as X-Forwarded-Host."
            )
        return None

    def _is_own(self, request: Request) -> bool:
        origin = request.headers.get("origin")
        if origin is None or origin in self.allowed:
            return True
        own = (request.headers.get("host"), request.headers.get("x-forwarded-host"))
        return bool(urlsplit(origin).netloc) and urlsplit(origin).netloc in own


def _without_port(host: str) -> str:
    """`[::1]:8000` -> `::1`."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # brackets that are not closed
        return ""
