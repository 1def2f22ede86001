"""Routes of break-glass (rule 30): ask, approve, look, end, list, review."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from gateway.api.authentication import Caller, authenticate
from gateway.api.nonces import NonceStore
from gateway.api.operators import Body, parsed
from gateway.api.routing import GateRoute
from gateway.api.vehicles import read_body
from gateway.flow.gate import Gate
from gateway.people.break_glass import BreakGlass, ReviewOutcome, least_request, summary_of
from gateway.people.break_glass_reports import report_break_glass
from gateway.people.break_glass_steps import (
    approve_break_glass,
    end_break_glass,
    list_break_glass,
    request_break_glass,
    review_break_glass,
)
from gateway.review.originals import show_original

PREFIX = "/operators/v1/break-glass"


class BreakGlassBody(Body):
    """A request to see originals."""

    items: list[str]
    minutes: Annotated[int, Field(ge=1, le=100_000)]
    reason: str


class ReviewBody(Body):
    """What a third person found."""

    outcome: ReviewOutcome
    note: str


def break_glass_routes(gate: Gate, nonces: NonceStore) -> APIRouter:
    """Routes for who asks, who approves and who looks back; policy says who that is."""
    router = APIRouter(route_class=GateRoute, tags=["operators"], prefix=PREFIX)

    async def called(request: Request) -> Caller:
        return await run_in_threadpool(authenticate, gate, nonces, request, kind="person")

    def reported(found: BreakGlass) -> dict[str, Any]:
        report_break_glass(gate, found.id)
        return summary_of(gate, found)

    @router.post("", status_code=201)
    async def post_break_glass(request: Request) -> dict[str, Any]:
        caller = await called(request)
        content = await read_body(request)

        def carry() -> dict[str, Any]:
            least = least_request(gate, caller.actor.id).facts()
            body = parsed(gate, BreakGlassBody, caller, content, act="break-glass.request", break_glass=least)
            lasting = timedelta(minutes=body.minutes)
            asked = request_break_glass(
                gate, body.items, lasting=lasting, reason=body.reason, actor=caller.actor
            )
            return summary_of(gate, asked)

        return await run_in_threadpool(carry)

    @router.get("")
    async def get_break_glass(request: Request) -> dict[str, Any]:
        caller = await called(request)
        return {"break_glass": await run_in_threadpool(list_break_glass, gate, actor=caller.actor)}

    @router.post("/{access}/approval", status_code=201)
    async def post_approval(access: str, request: Request) -> dict[str, Any]:
        caller = await called(request)

        def carry() -> dict[str, Any]:
            return reported(approve_break_glass(gate, access, actor=caller.actor))

        return await run_in_threadpool(carry)

    @router.post("/{access}/end", status_code=201)
    async def post_end(access: str, request: Request) -> dict[str, Any]:
        caller = await called(request)

        def carry() -> dict[str, Any]:
            return reported(end_break_glass(gate, access, actor=caller.actor))

        return await run_in_threadpool(carry)

    @router.get("/{access}/originals/{item}", response_class=Response)
    async def get_original(
        access: str, item: str, request: Request, frame: Annotated[int, Query(ge=0)] = 0
    ) -> Response:
        caller = await called(request)
        picture = await run_in_threadpool(show_original, gate, access, item, actor=caller.actor, frame=frame)
        return Response(picture, media_type="image/png", headers={"Cache-Control": "no-store"})

    @router.post("/{access}/review", status_code=201)
    async def post_review(access: str, request: Request) -> dict[str, Any]:
        caller = await called(request)
        content = await read_body(request)

        def carry() -> dict[str, Any]:
            body = parsed(gate, ReviewBody, caller, content, act="break-glass.review")
            found = review_break_glass(gate, access, body.outcome, body.note, actor=caller.actor)
            return summary_of(gate, found)

        return await run_in_threadpool(carry)

    return router
