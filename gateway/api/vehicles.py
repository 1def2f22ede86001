"""Routes of collection vehicles: announce a recording, deliver its items, ask what stands and what to seal to."""

import base64
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import sqlalchemy as sa
from anyio import from_thread
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.concurrency import run_in_threadpool

from gateway.api.authentication import Caller, authenticate, checked_body, json_object
from gateway.api.nonces import NonceStore
from gateway.api.routing import GateRoute
from gateway.errors import DigestMismatchError, InvalidRequestError, NotFoundError, UnauthenticatedError
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, load_manifest, receive_item
from gateway.flow.records import ItemRow, RecordingRow
from gateway.flow.scope import hold_of
from gateway.intake_rotation import tell_intake_key
from gateway.vault.intake_generations import accepted_keys, destroyed_keys
from gateway.vault.jws import ed25519_key_of
from gateway.vehicles.agent import INTAKE_KEY_PATH, RECORDINGS_PATH
from gateway.vehicles.manifest import read_manifest
from gateway.vehicles.outbox import open_manifest

_MANIFEST_BYTES = 64 * 1024 * 1024


async def read_body(request: Request, limit: int = _MANIFEST_BYTES) -> bytes:
    """The whole body, up to a limit.

    Raises:
        InvalidRequestError: It is longer.
    """
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise InvalidRequestError(f"body is too long (expected at most {limit} bytes)")
    return bytes(body)


def _status(gate: Gate, recording: str) -> dict[str, Any]:
    with gate.database.read() as session:
        manifest = load_manifest(gate, session, recording)
        rows = session.execute(
            sa.select(ItemRow.position, ItemRow.state).where(ItemRow.recording_id == recording)
        )
        states = {position: state for position, state in rows}  # noqa: C416 (rows are no pairs to mypy)
        held = session.get_one(RecordingRow, recording).held_entry
        hold = {} if held is None else {"hold": hold_of(gate, session, held)}
    # Names of a sealed recording stay unseen by whoever relays the answer.
    named = manifest.sealing is None
    return {
        "recording": recording,
        **hold,
        "items": [
            {
                **({"name": item.name} if named else {}),
                "index": i,
                "state": states[i],
                "href": f"{RECORDINGS_PATH}/{recording}/items/{i}",
            }
            for i, item in enumerate(manifest.items)
        ],
    }


def _statement(gate: Gate, body: dict[str, Any]) -> str:
    """The signed manifest of an announcement, opened where it is sealed."""
    sealed, statement = body.get("sealed_manifest"), body.get("manifest")
    if isinstance(sealed, str) and statement is None:
        try:
            content = base64.b64decode(sealed, validate=True)
        except ValueError as error:
            raise InvalidRequestError(f"sealed_manifest is not base64 ({error})") from error
        keys = accepted_keys(gate.keystore, gate.clock())
        return open_manifest(content, *keys, destroyed=destroyed_keys(gate.keystore))
    if isinstance(statement, str) and sealed is None:
        return statement
    raise InvalidRequestError(
        "body needs the field 'manifest' (expected a compact JWS) or 'sealed_manifest' (expected base64)"
    )


def _own(gate: Gate, caller: Caller, recording: str) -> None:
    with gate.database.read() as session:
        row = session.get(RecordingRow, recording)
    if row is None or row.source_id != caller.actor.id:
        raise NotFoundError(f"no such recording of this vehicle (got {recording!r})")


def _pull(stream: AsyncIterator[bytes]) -> Iterator[bytes]:
    """The request's body for a worker thread: one chunk in memory at a time, back-pressure included."""

    async def following() -> bytes | None:
        return await anext(stream, None)

    while (chunk := from_thread.run(following)) is not None:
        if chunk:
            yield chunk


def vehicle_routes(gate: Gate, nonces: NonceStore, received: Callable[[str], None]) -> APIRouter:
    """The vehicles' routes; ``received`` is told of each recording whose last item arrived."""
    router = APIRouter(route_class=GateRoute, tags=["vehicles"])

    @router.post(RECORDINGS_PATH)
    async def post_recording(request: Request) -> JSONResponse:
        caller = await run_in_threadpool(authenticate, gate, nonces, request, kind="vehicle")
        body = json_object(checked_body(caller, await read_body(request)))
        sealed = "sealed_manifest" in body
        statement = await run_in_threadpool(_statement, gate, body)
        manifest = await run_in_threadpool(read_manifest, statement, ed25519_key_of(caller.public_key))
        if manifest.vehicle != caller.actor.id:
            raise UnauthenticatedError(f"manifest is of another vehicle (got {manifest.vehicle!r})")
        delivery = Delivery(manifest=manifest, source="vehicle", manifest_signed=True, manifest_sealed=sealed)
        recording = await run_in_threadpool(announce, gate, delivery, actor=caller.actor)
        return JSONResponse(await run_in_threadpool(_status, gate, recording), status_code=201)

    @router.put(RECORDINGS_PATH + "/{recording}/items/{position}")
    async def put_item(recording: str, position: int, request: Request) -> JSONResponse:
        caller = await run_in_threadpool(authenticate, gate, nonces, request, kind="vehicle")
        await run_in_threadpool(_own, gate, caller, recording)

        def receive() -> str:
            with gate.database.read() as session:
                manifest = load_manifest(gate, session, recording)
            items = manifest.items if manifest.sealing is None else manifest.sealing.items
            if not 0 <= position < len(items):
                raise NotFoundError(f"no such item was announced (got position {position})")
            signed = caller.request.content_sha256
            if signed is None or signed.hex() != items[position].sha256:
                raise DigestMismatchError(
                    f"signed content digest is not the announced one (got {signed.hex() if signed else None}, "
                    f"expected {items[position].sha256})"
                )
            chunks = _pull(request.stream())
            state = receive_item(gate, recording, position, chunks, actor=caller.actor)
            received(recording)
            return state.value

        state = await run_in_threadpool(receive)
        return JSONResponse({"recording": recording, "index": position, "state": state}, status_code=201)

    @router.get(RECORDINGS_PATH + "/{recording}")
    def get_recording(recording: str, request: Request) -> dict[str, Any]:
        caller = authenticate(gate, nonces, request, kind="vehicle")
        _own(gate, caller, recording)
        return _status(gate, recording)

    @router.get(INTAKE_KEY_PATH)
    def get_intake_key(request: Request) -> PlainTextResponse:
        caller = authenticate(gate, nonces, request, kind="vehicle")
        return PlainTextResponse(tell_intake_key(gate, vehicle=caller.actor), media_type="application/jose")

    return router
