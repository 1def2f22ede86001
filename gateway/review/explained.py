"""Why policy decided as it did (law 10): from the ledger's entry and what was asked, verified, not asked anew.

Only what would have to change is found by asking the bundle that decided once more, and says so.
"""

from collections.abc import Mapping
from typing import Any

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_page
from gateway.errors import EvidenceError, NotFoundError
from gateway.flow.acts import intended, rules_of
from gateway.flow.asked import Asked, Kept, load_asked
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.people.permission import permit
from gateway.people.policy_in_force import load_files
from gateway.people.registry import Actor
from policies.counterfactual import Change, Limit, changes_of, limits_of
from policies.drafts import Draft, draft_of
from policies.embedded import EmbeddedEngine
from policies.errors import PolicyError

DECISIONS = (
    EventType.JUDGE_INTAKE_DECIDE,
    EventType.JUDGE_ADVANCE_DECIDE,
    EventType.JUDGE_RELEASE_DECIDE,
    EventType.JUDGE_PUBLISH_DECIDE,
    EventType.JUDGE_SERVE_DECIDE,
    EventType.JUDGE_DESTROY_DECIDE,
    EventType.JUDGE_ACT_DECIDE,
)
_REFUSED_ONLY = (EventType.JUDGE_SERVE_DECIDE, EventType.JUDGE_ACT_DECIDE)
_PAGE = 200


def explain(
    gate: Gate, subject: str, *, actor: Actor, most: int = 20, hints: bool = True
) -> list[dict[str, Any]]:
    """Explain a decision by its entry, or the newest decisions about a release or recording.

    Of reads and of acts of persons only refused ones are listed. The look is itself an entry.

    Args:
        gate: The gate.
        subject: Index of a ledger entry, or id of a release, a recording or what a person would act on.
        actor: Who asks.
        most: How many decisions at most, the newest first.
        hints: Whether to look for what would have to change.

    Raises:
        ForbiddenError: They hold none of the roles that review; the attempt is in the ledger.
        NotFoundError: Nothing was decided about it.
        EvidenceError: What was kept does not verify.
    """
    permit(gate, actor, "policy.explain")
    event = intended(
        EventType.POLICY_DECISION_EXPLAIN, actor=actor.id, object_id=subject, digests=actor.digests
    )
    with gate.ledger.intent(event) as intent:
        try:
            indices = _indices(gate, subject, most)
        except NotFoundError as error:
            intent.refuse(facts={"reason": error.reason})
            raise
        with gate.database.read() as session:
            found = [load_asked(gate, session, index) for index in indices]
        explained = [_explained(gate, asked, hints=hints) for asked in found]
        intent.complete(facts={"decisions": len(explained)})
        return explained


def _indices(gate: Gate, subject: str, most: int) -> list[int]:
    if subject.isascii() and subject.isdigit():
        if int(subject) >= gate.ledger.size:
            raise NotFoundError(
                f"the ledger has no such entry (got {subject}, expected below {gate.ledger.size})"
            )
        return [int(subject)]
    found: list[int] = []
    for wanted in (
        EntryFilter(release=subject, types=DECISIONS),
        EntryFilter(recording=subject, types=DECISIONS),
        EntryFilter(object=subject, types=(EventType.JUDGE_ACT_DECIDE,)),
    ):
        after: int | None = None
        while len(found) < most:
            with gate.ledger.snapshot() as snapshot:
                page = find_page(snapshot, wanted, limit=_PAGE, after=after)
            found += [
                entry.index
                for entry in page.entries
                if entry.index not in found
                and (entry.event.type not in _REFUSED_ONLY or entry.event.outcome is Outcome.REFUSED)
            ]
            after = page.cursor
            if after is None:
                break
    if not found:
        raise NotFoundError(
            f"no decision about it (got {subject!r}, expected an entry, release or recording)"
        )
    return found[:most]


