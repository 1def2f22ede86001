"""Routes of what is derived from releases: engineers register it, operators see what rests on a release."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool

from gateway.api.authentication import authenticate, checked_body
from gateway.api.downstream import purpose_of
from gateway.api.nonces import NonceStore
from gateway.api.operators import Body
from gateway.api.routing import GateRoute
from gateway.api.vehicles import read_body
from gateway.errors import InvalidRequestError
from gateway.flow.gate import Gate
from gateway.flow.lineage import release_lineage
from gateway.flow.permitted import permit_on_release
from gateway.flow.register import read_artefact, register_artefact

ARTEFACTS = "/downstream/v1/artefacts"
LINEAGE = "/operators/v1/releases/{release_id}/lineage"


class ArtefactBody(Body):
    """A derived artefact: a compact JWS of type ``fleetgate-artefact+jwt``."""

    statement: str


def artefact_routes(gate: Gate, nonces: NonceStore) -> APIRouter:
    """The routes; registering asks for a live grant on everything that the artefact rests on."""
    router = APIRouter(route_class=GateRoute)

    @router.post(ARTEFACTS, status_code=201, tags=["downstream"])
    async def post_artefact(request: Request) -> dict[str, Any]:
        caller = await run_in_threadpool(authenticate, gate, nonces, request, kind="person")
        try:
            body = ArtefactBody.model_validate_json(checked_body(caller, await read_body(request)))
        except ValidationError as error:
            raise InvalidRequestError(
                f"body: {error.errors(include_url=False, include_input=False)}"
            ) from error
        return await run_in_threadpool(
            register_artefact, gate, body.statement, actor=caller.actor, purpose=purpose_of(caller)
        )

    @router.get(ARTEFACTS + "/{artefact}", tags=["downstream"])
    def get_artefact(artefact: str, request: Request) -> dict[str, Any]:
        caller = authenticate(gate, nonces, request, kind="person")
        return read_artefact(gate, artefact, actor=caller.actor, purpose=purpose_of(caller))

    @router.get(LINEAGE, tags=["operators"])
    def get_lineage(release_id: str, request: Request) -> dict[str, Any]:
        caller = authenticate(gate, nonces, request, kind="person")
        permit_on_release(gate, caller.actor, "release.lineage", release_id)
        return release_lineage(gate, release_id, actor=caller.actor)

    return router
