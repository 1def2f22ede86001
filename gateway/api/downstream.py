"""Routes of engineers downstream: the only ones that hand out content, and only under a grant (law 1)."""

from typing import Any

import sqlalchemy as sa
from anyio import CancelScope
from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

from audit.events import EventType
from gateway.api.authentication import Caller, authenticate
from gateway.api.nonces import NonceStore
from gateway.api.routing import GateRoute
from gateway.errors import InvalidRequestError
from gateway.flow.acts import recorded
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.records import GrantRow, ReleaseRow
from gateway.flow.serve import Reading, entity_tag, read_item, read_manifest

PREFIX = "/downstream/v1/releases"


def purpose_of(caller: Caller) -> str:
    """The purpose that a request states, and signs.

    Raises:
        InvalidRequestError: It states none.
    """
    purpose = caller.request.purpose
    if not purpose:
        raise InvalidRequestError("the header Fleetgate-Purpose is missing (expected the grant's purpose)")
    return purpose


def downstream_routes(gate: Gate, nonces: NonceStore) -> APIRouter:
    """The downstream routes."""
    router = APIRouter(route_class=GateRoute, tags=["downstream"])

    @router.get(PREFIX)
    def list_releases(request: Request) -> dict[str, Any]:
        caller = authenticate(gate, nonces, request, kind="person")
        purpose = purpose_of(caller)
        now = gate.clock()
        statement = (
            sa.select(ReleaseRow)
            .join(GrantRow, GrantRow.release_id == ReleaseRow.id)
            .where(
                GrantRow.principal == caller.actor.id,
                GrantRow.purpose == purpose,
                GrantRow.revoked_at.is_(None),
                GrantRow.not_after > now,
            )
            .order_by(ReleaseRow.released_at)
            .distinct()
        )
        with recorded(
            gate,
            EventType.SERVE_LIST_READ,
            actor=caller.actor.id,
            object_id="releases",
            purpose=purpose,
            digests=caller.actor.digests,
        ) as session:
            rows = list(session.scalars(statement))
        return {
            "releases": [
                {"release": row.id, "purpose": row.purpose, "expires_at": instant(row.expires_at)}
                for row in rows
            ]
        }

    @router.get(PREFIX + "/{release}/manifest")
    def get_manifest(release: str, request: Request) -> PlainTextResponse:
        caller = authenticate(gate, nonces, request, kind="person")
        statement = read_manifest(gate, release, actor=caller.actor, purpose=purpose_of(caller))
        return PlainTextResponse(statement, media_type="application/jose")

    @router.get(PREFIX + "/{release}/items/{name:path}")
    def get_item(release: str, name: str, request: Request) -> StreamingResponse:
        caller = authenticate(gate, nonces, request, kind="person")
        reading = read_item(
            gate,
            release,
            name,
            actor=caller.actor,
            purpose=purpose_of(caller),
            wanted=request.headers.get("range"),
            only_if=request.headers.get("if-range"),
        )
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Length": str(reading.range.end - reading.range.start),
            "ETag": entity_tag(reading.sha256),
        }
        if reading.partial:
            headers["Content-Range"] = f"bytes {reading.range.start}-{reading.range.end - 1}/{reading.size}"
        return _ItemResponse(reading, headers)

    return router


class _ItemResponse(StreamingResponse):
    """Streams an item, and settles its read at once when the reader goes away early."""

    def __init__(self, reading: Reading, headers: dict[str, str]) -> None:
        status = 206 if reading.partial else 200
        super().__init__(reading.chunks, status_code=status, media_type=reading.media_type, headers=headers)
        self._reading = reading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with CancelScope(shield=True):
                await run_in_threadpool(self._reading.settle)
