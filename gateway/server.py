"""The HTTP service: one router per audience over one gate; without a ledger no answer (law 2)."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from audit.errors import LedgerError
from audit.events import Event, EventType, Outcome
from gateway.api import (
    artefacts,
    auditors,
    break_glass,
    description,
    downstream,
    operators,
    problems,
    quality,
    security_keys,
    uses,
    vehicles,
)
from gateway.api.closed import RequireLedger
from gateway.api.nonces import SpentNonces
from gateway.api.rates import Rates
from gateway.api.windows import RequestWindows
from gateway.background import BackgroundWorker, background
from gateway.flow.disk import disk_state
from gateway.flow.gate import Gate
from gateway.people.break_glass import alarms as break_glass_alarms

Received = Callable[[str], None]


def create_app(gate: Gate, received: Received | None = None) -> FastAPI:
    """The ASGI application over an open gate.

    Args:
        gate: The gate.
        received: Told of each recording that got an item, in a process that has others carry recordings on and run
            the jobs; unless given, this one does both for as long as it serves.
    """
    state: dict[str, BackgroundWorker] = {}

    @asynccontextmanager
    async def alone(_app: FastAPI) -> AsyncIterator[None]:
        with background(gate) as worker:
            state["worker"] = worker
            tell_start(gate)
            yield

    lifespan = alone if received is None else None
    app = FastAPI(title="Fleetgate", version="0.1.0", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.gate = gate
    app.state.rates = Rates(
        gate.settings, RequestWindows(gate.database, gate.keystore.secret("request-counts"), gate.clock)
    )
    problems.install(app)
    app.add_middleware(RequireLedger, ledger=gate.ledger)
    app.add_middleware(problems.SecurityHeaders)
    nonces = SpentNonces(gate.database, now=gate.clock(), max_age_s=gate.settings.signature_max_age_s)
    app.include_router(
        vehicles.vehicle_routes(
            gate,
            nonces,
            received or (lambda recording: state["worker"].received(recording)),  # noqa: PLW0108 (it starts later)
        )
    )
    app.include_router(operators.operator_routes(gate, nonces))
    app.include_router(quality.quality_routes(gate, nonces))
    app.include_router(break_glass.break_glass_routes(gate, nonces))
    app.include_router(security_keys.security_key_routes(gate, nonces))
    app.include_router(auditors.auditor_routes(gate, nonces))
    app.include_router(downstream.downstream_routes(gate, nonces))
    app.include_router(artefacts.artefact_routes(gate, nonces))
    app.include_router(uses.use_routes(gate, nonces))

    @app.get("/healthz", tags=["health"])
    def healthz() -> JSONResponse:
        try:
            size = gate.ledger.size
        except LedgerError as error:
            return problems.describe(error)
        alarms = [*(["disk_low"] if disk_state(gate).low else []), *break_glass_alarms(gate)]
        facts: dict[str, Any] = {"ledger_size": size, "policy_engine": gate.engine.name, "alarms": alarms}
        return JSONResponse({"status": "ok", **facts})

    description.install(app)
    return app


def tell_start(gate: Gate) -> None:
    """Put into the ledger that this process begins to answer, and under what.

    Raises:
        LedgerUnavailableError: The entry was not acknowledged: nothing is answered.
    """
    gate.ledger.append(
        Event(
            type=EventType.SYSTEM_GATEWAY_START,
            outcome=Outcome.COMPLETED,
            actor="gate",
            object=gate.settings.origin,
            digests={"bundle": gate.bundle.bundle.digest, "profile": gate.profile.digest},
            facts={"process": os.getpid()},
        )
    )
