"""The label server: its own process, which holds the grant. Loopback unless it has a certificate."""

import ipaddress
from importlib.resources import files
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.errors import PipelineError
from pipeline.labelling.pages import Pages
from pipeline.labelling.routes import label_routes, problem
from pipeline.labelling.service import LabelService

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), display-capture=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
SAFE: Final = frozenset({"GET", "HEAD"})


def create_label_app(service: LabelService, *, origin: str) -> FastAPI:
    """The application.

    Args:
        service: What it serves.
        origin: Scheme, host and port by which people reach it; requests that name another host, and changes that
            come from another origin, are refused.
    """
    app = FastAPI(title="Fleetgate labelling", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(label_routes(service, Pages(), secure=origin.startswith("https://")))
    app.mount("/static", StaticFiles(directory=str(files("pipeline.labelling").joinpath("static"))))
    app.exception_handler(PipelineError)(_told)
    app.add_middleware(_Guard, origin=origin)
    return app


async def _told(_request: Request, error: Exception) -> Response:
    if not isinstance(error, PipelineError):
        raise error
    return problem(error)


class _Guard:
    """Refuses foreign hosts and origins, and puts the headers on every answer."""

    def __init__(self, app: ASGIApp, *, origin: str) -> None:
        self._app, self._origin = app, origin
        self._host = origin.partition("://")[2]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refused = self._refused(Request(scope))
        await (refused or self._app)(scope, receive, guarded)

    def _refused(self, request: Request) -> Response | None:
        host, origin = request.headers.get("host"), request.headers.get("origin")
        if host != self._host:
            return _refusal(421, "host", host, self._host)
        if request.method not in SAFE and origin not in {None, self._origin}:
            return _refusal(403, "origin", origin, self._origin)
        return None


def _refusal(status: int, what: str, got: str | None, expected: str) -> Response:
    content = {
        "title": f"foreign {what}",
        "status": status,
        "reason": f"foreign_{what}",
        "detail": f"{what} (got {got!r}, expected {expected!r})",
    }
    return JSONResponse(content, status_code=status, media_type="application/problem+json")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
