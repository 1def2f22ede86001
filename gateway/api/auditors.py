"""Routes of auditors: entries, the latest checkpoint, a verifiable export. Looking is itself recorded."""

import tempfile
from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, StreamingResponse

from audit.events import EventType, Outcome
from audit.export import export_ledger
from audit.query import EntryFilter, find_page
from gateway.api.authentication import authenticate
from gateway.api.nonces import NonceStore
from gateway.api.routing import GateRoute
from gateway.errors import InvalidRequestError
from gateway.flow.acts import intended
from gateway.flow.gate import Gate
from gateway.people.permission import permit

PREFIX = "/auditors/v1/ledger"
_CHUNK = 256 * 1024


def auditor_routes(gate: Gate, nonces: NonceStore) -> APIRouter:
    """The auditors' routes."""
    router = APIRouter(route_class=GateRoute, tags=["auditors"], prefix=PREFIX)

    @router.get("/entries")
    def get_entries(  # noqa: PLR0913, PLR0917 (each is a query parameter)
        request: Request,
        actor: str | None = None,
        object_id: Annotated[str | None, Query(alias="object")] = None,
        recording: str | None = None,
        item: str | None = None,
        release: str | None = None,
        grant: str | None = None,
        vehicle: str | None = None,
        recipient: str | None = None,
        purpose: str | None = None,
        rule: str | None = None,
        outcome: Outcome | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        types: Annotated[list[EventType] | None, Query(alias="type")] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: int | None = None,
    ) -> dict[str, Any]:
        caller = authenticate(gate, nonces, request, kind="person")
        auditor = permit(gate, caller.actor, "audit.query")
        try:
            wanted = EntryFilter(
                actor=actor,
                object=object_id,
                recording=recording,
                item=item,
                release=release,
                grant=grant,
                vehicle=vehicle,
                recipient=recipient,
                purpose=purpose,
                rule=rule,
                outcome=outcome,
                since=since,
                until=until,
                types=tuple(types or ()),
            )
        except ValueError as error:
            raise InvalidRequestError(str(error)) from error
        event = intended(
            EventType.AUDIT_LEDGER_QUERY, actor=auditor.id, object_id="ledger", digests=auditor.digests
        )
        with gate.ledger.intent(event) as intent:
            with gate.ledger.snapshot() as snapshot:
                page = find_page(snapshot, wanted, limit=limit, after=after)
            intent.complete(facts={"entries": len(page.entries)})
        return {
            "entries": [
                {"index": e.index, "leaf": e.leaf.decode(), "hash": e.leaf_hash.hex()} for e in page.entries
            ],
            "cursor": page.cursor,
        }

    @router.get("/checkpoint")
    def get_checkpoint(request: Request) -> PlainTextResponse:
        caller = authenticate(gate, nonces, request, kind="person")
        auditor = permit(gate, caller.actor, "audit.checkpoint")
        event = intended(
            EventType.AUDIT_LEDGER_CHECKPOINT, actor=auditor.id, object_id="ledger", digests=auditor.digests
        )
        with gate.ledger.intent(event) as intent:
            intent.complete()
        return PlainTextResponse(gate.checkpoint())

    @router.get("/export")
    def get_export(request: Request) -> StreamingResponse:
        caller = authenticate(gate, nonces, request, kind="person")
        auditor = permit(gate, caller.actor, "audit.export")
        event = intended(
            EventType.AUDIT_LEDGER_EXPORT, actor=auditor.id, object_id="ledger", digests=auditor.digests
        )
        with gate.ledger.intent(event) as intent:
            # The export holds pseudonymous ids and digests only (rule 28), so that it may touch a spool file.
            spool = tempfile.TemporaryFile()  # noqa: SIM115 (closed by the response)
            summary = export_ledger(gate.ledger, spool, note=gate.checkpoint())
            intent.complete(facts={"entries": summary.count})
        spool.seek(0)

        def chunks() -> Iterator[bytes]:
            with spool:
                while chunk := spool.read(_CHUNK):
                    yield chunk

        return StreamingResponse(chunks(), media_type="application/jsonl")

    return router
