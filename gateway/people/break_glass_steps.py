"""Steps of break-glass (rule 30): ask, approve, end, review; policy is asked before each, and each is an entry."""

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import rfc8785
import sqlalchemy as sa

from audit.events import EventType
from gateway.errors import ConflictError, InvalidRequestError, NotFoundError, StageOrderError
from gateway.flow.acts import intended
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.records import ItemRow
from gateway.people.break_glass import (
    OBJECT,
    READ_ORIGINAL,
    BreakGlass,
    ReviewOutcome,
    State,
    break_glass_of,
    every_break_glass,
    summary_of,
)
from gateway.people.permission import Done, done_by, permit
from gateway.people.registry import Actor

MAX_WORDS: Final = 4000


def request_break_glass(
    gate: Gate, items: Sequence[str], *, lasting: timedelta, reason: str, actor: Actor
) -> BreakGlass:
    """Ask to see originals; nothing opens until somebody else approves.

    Args:
        gate: The gate.
        items: Ids of the items, each once.
        lasting: For how long, from now on; policy has a limit.
        reason: Why; sealed beside the entry.
        actor: Who asks, and would look.

    Raises:
        InvalidRequestError: An id is none or named twice, or there is no reason.
        ActDeniedError: Policy refuses: the person, too many objects, or too long.
        NotFoundError: There is no original of an item.
    """
    if len(set(items)) != len(items) or not all(OBJECT.fullmatch(item) for item in items):
        raise InvalidRequestError(f"name each item once, by its id (got {list(items)})")
    words = _words(reason)
    now = gate.clock()
    wanted = BreakGlass(
        id=secrets.token_hex(16),
        act=READ_ORIGINAL,
        objects=tuple(items),
        requested_by=actor.id,
        not_before=now,
        not_after=now + lasting,
        request=0,
    )
    permit(gate, actor, "break-glass.request", on=wanted.id, exists=False, break_glass=wanted.facts())
    with gate.database.read() as session:
        held = sa.select(ItemRow.id).where(ItemRow.id.in_(items), ItemRow.original_seal.is_not(None))
        missing = sorted(set(items) - set(session.scalars(held)))
    if missing:
        raise NotFoundError(f"no original of these items is held (got {missing})")
    event = intended(
        EventType.BREAK_GLASS_ACCESS_REQUEST,
        actor=actor.id,
        object_id=wanted.id,
        digests=actor.digests,
        facts={
            "act": wanted.act,
            "not_before": instant(wanted.not_before),
            "not_after": instant(wanted.not_after),
            "objects": len(items),
            **{f"object_{n}": item for n, item in enumerate(items, start=1)},
        },
    )
    with gate.ledger.intent(event, detail=words, subject=_subject(wanted.id)) as intent:
        intent.complete(digests=event.digests, facts=event.facts)
    return _known(gate, wanted.id)


def approve_break_glass(gate: Gate, access: str, *, actor: Actor) -> BreakGlass:
    """Permit a break-glass that somebody else asked for, while its time runs.

    Raises:
        ActDeniedError: Policy refuses: nobody asked, the person asked themselves, or its time is over.
        ConflictError: Somebody approved already.
    """
    found = break_glass_of(gate, access)
    permit(
        gate,
        actor,
        "break-glass.approve",
        on=access,
        exists=found is not None,
        done=_done(gate, found),
        break_glass=None if found is None else found.facts(),
    )
    if found is None or found.approved_by is not None:
        raise ConflictError(f"somebody approved it already (got {access!r})")
    _recorded(gate, EventType.BREAK_GLASS_ACCESS_APPROVE, found, actor=actor)
    return _known(gate, access)


