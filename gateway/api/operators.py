"""Routes of map-licensed operators: request, look, approve, publish, grant, revoke."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError
from starlette.concurrency import run_in_threadpool

from gateway.api.authentication import Caller, authenticate, checked_body
from gateway.api.dossiers import with_dossier_route
from gateway.api.nonces import NonceStore
from gateway.api.routing import GateRoute
from gateway.api.vehicles import read_body
from gateway.errors import InvalidRequestError
from gateway.flow.approve import approve, withdraw_approval
from gateway.flow.build import build_release
from gateway.flow.closing import Rejection, RejectionCode, reject, withdraw
from gateway.flow.dossier import release_summary, review_release
from gateway.flow.gate import Gate
from gateway.flow.judge import judge_release
from gateway.flow.permitted import permit_on_release
from gateway.flow.recording import ReleaseMode
from gateway.flow.release import GrantTerms, issue_grant, load_approved, release, revoke_grant, revoke_release
from gateway.flow.request import ReleaseRequest, request_release
from gateway.people.permission import permit
from gateway.review.contact_sheet import review_sheets

PREFIX = "/operators/v1"


B = TypeVar("B", bound="Body")


class Body(BaseModel):
    """The JSON body of a request; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=False)


class ReleaseBody(Body):
    """A request for a release."""

    recordings: list[str]
    purpose: str
    recipient: str
    mode: ReleaseMode
    expires_at: AwareDatetime
    destination_zone: str = "in_zone"
    map_number: str | None = None
    dpia_reference: str | None = None


class ApprovalBody(Body):
    """An approval: a compact JWS of type ``fleetgate-approval+jwt``."""

    statement: str


class RejectionBody(Body):
    """Why a candidate is rejected."""

    code: RejectionCode
    text_zh: str = ""
    text_en: str = ""


class GrantBody(Body):
    """A grant to issue."""

    release: str
    principal: str
    not_after: AwareDatetime


def parsed(
    gate: Gate,
    kind: type[B],
    caller: Caller,
    body: bytes,
    *,
    act: str,
    release: str | None = None,
    break_glass: Mapping[str, Any] | None = None,
) -> B:
    """The body of a request for an act.

    Args:
        gate: The gate.
        kind: Its model.
        caller: Who sent it.
        body: Its bytes.
        act: What they would do.
        release: The release that it would be done on; else it is on something that is not there yet.
        break_glass: What policy is told of break-glass, where the act is one of its steps.

    Raises:
        SignatureRefusedError: It is not the one that was signed.
        ActDeniedError: It is malformed, and policy does not permit the caller the act anyway.
        InvalidRequestError: It is malformed; where it is not, policy is asked by the act itself.
    """
    try:
        return kind.model_validate_json(checked_body(caller, body))
    except ValidationError as error:
        if release is None:
            permit(gate, caller.actor, act, exists=False, break_glass=break_glass)
        else:
            permit_on_release(gate, caller.actor, act, release)
        raise InvalidRequestError(f"body: {error.errors(include_url=False, include_input=False)}") from error


