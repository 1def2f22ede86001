"""Serve: the one way out (law 1). Every read is intended in the ledger before its first byte."""

from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

import sqlalchemy as sa

from audit.events import EventType
from audit.intent import Intent
from gateway.database import ReadSession
from gateway.errors import DeniedError, GatewayError, NotFoundError, RangeNotSatisfiableError
from gateway.flow.acts import intended
from gateway.flow.attested import verify_grant
from gateway.flow.deciding import decide, instant, policy_facts, profile_facts
from gateway.flow.gate import Gate
from gateway.flow.offer import Offered, OfferedFile, load_offered
from gateway.flow.records import GrantRow, ReleaseItemRow
from gateway.people.registry import Actor
from gateway.vault.errors import VaultError
from gateway.vault.store import Context
from policies.decision import Decision, ObligationKind

_PIECE_BYTES = 1024 * 1024


class NoGrantError(GatewayError):
    """The reader holds no grant on the release; nothing about it is disclosed."""

    reason = "no_grant"


class ReadOverError(NoGrantError):
    """The right to read ended while the item was being read; what is left of it is not served."""

    reason = "read_over"


@dataclass(frozen=True, slots=True, kw_only=True)
class ByteRange:
    """Half-open range of plaintext bytes."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An open item: its size and media type, the range served, and its bytes as they are authenticated.

    ``partial`` tells an answer to a Range request, whose bytes may still be all of them. Whoever opens a reading
    calls ``settle`` in the end: unless the last byte was handed over, the ledger then says that the read failed.
    """

    media_type: str
    size: int
    sha256: str
    partial: bool
    range: ByteRange
    chunks: Iterator[bytes]
    settle: Callable[[], None]


def _grant_of(session: ReadSession, release: str, principal: str) -> GrantRow | None:
    """The principal's grant on the release that lasts longest; revoked ones only where there is no other."""
    statement = (
        sa.select(GrantRow)
        .where(GrantRow.release_id == release, GrantRow.principal == principal)
        .order_by(GrantRow.revoked_at.is_not(None), GrantRow.not_after.desc())
        .limit(1)
    )
    return session.scalar(statement)


def _question(
    gate: Gate, offered: Offered, grant: GrantRow, *, actor: Actor, purpose: str, item: str
) -> dict[str, Any]:
    offer = offered.offer
    return {
        "point": "serve",
        "subject": {
            "id": actor.id,
            "nationality": actor.nationality,
            "country_of_session": gate.settings.country,
            "roles": list(actor.roles),
        },
        "action": {"name": "read"},
        "resource": {
            "release": offer.release,
            "state": "Revoked" if offered.revoked else "Released",
            "item": item,
            "manifest_signature_verified": True,
        },
        "context": {
            "time": instant(gate.clock()),
            "purpose": purpose,
            "grant": {
                "id": grant.id,
                "release": grant.release_id,
                "subject": grant.principal,
                "purpose": grant.purpose,
                "not_before": instant(grant.not_before),
                "not_after": instant(grant.not_after),
                "revoked": grant.revoked_at is not None,
            },
            "release": {
                "purpose": offer.purpose,
                "recipient": offer.recipient,
                "subject_recipient": actor.recipient or "none",
                "destination_zone": offer.destination_zone,
                "expires_at": offer.expires_at,
                "revoked": offered.revoked,
            },
            "network_zone": gate.settings.network_zone,
            "ledger_available": True,
            "profile": profile_facts(gate),
            "policy": policy_facts(gate),
        },
    }


def admit(
    gate: Gate, intent: Intent, *, actor: Actor, release: str, purpose: str, item: str
) -> tuple[Offered, datetime]:
    """Let a reader in, or refuse; with the release, until when the right holds (the duty ``expire``).

    1. The release exists and its manifest verifies. 2. The reader holds a grant on it. 3. The ledger attests
    the grant. 4. Policy allows this read now, for the purpose that the reader states.

    Raises:
        NoGrantError: Step 2, and step 1 to readers without a grant: which releases exist is not disclosed.
        EvidenceError: Step 3.
        DeniedError: Step 4.
    """
    try:
        with gate.database.read() as session:
            grant = _grant_of(session, release, actor.id)
            if grant is None:
                raise NoGrantError(f"no grant on this release (got {release!r})")
            offered = load_offered(gate, session, release)
        verify_grant(gate, grant, revoked=offered.revoked)
        question = _question(gate, offered, grant, actor=actor, purpose=purpose, item=item)
        decision = decide(
            gate,
            EventType.JUDGE_SERVE_DECIDE,
            question,
            actor=actor,
            object_id=release,
            release=release,
            grant=grant.id,
            purpose=purpose,
            performs=lambda duty: duty.kind is ObligationKind.EXPIRE,  # by _deliver
        )
    except (NoGrantError, NotFoundError, DeniedError) as error:
        intent.refuse(facts={"reason": error.reason})
        raise
    return offered, _until(offered, grant, decision)


def _until(offered: Offered, grant: GrantRow, decision: Decision) -> datetime:
    """The earliest of what release, grant and policy say."""
    duties = [d.parameters["not_after"] for d in decision.obligations if d.kind is ObligationKind.EXPIRE]
    stated = [datetime.fromisoformat(str(text)) for text in (offered.offer.expires_at, *duties)]
    return min(grant.not_after, *stated)