def end_break_glass(gate: Gate, access: str, *, actor: Actor) -> BreakGlass:
    """End a break-glass, or a request for one, before its time.

    Raises:
        ActDeniedError: Policy refuses.
        NotFoundError: Nobody asked for it.
        ConflictError: It is over.
    """
    found = break_glass_of(gate, access)
    permit(gate, actor, "break-glass.end", on=access, exists=found is not None)
    if found is None:
        raise NotFoundError(f"no such break-glass (got {access!r})")
    if gate.clock() >= found.over_at:
        raise ConflictError(f"it is over since {instant(found.over_at)} (got {access!r})")
    _recorded(gate, EventType.BREAK_GLASS_ACCESS_END, found, actor=actor)
    return _known(gate, access)


def review_break_glass(
    gate: Gate, access: str, outcome: ReviewOutcome, note: str, *, actor: Actor
) -> BreakGlass:
    """Say afterwards what a break-glass was used for, as a third person.

    Raises:
        InvalidRequestError: There are no words.
        ActDeniedError: Policy refuses: the person asked or approved, or nobody approved it.
        StageOrderError: It is not over yet.
        ConflictError: It was reviewed.
    """
    words = _words(note)
    found = break_glass_of(gate, access)
    permit(gate, actor, "break-glass.review", on=access, exists=found is not None, done=_done(gate, found))
    if found is None:
        raise NotFoundError(f"no such break-glass (got {access!r})")
    state = found.state(gate.clock())
    if state is State.REVIEWED:
        raise ConflictError(f"it was reviewed by {found.reviewed_by!r} (got {access!r})")
    if state is not State.OVER:
        raise StageOrderError(f"it is reviewed when it is over (got state {state.value!r})")
    _recorded(
        gate,
        EventType.BREAK_GLASS_ACCESS_REVIEW,
        found,
        actor=actor,
        words=words,
        facts={"verdict": outcome.value, "uses": len(found.uses)},
    )
    return _known(gate, access)


def list_break_glass(gate: Gate, *, actor: Actor) -> list[dict[str, Any]]:
    """Every break-glass for a person, with its reason; looking is itself an entry.

    Raises:
        ActDeniedError: Policy refuses.
    """
    permit(gate, actor, "break-glass.list")
    event = intended(
        EventType.AUDIT_LEDGER_QUERY, actor=actor.id, object_id="break-glass", digests=actor.digests
    )
    with gate.ledger.intent(event) as intent:
        rows = [summary_of(gate, each) | {"reason": _reason(gate, each)} for each in every_break_glass(gate)]
        intent.complete(facts={"entries": len(rows)})
    return rows


def _reason(gate: Gate, access: BreakGlass) -> str:
    """The reason that was given, from the detail of the request's intent."""
    intent = gate.ledger.entry(access.request).event.intent
    detail = None if intent is None else gate.ledger.detail(intent)
    return "" if detail is None else str(json.loads(detail)["words"])


def _done(gate: Gate, access: BreakGlass | None) -> tuple[Done, ...]:
    if access is None:
        return ()
    with gate.database.read() as session:
        told = [done_by(session, "break-glass.request", access.requested_by)]
        if access.approved_by is not None:
            told.append(done_by(session, "break-glass.approve", access.approved_by))
    return tuple(told)


def _recorded(
    gate: Gate,
    event_type: EventType,
    access: BreakGlass,
    *,
    actor: Actor,
    words: bytes | None = None,
    facts: Mapping[str, str | int] | None = None,
) -> None:
    event = intended(event_type, actor=actor.id, object_id=access.id, digests=actor.digests)
    subject = None if words is None else _subject(access.id)
    with gate.ledger.intent(event, detail=words, subject=subject) as intent:
        intent.complete(digests=event.digests, facts=dict(facts or {}))


def _subject(access: str) -> str:
    return f"break-glass-{access}"


def _words(text: str) -> bytes:
    if not 0 < len(text.strip()) <= MAX_WORDS:
        raise InvalidRequestError(
            f"give the reason in words (got {len(text.strip())} characters, expected 1 to {MAX_WORDS})"
        )
    return rfc8785.dumps({"words": text.strip()})


def _known(gate: Gate, access: str) -> BreakGlass:
    found = break_glass_of(gate, access)
    if found is None:
        raise NotFoundError(f"no such break-glass (got {access!r})")
    return found
