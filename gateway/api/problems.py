"""Errors on the wire: RFC 9457 problems. The one place that assigns HTTP status."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anonymize.errors import AnonymizeError
from audit.errors import InvalidEventError, LedgerError
from gateway import errors
from gateway.api.idempotency import AnswerUnknownError, KeyReusedError
from gateway.api.rates import RateLimitedError
from gateway.api.refusals import SignatureRefusedError
from gateway.flow.serve import NoGrantError
from gateway.vault.errors import StatementError, StorageError, VaultError
from gateway.vehicles.errors import ManifestError
from policies.errors import PolicyError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

# Every answer is data for programs: nothing of it is for a browser to guess at, frame, run or keep.
SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_HSTS: Final = "max-age=63072000"

# In order: the first class that an error is an instance of gives its status and stable reason.
_STATUS: tuple[tuple[type[Exception], int, str | None], ...] = (
    (SignatureRefusedError, 401, None),
    (errors.UnauthenticatedError, 401, None),
    (errors.ForbiddenError, 403, None),
    (NoGrantError, 403, None),
    (errors.DeniedError, 403, None),
    (errors.ObligationError, 403, None),
    (errors.NotFoundError, 404, None),
    (errors.ConflictError, 409, None),
    (AnswerUnknownError, 409, None),
    (errors.RetainedError, 409, None),
    (errors.StageOrderError, 409, None),
    (errors.SecurityKeysOffError, 409, None),
    (errors.RangeNotSatisfiableError, 416, None),
    (RateLimitedError, 429, None),
    (KeyReusedError, 422, None),
    (ManifestError, 422, None),
    (errors.DigestMismatchError, 422, None),
    (errors.InvalidRequestError, 422, None),
    (errors.ApprovalInvalidError, 422, None),
    (StatementError, 422, "statement_invalid"),
    (AnonymizeError, 422, None),
    (InvalidEventError, 422, "invalid_request"),
    (LedgerError, 503, "ledger_unavailable"),
    (StorageError, 503, "storage_unavailable"),
    (SQLAlchemyError, 503, "database_unavailable"),
    (PolicyError, 503, "policy_unavailable"),
    (errors.DiskLowError, 503, None),
    (errors.EvidenceError, 500, None),
    (VaultError, 500, "seal_broken"),
    (errors.GatewayError, 500, None),
)
_SILENT = frozenset({500, 503})
_HTTP_REASONS = {404: "not_found", 405: "method_not_allowed"}


def problem(
    status: int, reason: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> JSONResponse:
    """One problem document."""
    body = {
        "type": f"urn:fleetgate:problem:{reason}",
        "title": reason.replace("_", " "),
        "status": status,
        "reason": reason,
        "detail": detail,
        **more,
    }
    return JSONResponse(
        body, status_code=status, media_type=MEDIA_TYPE, headers={**SECURITY_HEADERS, **(headers or {})}
    )


def status_and_reason(error: Exception) -> tuple[int, str]:
    """HTTP status and stable reason of an error of any package."""
    known = ((status, fixed) for kind, status, fixed in _STATUS if isinstance(error, kind))
    status, fixed = next(known, (500, "internal_error"))
    return status, fixed or str(getattr(error, "reason", "internal_error"))


def describe(error: Exception) -> JSONResponse:
    """The problem that an error of any package becomes; what went wrong inside is not told to callers."""
    status, reason = status_and_reason(error)
    if status in _SILENT:
        log.error("%s: %s", type(error).__name__, error)
        return problem(status, reason, "the gate cannot answer now; nothing was released")
    if isinstance(error, errors.RangeNotSatisfiableError):
        return problem(status, reason, str(error), headers={"Content-Range": f"bytes */{error.size}"})
    if isinstance(error, RateLimitedError):
        return problem(status, reason, str(error), headers=error.headers)
    if isinstance(error, errors.DeniedError):
        return problem(status, reason, str(error), violations=error.explained())
    if isinstance(error, errors.ReviewPendingError):
        return problem(status, reason, str(error), release=error.release)
    return problem(status, reason, str(error))


def install(app: FastAPI) -> None:
    """Let every error of the app answer as a problem."""

    @app.exception_handler(HTTPException)
    def _http(_request: Request, error: HTTPException) -> JSONResponse:
        reason = _HTTP_REASONS.get(error.status_code, "http_error")
        return problem(error.status_code, reason, str(error.detail), headers=error.headers)

    @app.exception_handler(RequestValidationError)
    def _validation(_request: Request, error: RequestValidationError) -> JSONResponse:
        places = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        return problem(422, "invalid_request", places[:1000])

    for kind, _status, _reason in _STATUS:

        @app.exception_handler(kind)
        def _known(_request: Request, error: Exception) -> JSONResponse:
            return describe(error)

    @app.exception_handler(Exception)
    def _unknown(_request: Request, error: Exception) -> JSONResponse:
        log.error("unhandled error", exc_info=error)
        return problem(500, "internal_error", "the gate cannot answer now; nothing was released")


class SecurityHeaders:
    """ASGI middleware: puts ``SECURITY_HEADERS`` on every answer that does not state them itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and complete the headers of its answer."""

        async def complete(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope["scheme"] == "https":
                    headers.setdefault("Strict-Transport-Security", _HSTS)
            await send(message)

        await self._app(scope, receive, complete)
