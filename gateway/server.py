"""The HTTP service: one router per audience over one gate, with its worker and scheduler in the background."""

import logging
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.responses import JSONResponse

from audit.errors import LedgerError
from audit.events import Event, EventType, Outcome
from gateway.api import (
    artefacts,
    auditors,
    description,
    downstream,
    operators,
    problems,
    quality,
    security_keys,
    vehicles,
)
from gateway.api.nonces import SpentNonces
from gateway.api.rates import Rates
from gateway.api.windows import RequestWindows
from gateway.flow.disk import disk_state
from gateway.flow.gate import Gate
from gateway.flow.recording import RecordingState
from gateway.flow.records import RecordingRow
from gateway.scheduler import scheduled
from gateway.workers import advance

log = logging.getLogger(__name__)


class BackgroundWorker:
    """Carries received recordings on, one at a time, in a thread of the server.

    Whatever it does not get to, the scheduler's ``retry_stalled`` picks up; nothing is kept in memory only.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fleetgate-worker")

    def received(self, recording: str) -> None:
        """Take a recording up if its last item has arrived."""
        with self._gate.database.read() as session:
            state = session.scalar(sa.select(RecordingRow.state).where(RecordingRow.id == recording))
        if state == RecordingState.QUARANTINED:
            self._pool.submit(self._carry, recording)

    def _carry(self, recording: str) -> None:
        try:
            advance(self._gate, recording)
        except Exception:  # the recording stays where it is; the scheduler tries again
            log.exception("recording %s stalls", recording)

    def close(self) -> None:
        """Finish the recording in hand and drop the rest: they are in the database."""
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def background(gate: Gate) -> Iterator[BackgroundWorker]:
    """A worker and the scheduler for as long as the context lasts."""
    worker = BackgroundWorker(gate)
    try:
        with scheduled(gate):
            yield worker
    finally:
        worker.close()


def create_app(gate: Gate) -> FastAPI:
    """The ASGI application over an open gate."""
    state: dict[str, BackgroundWorker] = {}

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        with background(gate) as worker:
            state["worker"] = worker
            gate.ledger.append(
                Event(
                    type=EventType.SYSTEM_GATEWAY_START,
                    outcome=Outcome.COMPLETED,
                    actor="gate",
                    object=gate.settings.origin,
                    digests={"bundle": gate.bundle.bundle.digest, "profile": gate.profile.digest},
                )
            )
            yield

    app = FastAPI(title="Fleetgate", version="0.1.0", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.gate = gate
    app.state.rates = Rates(
        gate.settings, RequestWindows(gate.database, gate.keystore.secret("request-counts"), gate.clock)
    )
    problems.install(app)
    app.add_middleware(problems.SecurityHeaders)
    nonces = SpentNonces(gate.database, now=gate.clock(), max_age_s=gate.settings.signature_max_age_s)
    app.include_router(
        vehicles.vehicle_routes(gate, nonces, lambda recording: state["worker"].received(recording))  # noqa: PLW0108 (the worker starts later)
    )
    app.include_router(operators.operator_routes(gate, nonces))
    app.include_router(quality.quality_routes(gate, nonces))
    app.include_router(security_keys.security_key_routes(gate, nonces))
    app.include_router(auditors.auditor_routes(gate, nonces))
    app.include_router(downstream.downstream_routes(gate, nonces))
    app.include_router(artefacts.artefact_routes(gate, nonces))

    @app.get("/healthz", tags=["health"])
    def healthz() -> JSONResponse:
        try:
            size = gate.ledger.size
        except LedgerError as error:
            return problems.describe(error)
        alarms = ["disk_low"] if disk_state(gate).low else []
        facts: dict[str, Any] = {"ledger_size": size, "policy_engine": gate.engine.name, "alarms": alarms}
        return JSONResponse({"status": "ok", **facts})

    description.install(app)
    return app
