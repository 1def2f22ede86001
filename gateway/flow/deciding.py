"""Asking policy: the facts of the deployment that every question carries, and the record of each answer."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from audit.events import Event, EventType, Outcome
from gateway.errors import DeniedError, ObligationError
from gateway.flow.acts import entered, rule_facts
from gateway.flow.asked import document_of, keep
from gateway.flow.gate import Gate
from policies.decision import Decision, Obligation, ObligationKind
from policies.question import Point, Question

if TYPE_CHECKING:
    from gateway.people.registry import Actor

# ``quarantine_as``: a reader that does not know the CRS holds the item. ``approvals``: publish counts them.
# ``show_unverified``: the evidence that approvers see lists them. ``retain_record`` and ``record_access``: the
# ledger never deletes and records every read. ``manual_review`` is performed where a person looked at the very
# candidate (``gateway.review.slope_evidence``). Anything else refuses the act.
PERFORMED_OBLIGATIONS = frozenset(
    {
        ObligationKind.QUARANTINE_AS,
        ObligationKind.SHOW_UNVERIFIED,
        ObligationKind.APPROVALS,
        ObligationKind.RETAIN_RECORD,
        ObligationKind.RECORD_ACCESS,
    }
)


def instant(value: datetime) -> str:
    """RFC 3339 in UTC with microseconds, the form in which policy compares times."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def policy_facts(gate: Gate) -> dict[str, Any]:
    """The bundle in force, as its signed statement describes it (rule 1)."""
    return gate.bundle.facts()


def profile_facts(gate: Gate) -> dict[str, Any]:
    """The treatment profile in force."""
    profile = gate.profile
    return {
        "name": profile.profile.name,
        "digest": profile.digest,
        "jurisdiction": profile.profile.jurisdiction,
    }


def decide(
    gate: Gate,
    event_type: EventType,
    question: Mapping[str, Any],
    *,
    actor: "Actor",
    object_id: str,
    performs: Callable[[Obligation], bool] = lambda _: False,
    digests: Mapping[str, str] | None = None,
    facts: Mapping[str, str | int | bool] | None = None,
    **fields: Any,
) -> Decision:
    """Ask policy and put the answer into the ledger, allowed or not; question and answer are kept, sealed.

    Of reads that are allowed only a sample is kept (``serve_questions_kept_every``): each asks the same of the
    same release, and thirty readers shall not wait for one writer.

    Args:
        gate: The gate.
        event_type: How the ledger names the question.
        question: The facts.
        actor: Who asks.
        object_id: What is asked about.
        performs: Whether an obligation that the gate does not perform by itself was performed for this object.
        digests: Further digests of the entry.
        facts: Further facts of the entry.
        fields: Further fields of the event.

    Raises:
        DeniedError: Policy refuses.
        ObligationError: Policy allows under obligations that this gate cannot perform.
        QuestionError: A fact is missing or malformed; nothing was asked.
        EngineError: The engine gave no well-formed decision.
    """
    asked = Question.of(question)
    decision = gate.engine.decide(asked)
    unmet = sorted(
        {
            o.kind.value
            for o in decision.obligations
            if o.kind not in PERFORMED_OBLIGATIONS and not performs(o)
        }
    )
    refusal = "denied" if not decision.allowed else "obligation_unmet" if unmet else ""
    kept = None
    if refusal or _is_kept(gate, asked):
        owner, kek_id = _keeper(gate, asked.point, object_id, fields)
        kept = document_of(asked, decision, owner=owner, kek_id=kek_id, unmet=unmet)
    receipt = gate.ledger.append(
        Event(
            type=event_type,
            outcome=Outcome.REFUSED if refusal else Outcome.COMPLETED,
            actor=actor.id,
            object=object_id,
            rule=decision.violations[0].rule if decision.violations else None,
            digests={
                **(digests or {}),
                "bundle": decision.bundle_digest,
                "question": decision.question_digest,
                **({"asked": kept.digest} if kept else {}),
            },
            facts={
                **(facts or {}),
                "allowed": decision.allowed,
                **({"reason": refusal} if refusal else {}),
                **({"level": decision.level.value} if decision.level else {}),
                **rule_facts([violation.rule for violation in decision.violations]),
            },
            **fields,
        )
    )
    if refusal or asked.point is not Point.ACT:
        entered()  # that an act was allowed says nothing of how the attempt ended
    if kept is not None:
        keep(gate, kept, ledger_index=receipt.index)
    if not decision.allowed:
        raise DeniedError(decision, entry=receipt.index)
    if unmet:
        raise ObligationError(unmet)
    return decision


def _keeper(gate: Gate, point: Point, object_id: str, fields: Mapping[str, Any]) -> tuple[str, str]:
    """What a question is about, and the key that seals it.

    The gate's own where a person's act was judged, or where the key of what it is about is to be destroyed.
    """
    if point is Point.ACT:
        return object_id, gate.gate_kek
    release, recording = fields.get("release"), fields.get("recording")
    owner = release or recording or object_id
    if point is Point.DESTROY:
        return owner, gate.gate_kek
    return owner, f"rel-{owner}" if release else f"rec-{owner}"


def _is_kept(gate: Gate, question: Question) -> bool:
    every = gate.settings.serve_questions_kept_every
    if question.point is not Point.SERVE:
        return True
    # The digest of a question is as good as drawn by lot: it holds the time in microseconds.
    return every > 0 and int(question.digest[:12], 16) % every == 0
