"""Idempotency keys: a request that is sent again under its key gets its first answer and has no second effect.

After the Internet-Draft "The Idempotency-Key HTTP Header Field" (draft-ietf-httpapi-idempotency-key-header): the
key is the caller's own, bound to method, target and signed content; it is forgotten after ``KEPT``.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import timedelta

import rfc8785
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from starlette.requests import Request
from starlette.responses import Response

from audit.events import Event, EventType, Outcome
from gateway.api.records import KeyedRequestRow
from gateway.api.signature_profile import IDEMPOTENCY_HEADER
from gateway.errors import GatewayError, InvalidRequestError
from gateway.flow.acts import entered
from gateway.flow.gate import Gate
from gateway.vault.values import open_value, seal_value

KEPT = timedelta(hours=24)
_KEY = re.compile(r"[\x21-\x7e]{1,128}")


class KeyReusedError(GatewayError):
    """The key was used for another request."""

    reason = "idempotency_key_reused"


class AnswerUnknownError(GatewayError):
    """The first request under this key is still being carried out, or nobody knows how it ended."""

    reason = "idempotency_unknown"


class Repeated(Exception):  # noqa: N818 (no error: the answer is there)
    """The request was answered before.

    Attributes:
        response: What it was answered.
    """

    def __init__(self, response: Response) -> None:
        super().__init__("answered before")
        self.response = response


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The right to answer the one request under a key."""

    caller: str
    key: str


def claim_key(gate: Gate, request: Request, *, caller: str, content_sha256: bytes | None) -> Claim | None:
    """Claim the key that an authenticated request states; None where it states none.

    Args:
        gate: The gate.
        request: A request whose signature was verified.
        caller: Who signed it.
        content_sha256: The signed digest of its content.

    Raises:
        Repeated: It was answered before; the repetition is in the ledger.
        KeyReusedError: The key stands for another request.
        AnswerUnknownError: The first request has no answer yet.
        InvalidRequestError: The key is malformed.
    """
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise InvalidRequestError(
            f"Idempotency-Key (got {key[:130]!r}, expected 1 to 128 visible ASCII characters)"
        )
    target = request.scope["raw_path"] + b"?" + request.scope["query_string"]
    parts = (request.method.encode(), target, content_sha256 or b"")
    fingerprint = hashlib.sha256(b"\n".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()
    now = gate.clock()
    try:
        with gate.database.transaction() as session:
            old = KeyedRequestRow.claimed_at < now - KEPT
            session.execute(sa.delete(KeyedRequestRow).where(KeyedRequestRow.caller == caller, old))
            row = session.get(KeyedRequestRow, (caller, key))
            if row is None:
                session.add(KeyedRequestRow(caller=caller, key=key, fingerprint=fingerprint, claimed_at=now))
                session.flush()
                return Claim(caller=caller, key=key)
            found = (row.fingerprint, row.status, row.answer_sealed)
    except IntegrityError as error:
        raise AnswerUnknownError(f"another request under the key {key!r} has just begun") from error
    return _repeat(gate, Claim(caller=caller, key=key), fingerprint, found)


def _repeat(
    gate: Gate, claim: Claim, fingerprint: str, found: tuple[str, int | None, bytes | None]
) -> Claim | None:
    known, status, sealed = found
    if known != fingerprint:
        raise KeyReusedError(f"Idempotency-Key {claim.key!r} stands for another request of this caller")
    if status is None or sealed is None:
        raise AnswerUnknownError(
            f"the first request under {claim.key!r} has no answer yet, or its outcome is unknown "
            "(look at the object; then use a new key)"
        )
    answer = json.loads(
        open_value(gate.keystore, kek_id=gate.gate_kek, context=_context(claim), sealed=sealed)
    )
    gate.ledger.append(
        Event(
            type=EventType.AUTH_REQUEST_REPEAT,
            outcome=Outcome.COMPLETED,
            actor=claim.caller,
            object=fingerprint,
            facts={"status": status},
        )
    )
    entered()
    raise Repeated(
        Response(
            answer["body"],
            status_code=status,
            media_type=answer["media_type"],
            headers={"Idempotency-Replayed": "true"},
        )
    )


def keep_answer(gate: Gate, claim: Claim, response: Response) -> None:
    """Keep the answer to a request, sealed, for its repetitions."""
    answer = {"body": bytes(response.body).decode(), "media_type": response.media_type}
    sealed = seal_value(
        gate.keystore, kek_id=gate.gate_kek, context=_context(claim), plaintext=json.dumps(answer).encode()
    )
    with gate.database.transaction() as session:
        row = session.get(KeyedRequestRow, (claim.caller, claim.key))
        if row is not None:
            row.status, row.answer_sealed = response.status_code, sealed


def drop_claim(gate: Gate, claim: Claim) -> None:
    """Give a key back whose request had no effect."""
    with gate.database.transaction() as session:
        row = session.get(KeyedRequestRow, (claim.caller, claim.key))
        if row is not None and row.status is None:
            session.delete(row)


def _context(claim: Claim) -> bytes:
    return rfc8785.dumps({"key": claim.key, "owner": claim.caller, "role": "keyed-answer"})
