"""Routes of security keys (WebAuthn): registering one, revoking it, approving with it."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from gateway.api.authentication import Caller, authenticate
from gateway.api.nonces import NonceStore
from gateway.api.operators import Body, parsed
from gateway.api.routing import GateRoute
from gateway.api.vehicles import read_body
from gateway.flow.asserted import approve_by_assertion, begin_approval
from gateway.flow.gate import Gate
from gateway.people.security_keys import begin_registration, register_security_key, revoke_security_key

PREFIX = "/operators/v1"


class SecurityKeyBody(Body):
    """What the authenticator answered, and the holder's statement: a compact JWS ``fleetgate-act+jwt``."""

    response: dict[str, Any]
    statement: str


class AssertionBody(Body):
    """What the authenticator answered to the challenge of an approval."""

    response: dict[str, Any]


def security_key_routes(gate: Gate, nonces: NonceStore) -> APIRouter:
    """The routes; every request proves by its own signature, too, who sends it."""
    router = APIRouter(route_class=GateRoute, tags=["operators"], prefix=PREFIX)

    async def called(request: Request) -> Caller:
        return await run_in_threadpool(authenticate, gate, nonces, request, kind="person")

    @router.post("/security-keys/challenges", status_code=201)
    async def post_registration_challenge(request: Request) -> dict[str, Any]:
        caller = await called(request)
        return await run_in_threadpool(begin_registration, gate, actor=caller.actor)

    @router.post("/security-keys", status_code=201)
    async def post_security_key(request: Request) -> dict[str, Any]:
        caller = await called(request)
        content = await read_body(request)
        body = await run_in_threadpool(parsed, gate, SecurityKeyBody, caller, content, act="security-key.add")
        return await run_in_threadpool(
            register_security_key, gate, body.response, body.statement, actor=caller.actor
        )

    @router.post("/security-keys/{credential}/revocation", status_code=201)
    async def post_security_key_revocation(credential: str, request: Request) -> dict[str, Any]:
        caller = await called(request)
        await run_in_threadpool(revoke_security_key, gate, credential, actor=caller.actor)
        return {"credential": credential, "revoked": True}

    @router.post("/releases/{release_id}/approvals/challenges", status_code=201)
    async def post_approval_challenge(release_id: str, request: Request) -> dict[str, Any]:
        caller = await called(request)
        return await run_in_threadpool(begin_approval, gate, release_id, actor=caller.actor)

    @router.post("/releases/{release_id}/approvals/assertions", status_code=201)
    async def post_assertion(release_id: str, request: Request) -> dict[str, Any]:
        caller = await called(request)
        content = await read_body(request)
        body = await run_in_threadpool(
            parsed, gate, AssertionBody, caller, content, act="release.approve", release=release_id
        )
        await run_in_threadpool(approve_by_assertion, gate, release_id, body.response, actor=caller.actor)
        return {"release": release_id, "approver": caller.actor.id}

    return router
