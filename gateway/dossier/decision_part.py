"""What policy decided about a release: each rule with its clause, duties, and what no primary text confirms."""

from collections.abc import Mapping, Sequence
from typing import Any

from audit.events import EventType, Outcome
from audit.leaf import Entry, format_time
from gateway.flow.gate import Gate
from gateway.flow.recording import Judged
from policies.decision import ObligationKind
from policies.question import Point


def decision_part(gate: Gate, judged: Judged, entries: Sequence[Entry]) -> dict[str, Any]:
    """The decision that let a release out, JSON-ready.

    ``explained`` is false where another bundle than the one in force decided: its catalogue is not here, and the
    rules stand without clause.
    """
    decision = judged.decision
    explained = decision["bundle_digest"] == gate.bundle.bundle.digest
    rules = [_rule(gate, Point.RELEASE, name, explained=explained) for name in decision["passed"]]
    published = [e for e in entries if e.event.type is EventType.JUDGE_PUBLISH_DECIDE]
    allowed = [e for e in published if e.event.outcome is Outcome.COMPLETED]
    if allowed and allowed[-1].event.digests.get("bundle") == gate.bundle.bundle.digest:
        # A bundle allows only where every rule that its catalogue lists for the point passed.
        names = sorted(gate.bundle.bundle.catalogue[Point.PUBLISH])
        rules += [_rule(gate, Point.PUBLISH, name, explained=True) for name in names]
    return {
        "engine": decision["engine"],
        "bundle_digest": decision["bundle_digest"],
        "bundle_version": gate.bundle.bundle.version if explained else None,
        "question_digest": decision["question_digest"],
        "level": decision["level"],
        "entry": judged.evidence.ledger_index,
        "explained": explained,
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


def _rule(gate: Gate, point: Point, name: str, *, explained: bool) -> dict[str, Any]:
    told: Mapping[str, Any] = gate.bundle.bundle.catalogue[point].get(name, {}) if explained else {}
    return {
        "point": point.value,
        "rule": name,
        **{key: told.get(key) for key in ("number", "clause", "confidence", "text_zh", "text_en")},
    }
