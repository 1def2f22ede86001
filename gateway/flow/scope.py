"""Scope: a recording that no certificate or delegation covers stays sealed in quarantine until one does (rule 7).

Policy is asked at ``advance``: as a recording is announced, so that its sender learns at once, and again whenever
a worker takes it up, so that what ended since holds it and what was registered since lets it go on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from audit.events import EventType
from gateway.database import ReadSession
from gateway.errors import DeniedError, EvidenceError
from gateway.flow.acts import intended, rules_of
from gateway.flow.asked import load_asked
from gateway.flow.deciding import decide, instant, policy_facts, profile_facts
from gateway.flow.gate import Gate
from gateway.flow.licensed import licence_of, surveyed_facts, surveyed_of
from gateway.flow.records import RecordingRow
from gateway.people.permission import permit
from gateway.people.registry import GATE_ACTOR, Actor
from gateway.vehicles.manifest import Manifest
from policies.question import Point, Question

_TOLD = ("rule", "clause", "text_zh", "text_en", "facts")


def judge_scope(
    gate: Gate, manifest: Manifest, *, manifest_digest: str, held: int | None = None
) -> int | None:
    """Ask policy whether a recording may leave quarantine, to be classified and cleansed.

    Each answer is an entry, but for one that holds the recording for the very reason that holds it already: the
    scheduler asks again and again.

    Args:
        gate: The gate.
        manifest: What was announced, verified.
        manifest_digest: Its digest in the ledger.
        held: The entry that holds the recording up to now; None for none.

    Returns:
        None where it may; otherwise the ledger's entry that says by which rule, clause and fact it is held.

    Raises:
        EvidenceError: A paper does not verify, or is missing: nothing goes on.
        PolicyError: Policy gave no answer: nothing goes on.
    """
    recording = manifest.recording
    with gate.database.read() as session:
        surveyed = surveyed_of(gate, manifest)
        licence = licence_of(gate, session, [surveyed])
        question = {
            "point": Point.ADVANCE.value,
            "subject": {"id": GATE_ACTOR.id},
            "action": {"name": "advance"},
            "resource": {"recording": recording, **surveyed_facts(surveyed)},
            "context": {
                "time": instant(gate.clock()),
                "profile": profile_facts(gate),
                "policy": policy_facts(gate),
                **licence.facts(),
            },
        }
        if held is not None and _is_unchanged(gate, session, held, question):
            return held
    try:
        decide(
            gate,
            EventType.JUDGE_ADVANCE_DECIDE,
            question,
            actor=GATE_ACTOR,
            object_id=recording,
            recording=recording,
            vehicle=manifest.vehicle,
            digests={"manifest": manifest_digest, **licence.digests()},
        )
    except DeniedError as error:
        return error.entry
    return None


def _is_unchanged(gate: Gate, session: ReadSession, held: int, question: Mapping[str, Any]) -> bool:
    decision = gate.engine.decide(Question.of(question))
    return not decision.allowed and load_asked(gate, session, held).violations == tuple(
        decision.as_dict()["violations"]
    )


def hold_of(gate: Gate, session: ReadSession, held: int) -> dict[str, Any]:
    """Why a recording is held as a whole: rule, clause and fact, as the ledger's entry attests them (law 10).

    Raises:
        EvidenceError: What was asked does not verify.
    """
    asked = load_asked(gate, session, held)
    told = [{name: each[name] for name in _TOLD} for each in asked.violations]
    if not told:  # the question is gone, and the entry has the names alone
        catalogue = gate.bundle.bundle.catalogue[Point.ADVANCE]
        names = sorted(rules_of(asked.entry.event))
        told = [
            {"rule": name, **{n: catalogue.get(name, {}).get(n, "") for n in _TOLD[1:-1]}, "facts": []}
            for name in names
        ]
    return {"entry": held, "since": instant(asked.moment), "violations": told}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldPage:
    """Some of the recordings that are held.

    Attributes:
        recordings: Each with state, source, region, when it was received, and its ``hold`` (:func:`hold_of`).
        cursor: Where the next page goes on; None where there is none.
    """

    recordings: tuple[dict[str, Any], ...]
    cursor: int | None


def review_held(gate: Gate, *, actor: Actor, limit: int, after: int | None = None) -> HeldPage:
    """Recordings that no certificate covers, those first that are held for the longest; looking is an entry.

    A recording whose reason changed between two pages comes again on a later one; none is passed over.

    Args:
        gate: The gate.
        actor: Who looks.
        limit: Recordings on the page, 1 or more.
        after: Cursor of the page before.

    Raises:
        ActDeniedError: Policy refuses.
        EvidenceError: What was asked of a recording does not verify.
    """
    permit(gate, actor, "recording.review", on="held")
    event = intended(EventType.AUDIT_LEDGER_QUERY, actor=actor.id, object_id="held", digests=actor.digests)
    with gate.ledger.intent(event) as intent:
        statement = (
            sa.select(RecordingRow)
            .where(RecordingRow.held_entry > (-1 if after is None else after))
            .order_by(RecordingRow.held_entry)
            .limit(limit + 1)
        )
        with gate.database.read() as session:
            rows = session.scalars(statement).all()
            told = tuple(_held(gate, session, row) for row in rows[:limit])
        intent.complete(facts={"recordings": len(told)})
    return HeldPage(recordings=told, cursor=told[-1]["hold"]["entry"] if len(rows) > limit else None)


def _held(gate: Gate, session: ReadSession, row: RecordingRow) -> dict[str, Any]:
    if row.held_entry is None:
        raise EvidenceError(f"recording {row.id} is held by no entry")
    return {**described(row), "hold": hold_of(gate, session, row.held_entry)}


def described(row: RecordingRow) -> dict[str, Any]:
    """What a recording's row says of it."""
    return {
        "recording": row.id,
        "state": row.state,
        "source": row.source_kind,
        "source_id": row.source_id,
        "region": row.region,
        "received_at": instant(row.received_at),
    }
