"""Who is calling: RFC 9421 signatures by enrolled keys, each request refused or accepted leaves a trace."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from audit.events import EventType
from gateway.api.idempotency import claim_key
from gateway.api.nonces import NonceStore
from gateway.api.rates import RateLimitedError, Rates
from gateway.api.refusals import SignatureReason, SignatureRefusedError
from gateway.api.signatures import VerifiedRequest, check_content, signed_url, verify_request
from gateway.errors import InvalidRequestError, UnauthenticatedError
from gateway.flow.acts import entered, refused
from gateway.flow.gate import Gate
from gateway.people.records import PersonRow, VehicleRow
from gateway.people.registry import Actor, actor_of, require_suitable
from gateway.vault.jws import PublicKey, public_key_of

_SAFE = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """An authenticated caller and the request that proved it; ``act`` names that request in the ledger."""

    actor: Actor
    act: str
    request: VerifiedRequest
    public_key: PublicKey


def act_of(request: Request) -> str:
    """How the ledger names a request: its method and a digest of its path, which may hold content."""
    return f"{request.method}:{hashlib.sha256(request.url.path.encode()).hexdigest()[:16]}"


def _refuse(gate: Gate, request: Request, reason: str) -> None:
    rates: Rates = request.app.state.rates
    try:
        rates.refuse(request.client.host if request.client else "unknown")
    except RateLimitedError:
        entered()  # by the entries of those that were refused before it
        raise
    refused(gate, EventType.AUTH_REQUEST_REFUSE, actor="unknown", object_id=act_of(request), reason=reason)


def authenticate(gate: Gate, nonces: NonceStore, request: Request, *, kind: str) -> Caller:
    """Authenticate a vehicle or a person by the request's signature.

    Args:
        gate: The gate.
        nonces: Where spent nonces are remembered.
        request: The request; its body is not read.
        kind: ``vehicle`` or ``person``.

    Raises:
        SignatureRefusedError: The signature is missing, stale, replayed, incomplete or wrong.
        UnauthenticatedError: The key belongs to nobody active.
        RateLimitedError: The caller asks too often, or too much from this address was refused.
        Repeated: The request was answered before under its idempotency key.
        KeyReusedError: Its idempotency key stands for another request.
        AnswerUnknownError: The first request under its idempotency key has no answer.
    """
    found: dict[str, PersonRow | VehicleRow] = {}

    def resolve(keyid: str) -> PublicKey | None:
        with gate.database.read() as session:
            row: PersonRow | VehicleRow | None
            row = session.get(VehicleRow, keyid) if kind == "vehicle" else session.get(PersonRow, keyid)
        if row is None or row.suspended_at is not None:
            return None
        key = public_key_of(row.public_jwk)
        try:
            require_suitable(gate, key)
        except InvalidRequestError as error:
            raise SignatureRefusedError(SignatureReason.ALGORITHM, str(error)) from error
        found[keyid] = row
        return key

    headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in request.scope["headers"]]
    try:
        verified = verify_request(
            method=request.method,
            url=signed_url(request.scope),
            headers=headers,
            resolve_key=resolve,
            now=gate.clock(),
            nonces=nonces,
            max_age_s=gate.settings.signature_max_age_s,
        )
    except SignatureRefusedError as error:
        _refuse(gate, request, str(error.reason))
        raise
    row = found.get(verified.keyid)
    if row is None:
        _refuse(gate, request, UnauthenticatedError.reason)
        raise UnauthenticatedError(f"nobody active has this key (got {verified.keyid!r})")
    request.state.caller = row.id
    rates: Rates = request.app.state.rates
    rates.admit(row.id)
    if request.method not in _SAFE:
        request.state.claim = claim_key(gate, request, caller=row.id, content_sha256=verified.content_sha256)
    proof = hashlib.sha256(f"{verified.keyid}/{verified.nonce}".encode()).hexdigest()
    return Caller(
        actor=_actor(gate, row, proof),
        act=act_of(request),
        request=verified,
        public_key=public_key_of(row.public_jwk),
    )


def _actor(gate: Gate, row: PersonRow | VehicleRow, proof: str) -> Actor:
    if isinstance(row, PersonRow):
        return actor_of(row, proof=proof)
    return Actor(
        id=row.id,
        kind="vehicle",
        roles=("vehicle",),
        nationality=gate.settings.country,
        entity_country=gate.settings.country,
        proof=proof,
        digests={"proof": proof},
    )


def checked_body(caller: Caller, body: bytes) -> bytes:
    """The body, if it is the one that was signed.

    Raises:
        SignatureRefusedError: No digest was signed, or another one.
    """
    check_content(caller.request, hashlib.sha256(body).digest())
    return body


def json_object(body: bytes) -> dict[str, Any]:
    """A JSON object from a body.

    Raises:
        InvalidRequestError: It is none.
    """
    try:
        value = json.loads(body)
    except ValueError as error:
        raise InvalidRequestError(f"body is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidRequestError(f"body is no JSON object (got {type(value).__name__})")
    return value