def _explained(gate: Gate, asked: Asked, *, hints: bool) -> dict[str, Any]:
    event = asked.entry.event
    document: dict[str, Any] = {
        "index": asked.entry.index,
        "time": instant(asked.moment),
        "point": asked.point.value,
        "about": asked.owner,
        "actor": event.actor,
        "allowed": asked.allowed,
        "refused": event.facts.get("reason"),
        "bundle": event.digests.get("bundle"),
        "question": asked.kept.value,
    }
    draft = _draft_of(gate, str(event.digests.get("bundle")))
    document["bundle_version"] = draft.bundle.version if draft else None
    if asked.kept is not Kept.KEPT or asked.decision is None:
        return document | {"denied_by": _names_only(asked, draft), "unmet": []}
    decision = asked.decision
    return document | {
        "engine": decision["engine"],
        "level": decision["level"],
        "denied_by": [_denial(asked, violation, draft, hints=hints) for violation in decision["violations"]],
        "passed": [_described(asked, rule, draft) for rule in decision["passed"]],
        "obligations": decision["obligations"],
        "unmet": list(asked.unmet),
        "unverified": _unverified(asked, draft),
    }


def _draft_of(gate: Gate, digest: str) -> Draft | None:
    """The bundle that decided, where it is kept; a gate from before bundles were kept has none of its old ones."""
    try:
        with gate.database.read() as session:
            files = load_files(session, gate.keystore, digest, kek=gate.gate_kek)
            return draft_of(files, past=True)
    except EvidenceError:
        return gate_draft(gate) if gate.bundle.bundle.digest == digest else None


def gate_draft(gate: Gate) -> Draft:
    """The bundle in force without its vectors."""
    return Draft(bundle=gate.bundle.bundle, documents={}, tests={})


def _names_only(asked: Asked, draft: Draft | None) -> list[dict[str, Any]]:
    """What the entry alone says: the rules that did not pass, by name."""
    names = sorted(rules_of(asked.entry.event))
    return [_described(asked, name, draft) | {"facts": []} for name in names]


def _described(asked: Asked, rule: str, draft: Draft | None) -> dict[str, Any]:
    entry = draft.bundle.catalogue[asked.point].get(rule, {}) if draft else {}
    return {"rule": rule, **entry, "unverified": entry.get("confidence") == "m"}


def _denial(
    asked: Asked, violation: Mapping[str, Any], draft: Draft | None, *, hints: bool
) -> dict[str, Any]:
    denial = {**violation, "unverified": violation["confidence"] == "m"}
    if draft is None or asked.question is None:
        return denial | {"limits": [], "would_pass_with": None}
    day = str(asked.question.document()["context"]["time"])[:10]
    try:
        limits = limits_of(draft.bundle, asked.point, violation["rule"], day)
    except PolicyError:
        limits = ()
    would = _hints(asked, str(violation["rule"]), draft) if hints and draft.documents else None
    return denial | {
        "limits": [_limit(each) for each in limits],
        "would_pass_with": None if would is None else [_change(each) for each in would],
    }


def _hints(asked: Asked, rule: str, draft: Draft) -> tuple[Change, ...] | None:
    if asked.question is None:
        return None
    try:
        with EmbeddedEngine(draft.bundle) as engine:
            return changes_of(engine, asked.question, rule, draft.examples()[asked.point.value])
    except PolicyError:
        return None  # a bundle of another version of the gate: its examples are no questions any more


def _limit(limit: Limit) -> dict[str, Any]:
    return {
        "parameter": limit.name,
        "value": limit.value,
        "since": limit.since,
        "unit": limit.unit,
        "source": limit.source,
        "confidence": limit.confidence,
        "unverified": limit.unverified,
    }


def _change(change: Change) -> dict[str, Any]:
    return {"fact": change.path, "stated": change.stated, "passes_with": change.passes_with}


def _unverified(asked: Asked, draft: Draft | None) -> list[str]:
    """What the decision rests on that no primary text confirmed: what policy named, numbers behind its rules."""
    if asked.decision is None:
        return []
    named = {
        str(what)
        for duty in asked.decision["obligations"]
        if duty["kind"] == "show_unverified"
        for what in duty["parameters"]["what"]
    }
    if draft is None or asked.question is None:
        return sorted(named)
    day = str(asked.question.document()["context"]["time"])[:10]
    for rule in asked.decision["required"]:
        try:
            named |= {e.name for e in limits_of(draft.bundle, asked.point, rule, day) if e.unverified}
        except PolicyError:
            continue
    return sorted(named)
