"""The route by which engineers report what they do with released data, before they see what comes of it."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Request
from pydantic import Field, JsonValue, ValidationError
from starlette.concurrency import run_in_threadpool

from gateway.api.authentication import authenticate, checked_body
from gateway.api.downstream import purpose_of
from gateway.api.nonces import NonceStore
from gateway.api.operators import Body
from gateway.api.routing import GateRoute
from gateway.api.vehicles import read_body
from gateway.errors import InvalidRequestError
from gateway.flow.gate import Gate
from gateway.flow.use import MAX_RELEASES, UseKind, report_use

USES: Final = "/downstream/v1/uses"
MAX_BODY_BYTES: Final = 64 * 1024

Release = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]


class UseBody(Body):
    """A use of releases: of what kind, and what is asked."""

    kind: UseKind
    releases: Annotated[list[Release], Field(min_length=1, max_length=MAX_RELEASES)]
    query: dict[str, JsonValue] = Field(default_factory=dict)


def use_routes(gate: Gate, nonces: NonceStore) -> APIRouter:
    """The route; it asks for a live grant on every release that is used."""
    router = APIRouter(route_class=GateRoute, tags=["downstream"])

    @router.post(USES, status_code=201)
    async def post_use(request: Request) -> dict[str, Any]:
        caller = await run_in_threadpool(authenticate, gate, nonces, request, kind="person")
        content = checked_body(caller, await read_body(request, MAX_BODY_BYTES))
        try:
            body = UseBody.model_validate_json(content)
        except ValidationError as error:
            raise InvalidRequestError(
                f"body: {error.errors(include_url=False, include_input=False)}"
            ) from error
        return await run_in_threadpool(
            report_use,
            gate,
            body.kind,
            body.releases,
            body.query,
            actor=caller.actor,
            purpose=purpose_of(caller),
        )

    return router
