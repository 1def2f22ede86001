"""Asking policy: the facts of the deployment that every question carries, and the record of each answer."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from audit.events import Event, EventType, Outcome
from gateway.database import ReadSession, WriteSession
from gateway.errors import DeniedError, ObligationError
from gateway.flow.acts import entered, rule_facts
from gateway.flow.asked import Destroys, document_of, keep
from gateway.flow.gate import Gate
from gateway.people.certificates import Certificate
from gateway.people.delegations import Delegation, certificate_for, delegations, unit_of
from gateway.people.registry import Actor
from gateway.vehicles.manifest import Manifest
from policies.decision import Decision, Obligation, ObligationKind
from policies.question import Point, Question

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


def surveyed_facts(gate: Gate, manifest: Manifest) -> dict[str, Any]:
    """For whom, by what, where and when a recording was surveyed, as rule 7 asks of it."""
    return {
        "unit": unit_of(gate, manifest.vehicle, manifest.started_at),
        "vehicle": manifest.vehicle,
        "region": manifest.region,
        "started_at": instant(manifest.started_at),
        "ended_at": instant(manifest.ended_at),
    }


def licence_facts(
    gate: Gate, session: ReadSession | WriteSession, surveyed: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """The certificate that recordings are judged by, None without any, and the delegations of their units."""
    units = [each["unit"] for each in surveyed]
    certificate = certificate_for(gate, session, units, surveyed[0]["region"], gate.clock())
    return {
        "certificate": None if certificate is None else certificate_facts(certificate),
        "delegations": [delegation_facts(each) for each in delegations(gate) if each.delegator in units],
    }


def certificate_facts(certificate: Certificate) -> dict[str, Any]:
    """What policy is told of a surveying certificate (rule 7)."""
    return {
        "number": certificate.number,
        "kinds": list(certificate.kinds),
        "grade": certificate.grade,
        "holder": certificate.holder,
        "regions": list(certificate.regions),
        "since": instant(certificate.since),
        "valid_from": instant(certificate.valid_from),
        "valid_to": instant(certificate.valid_to),
        "interruptions": [
            {"kind": each.kind, "from": instant(each.start), "to": instant(each.end)}
            for each in certificate.interruptions
        ],
        "unverified": certificate.unverified,
    }


def delegation_facts(delegation: Delegation) -> dict[str, Any]:
    """What policy is told of a delegation (A6)."""
    return {
        "id": delegation.id,
        "delegator": delegation.delegator,
        "certificate": delegation.certificate,
        "vehicles": list(delegation.sources),
        "kinds": list(delegation.kinds),
        "regions": list(delegation.regions),
        "valid_from": instant(delegation.valid_from),
        "valid_to": instant(delegation.valid_to),
    }


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
    actor: Actor,
    object_id: str,
    performs: Callable[[Obligation], bool] = lambda _: False,
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
        kept = document_of(
            asked,
            decision,
            release=fields.get("release"),
            recording=fields.get("recording"),
            unmet=unmet,
            destroys=Destroys(of=object_id, kek_id=gate.gate_kek) if asked.point is Point.DESTROY else None,
        )
    receipt = gate.ledger.append(
        Event(
            type=event_type,
            outcome=Outcome.REFUSED if refusal else Outcome.COMPLETED,
            actor=actor.id,
            object=object_id,
            rule=decision.violations[0].rule if decision.violations else None,
            digests={
                "bundle": decision.bundle_digest,
                "question": decision.question_digest,
                **({"asked": kept.digest} if kept else {}),
            },
            facts={
                "allowed": decision.allowed,
                **({"reason": refusal} if refusal else {}),
                **({"level": decision.level.value} if decision.level else {}),
                **rule_facts([violation.rule for violation in decision.violations]),
            },
            **fields,
        )
    )
    entered()
    if kept is not None:
        keep(gate, kept, ledger_index=receipt.index)
    if not decision.allowed:
        raise DeniedError(decision)
    if unmet:
        raise ObligationError(unmet)
    return decision


def _is_kept(gate: Gate, question: Question) -> bool:
    every = gate.settings.serve_questions_kept_every
    if question.point is not Point.SERVE:
        return True
    # The digest of a question is as good as drawn by lot: it holds the time in microseconds.
    return every > 0 and int(question.digest[:12], 16) % every == 0