def read_manifest(gate: Gate, release: str, *, actor: Actor, purpose: str) -> str:
    """The signed manifest of a release, as a compact JWS.

    Raises:
        NoGrantError: The reader holds no grant.
        DeniedError: Policy refuses, with reasons.
        LedgerUnavailableError: No ledger, no service.
    """
    event = intended(
        EventType.SERVE_MANIFEST_READ,
        actor=actor.id,
        object_id=release,
        release=release,
        purpose=purpose,
        digests=actor.digests,
    )
    with gate.ledger.intent(event) as intent:
        offered, _ = admit(gate, intent, actor=actor, release=release, purpose=purpose, item="manifest")
        intent.complete(facts={"bytes": len(offered.manifest_jws)})
        return offered.manifest_jws


@contextmanager
def _item_intent(gate: Gate, *, actor: Actor, release: str, name: str, purpose: str) -> Iterator[Intent]:
    event = intended(
        EventType.SERVE_ITEM_READ,
        actor=actor.id,
        object_id=name,
        item=name,
        release=release,
        purpose=purpose,
        digests=actor.digests,
    )
    with gate.ledger.intent(event) as intent:
        yield intent


def read_item(
    gate: Gate,
    release: str,
    name: str,
    *,
    actor: Actor,
    purpose: str,
    wanted: str | None,
    only_if: str | None = None,
) -> Reading:
    """Open an item or the mask beside one; the ledger entry completes when its last byte was handed over.

    Args:
        gate: The gate.
        release: Id of the release.
        name: Name of the item in it, or of an item's mask.
        actor: Who reads.
        purpose: What for, as the reader states.
        wanted: A ``Range`` header (RFC 9110 §14.2) with one range of bytes, or ``None``.
        only_if: An ``If-Range`` header (§13.1.5): unless it is the item's entity tag, ``wanted`` is ignored.

    Raises:
        NoGrantError: The reader holds no grant.
        DeniedError: Policy refuses, with reasons.
        NotFoundError: The release has no such item.
        RangeNotSatisfiableError: The range is malformed, one of several, or outside the item.
        SealBrokenError: The stored file was altered.
        LedgerUnavailableError: No ledger, no service.
    """
    with ExitStack() as stack:
        intent = stack.enter_context(
            _item_intent(gate, actor=actor, release=release, name=name, purpose=purpose)
        )
        offered, until = admit(gate, intent, actor=actor, release=release, purpose=purpose, item=name)
        file = offered.offer.files.get(name)
        seal = None if file is None else _seal_of(gate, release, file)
        if file is None or seal is None:
            intent.refuse(facts={"reason": NotFoundError.reason})
            raise NotFoundError(f"the release has no such item (got {name!r})")
        try:
            asked = wanted if only_if in (None, entity_tag(file.sha256)) else None
            span = _span(asked, file.size)
        except RangeNotSatisfiableError as error:
            intent.refuse(facts={"reason": error.reason})
            raise
        role = "release-mask" if file.mask else "release"
        reader = gate.vault.open(seal, Context(owner=release, object=name, role=role))
        if reader.length != file.size:
            raise VaultError(f"item {name} has {reader.length} bytes (expected {file.size})")
        whole = ByteRange(start=0, end=reader.length)
        pending = reader.chunks((span or whole).start, (span or whole).end)
        # The first segment is authenticated before the status line is sent: a tampered file yields no byte.
        first = next(pending, b"")
        kept = stack.pop_all()
    chunks = _deliver(kept, intent, first, pending, live=lambda: gate.clock() < until)

    def settle() -> None:
        chunks.close()
        kept.close()  # a generator that was never started does not run its own clean-up

    return Reading(
        media_type=file.media_type,
        size=file.size,
        sha256=file.sha256,
        partial=span is not None,
        range=span or whole,
        chunks=chunks,
        settle=settle,
    )


def _seal_of(gate: Gate, release: str, file: OfferedFile) -> str | None:
    """The seal of an item or of the mask beside it."""
    wanted = ReleaseItemRow.mask_seal if file.mask else ReleaseItemRow.seal
    with gate.database.read() as session:
        return session.scalar(
            sa.select(wanted).where(ReleaseItemRow.release_id == release, ReleaseItemRow.name == file.item)
        )


def _deliver(
    stack: ExitStack, intent: Intent, first: bytes, rest: Iterator[bytes], *, live: Callable[[], bool]
) -> Generator[bytes, None, None]:
    """Hand over piece by piece, none once the right to read is over; the entry then says that the read failed."""
    sent = 0
    with stack:
        for piece in _gathered(chain([first], rest)):
            if not live():
                raise ReadOverError(f"the right to read ended (got {sent} bytes handed over)")
            yield piece
            sent += len(piece)
        intent.complete(facts={"bytes": sent})


def _gathered(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: each hand-over to the server costs a change of threads."""
    held: list[bytes] = []
    length = 0
    for chunk in chunks:
        held.append(chunk)
        length += len(chunk)
        if length >= _PIECE_BYTES:
            yield b"".join(held)
            held, length = [], 0
    if held:
        yield b"".join(held)


def entity_tag(sha256: str) -> str:
    """The strong validator of an item (RFC 9110 §8.8.3); its content never changes."""
    return f'"{sha256}"'


def _span(wanted: str | None, size: int) -> ByteRange | None:
    """The range to serve, ``None`` for the whole: where none is asked for or in units other than bytes."""
    unit, _, spec = (wanted or "").partition("=")
    if unit.strip().lower() != "bytes":
        return None
    first, dash, last = spec.strip().partition("-")
    plain = all(part == "" or (part.isascii() and part.isdigit()) for part in (first, last))
    if not dash or not plain or not (first or last):
        raise RangeNotSatisfiableError(str(wanted), size)
    if first == "":
        span = ByteRange(start=max(0, size - int(last)), end=size)
    else:
        span = ByteRange(start=int(first), end=min(size, int(last) + 1) if last else size)
    if span.start >= span.end:
        raise RangeNotSatisfiableError(str(wanted), size)
    return span
