"""Routes of the sample of pictures that a person counts in (rule 17), and of judging a release after that."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from gateway.api.authentication import Caller, authenticate
from gateway.api.nonces import NonceStore
from gateway.api.operators import Body, parsed
from gateway.api.routing import GateRoute
from gateway.api.vehicles import read_body
from gateway.flow.dossier import review_release
from gateway.flow.gate import Gate
from gateway.flow.judge import judge_release
from gateway.flow.permitted import permit_on_release
from gateway.review.quality import draw_sample, record_counts, show_pictures, show_sample

PREFIX = "/operators/v1/releases/{release_id}"


class RecordBody(Body):
    """Counts: a compact JWS of type ``fleetgate-quality-record+jwt``."""

    statement: str


def quality_routes(gate: Gate, nonces: NonceStore) -> APIRouter:
    """Routes for operators and officers who count, auditors who look, and operators who go on after that."""
    router = APIRouter(route_class=GateRoute, tags=["operators"], prefix=PREFIX)

    async def called(request: Request) -> Caller:
        return await run_in_threadpool(authenticate, gate, nonces, request, kind="person")

    @router.get("/quality")
    async def get_quality(release_id: str, request: Request) -> dict[str, Any]:
        caller = await called(request)
        return await run_in_threadpool(show_sample, gate, release_id, actor=caller.actor)

    @router.post("/quality/sample", status_code=201)
    async def post_sample(release_id: str, request: Request) -> dict[str, Any]:
        caller = await called(request)
        return await run_in_threadpool(draw_sample, gate, release_id, actor=caller.actor)

    @router.get("/quality/pictures/{number}", response_class=Response)
    async def get_picture(release_id: str, number: int, request: Request) -> Response:
        caller = await called(request)

        def carry() -> bytes:
            ((_, sheet),) = show_pictures(gate, release_id, actor=caller.actor, numbers=[number])
            return sheet

        content = await run_in_threadpool(carry)
        return Response(content, media_type="image/png", headers={"Cache-Control": "no-store"})

    @router.post("/quality/records", status_code=201)
    async def post_record(release_id: str, request: Request) -> dict[str, Any]:
        caller = await called(request)
        content = await read_body(request)
        body = await run_in_threadpool(
            parsed, gate, RecordBody, caller, content, act="quality.record", release=release_id
        )
        return await run_in_threadpool(record_counts, gate, release_id, body.statement, actor=caller.actor)

    @router.post("/judgement", status_code=201)
    async def post_judgement(release_id: str, request: Request) -> dict[str, Any]:
        caller = await called(request)

        def carry() -> dict[str, Any]:
            permit_on_release(gate, caller.actor, "release.resume", release_id)
            judge_release(gate, release_id)
            return review_release(gate, release_id, actor=caller.actor)

        return await run_in_threadpool(carry)

    return router