def operator_routes(gate: Gate, nonces: NonceStore) -> APIRouter:
    """The operators' routes; each caller proves who they are; whether they may is asked where the act is."""
    router = with_dossier_route(
        APIRouter(route_class=GateRoute, tags=["operators"], prefix=PREFIX), gate, nonces
    )

    async def called(request: Request) -> Caller:
        return await run_in_threadpool(authenticate, gate, nonces, request, kind="person")

    async def called_with(
        kind: type[B], caller: Caller, request: Request, *, act: str, release: str | None = None
    ) -> B:
        content = await read_body(request)
        return await run_in_threadpool(parsed, gate, kind, caller, content, act=act, release=release)

    @router.post("/releases", status_code=201)
    async def post_release(request: Request) -> dict[str, Any]:
        caller = await called(request)
        body = await called_with(ReleaseBody, caller, request, act="release.request")

        def carry() -> dict[str, Any]:
            wanted = ReleaseRequest(**body.model_dump())
            made = request_release(gate, wanted, actor=caller.actor)
            build_release(gate, made)
            judge_release(gate, made)
            return release_summary(gate, made)

        return await run_in_threadpool(carry)

    @router.get("/releases/{release_id}")
    async def get_release(release_id: str, request: Request) -> dict[str, Any]:
        caller = await called(request)
        return await run_in_threadpool(review_release, gate, release_id, actor=caller.actor)

    @router.get("/releases/{release_id}/contact-sheet", response_class=Response)
    async def get_contact_sheet(
        release_id: str, request: Request, page: Annotated[int, Query(ge=1)] = 1
    ) -> Response:
        caller = await called(request)

        def carry() -> bytes:
            return b"".join(review_sheets(gate, release_id, actor=caller.actor, page=page))

        return Response(await run_in_threadpool(carry), media_type="image/png")

    @router.post("/releases/{release_id}/approvals", status_code=201)
    async def post_approval(release_id: str, request: Request) -> dict[str, Any]:
        caller = await called(request)
        body = await called_with(ApprovalBody, caller, request, act="release.approve", release=release_id)
        await run_in_threadpool(approve, gate, release_id, body.statement, actor=caller.actor)
        return {"release": release_id, "approver": caller.actor.id}

    @router.post("/releases/{release_id}/approvals/withdrawal", status_code=201)
    async def post_approval_withdrawal(release_id: str, request: Request) -> dict[str, Any]:
        caller = await called(request)
        await run_in_threadpool(withdraw_approval, gate, release_id, actor=caller.actor)
        return {"release": release_id, "approver": caller.actor.id, "approved": False}

    @router.post("/releases/{release_id}/rejection", status_code=201)
    async def post_rejection(release_id: str, request: Request) -> dict[str, Any]:
        caller = await called(request)
        body = await called_with(RejectionBody, caller, request, act="release.reject", release=release_id)
        why = Rejection(code=body.code, text_zh=body.text_zh, text_en=body.text_en)
        await run_in_threadpool(reject, gate, release_id, why, actor=caller.actor)
        return {"release": release_id, "rejected": True, "code": body.code}

    @router.post("/releases/{release_id}/withdrawal", status_code=201)
    async def post_withdrawal(release_id: str, request: Request) -> dict[str, Any]:
        caller = await called(request)
        await run_in_threadpool(withdraw, gate, release_id, actor=caller.actor)
        return {"release": release_id, "withdrawn": True}

    @router.post("/releases/{release_id}/publication", status_code=201)
    async def post_publication(release_id: str, request: Request) -> dict[str, Any]:
        caller = await called(request)

        def carry() -> dict[str, Any]:
            approved = load_approved(gate, release_id, actor=caller.actor)
            released = release(gate, approved, actor=caller.actor)
            return {"release": released.release, "manifest": released.manifest_jws}

        return await run_in_threadpool(carry)

    @router.post("/releases/{release_id}/revocation", status_code=201)
    async def post_revocation(release_id: str, request: Request) -> dict[str, Any]:
        caller = await called(request)
        done = await run_in_threadpool(revoke_release, gate, release_id, actor=caller.actor)
        return done.document()

    @router.post("/grants", status_code=201)
    async def post_grant(request: Request) -> dict[str, Any]:
        caller = await called(request)
        body = await called_with(GrantBody, caller, request, act="grant.issue")
        until: datetime = body.not_after
        terms = GrantTerms(release=body.release, principal=body.principal, not_after=until)
        grant = await run_in_threadpool(issue_grant, gate, terms, actor=caller.actor)
        return {"grant": grant}

    @router.post("/grants/{grant}/revocation", status_code=201)
    async def post_grant_revocation(grant: str, request: Request) -> dict[str, Any]:
        caller = await called(request)
        await run_in_threadpool(revoke_grant, gate, grant, actor=caller.actor)
        return {"grant": grant, "revoked": True}

    return router
