"""What policy decided about a release: each rule with its clause, duties, and what no primary text confirms."""

from collections.abc import Mapping, Sequence
from typing import Any

from audit.events import EventType, Outcome
from audit.leaf import Entry, format_time
from gateway.database import ReadSession
from gateway.flow.gate import Gate
from gateway.flow.recording import Judged
from gateway.people.policy_in_force import load_files
from gateway.people.records import PolicyBundleRow
from policies.bundle import Bundle
from policies.decision import ObligationKind
from policies.drafts import draft_of
from policies.question import Point


def decision_part(
    gate: Gate, session: ReadSession, judged: Judged, entries: Sequence[Entry]
) -> dict[str, Any]:
    """The decision that let a release out, JSON-ready, with the clauses of the bundle that decided.

    ``explained`` is false where that bundle is not kept, of a gate from before bundles were: the rules then stand
    without clause.

    Raises:
        EvidenceError: The kept bundle is not the one that decided.
    """
    decision = judged.decision
    bundle = _decided_by(gate, session, decision["bundle_digest"])
    rules = [_rule(bundle, Point.RELEASE, name) for name in decision["passed"]]
    published = [e for e in entries if e.event.type is EventType.JUDGE_PUBLISH_DECIDE]
    allowed = [e for e in published if e.event.outcome is Outcome.COMPLETED]
    if allowed:
        publishing = _decided_by(gate, session, allowed[-1].event.digests["bundle"])
        # A bundle allows only where every rule that its catalogue lists for the point passed.
        names = sorted(publishing.catalogue[Point.PUBLISH]) if publishing else []
        rules += [_rule(publishing, Point.PUBLISH, name) for name in names]
    return {
        "engine": decision["engine"],
        "bundle_digest": decision["bundle_digest"],
        "bundle_version": bundle.version if bundle else None,
        "question_digest": decision["question_digest"],
        "level": decision["level"],
        "entry": judged.evidence.ledger_index,
        "explained": bundle is not None,
        "rules": rules,
        "obligations": decision["obligations"],
        "unverified": sorted(
            {
                what
                for duty in decision["obligations"]
                if duty["kind"] == ObligationKind.SHOW_UNVERIFIED.value
                for what in duty["parameters"]["what"]
            }
        ),
        "refusals": [
            {
                "entry": e.index,
                "at": format_time(e.time),
                "by": e.event.actor,
                "what": e.event.type.value,
                "why": e.event.facts.get("rules") or e.event.rule or e.event.facts.get("reason"),
            }
            for e in entries
            if e.event.outcome is Outcome.REFUSED
        ],
    }


def _decided_by(gate: Gate, session: ReadSession, digest: str) -> Bundle | None:
    """The bundle of a digest: in force, or as it was sealed when it was put into force."""
    if digest == gate.bundle.bundle.digest:
        return gate.bundle.bundle
    if session.get(PolicyBundleRow, digest) is None:
        return None
    return draft_of(load_files(session, gate.keystore, digest, kek=gate.gate_kek), past=True).bundle


def _rule(bundle: Bundle | None, point: Point, name: str) -> dict[str, Any]:
    told: Mapping[str, Any] = bundle.catalogue[point].get(name, {}) if bundle else {}
    return {
        "point": point.value,
        "rule": name,
        **{key: told.get(key) for key in ("number", "clause", "confidence", "text_zh", "text_en")},
    }
