"""What another bundle would have decided on what was asked before: past questions, verified, put to the draft.

The draft's own statement (rule 1) is not what is tried: each question is bound to the draft as if it had been in
force. Dated numbers of the draft hold as they stand on the day that is given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from audit.events import EventType
from audit.query import EntryFilter, find_page
from gateway.flow.asked import Asked, Kept, load_asked
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from policies.bundle import Bundle
from policies.decision import Decision
from policies.difference import as_of
from policies.embedded import EmbeddedEngine
from policies.errors import PolicyError
from policies.question import Point, Question

_TYPES = {
    Point.INTAKE: EventType.JUDGE_INTAKE_DECIDE,
    Point.ADVANCE: EventType.JUDGE_ADVANCE_DECIDE,
    Point.RELEASE: EventType.JUDGE_RELEASE_DECIDE,
    Point.PUBLISH: EventType.JUDGE_PUBLISH_DECIDE,
    Point.SERVE: EventType.JUDGE_SERVE_DECIDE,
    Point.DESTROY: EventType.JUDGE_DESTROY_DECIDE,
    Point.ACT: EventType.JUDGE_ACT_DECIDE,
}
_EVERY = (Point.SERVE, Point.ACT)
_PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """One past decision, and what the draft decides.

    Attributes:
        index: The ledger's entry.
        time: When it was decided.
        point: Decision point.
        about: Release or recording.
        kept: ``kept``, or why the question cannot be asked again.
        allowed: What was decided.
        now_allowed: What the draft decides; None where it could not be asked.
        rules: The rules of the draft that do not pass, each with clause and facts.
        duties: Kinds of duties that the draft states and the past decision did not.
        error: Why the question is none for this version any more; empty otherwise.
    """

    index: int
    time: str
    point: str
    about: str
    kept: str
    allowed: bool
    now_allowed: bool | None
    rules: tuple[dict[str, Any], ...] = ()
    duties: tuple[str, ...] = ()
    error: str = ""

    @property
    def turns(self) -> str:
        """``refused``, ``allowed`` or ``same``; ``not_asked`` where the question is not there."""
        if self.now_allowed is None:
            return "not_asked"
        return {(True, False): "refused", (False, True): "allowed"}.get(
            (self.allowed, self.now_allowed), "same"
        )


@dataclass(slots=True, kw_only=True)
class Simulation:
    """What a run found so far: an interrupted one goes on before ``next_before``."""

    day: str
    results: list[Simulated] = field(default_factory=list)
    next_before: int | None = None
    complete: bool = False


def past_decisions(gate: Gate, point: Point, *, most: int, before: int | None) -> list[int]:
    """Entries of the newest decisions at a point, one for each release or recording; of reads and acts every one.

    What was asked about the form of the ledger (point ``log``) is no entry of it: there are none.

    Args:
        gate: The gate.
        point: Decision point.
        most: How many at most.
        before: Only entries below this index.
    """
    found: list[int] = []
    seen: set[str] = set()
    after: int | None = None
    while point in _TYPES and len(found) < most:
        with gate.ledger.snapshot() as snapshot:
            page = find_page(snapshot, EntryFilter(types=(_TYPES[point],)), limit=_PAGE, after=after)
        for entry in page.entries:
            owner = entry.event.release or entry.event.recording or entry.event.object
            wanted = "asked" in entry.event.digests if point in _EVERY else owner not in seen
            seen.add(owner)
            if wanted and (before is None or entry.index < before):
                found.append(entry.index)
        after = page.cursor
        if after is None:
            break
    return found[:most]


def simulate(gate: Gate, bundle: Bundle, indices: Sequence[int], *, day: str) -> Iterator[Simulated]:
    """Put past questions to a draft, one at a time.

    Args:
        gate: The gate.
        bundle: The draft.
        indices: Entries of decisions.
        day: ``YYYY-MM-DD``: the draft's dated numbers as they stand then.

    Raises:
        EvidenceError: What was kept does not verify.
        PolicyError: The draft does not compile, or the engine fails.
    """
    with EmbeddedEngine(as_of(bundle, day)) as engine:
        for index in indices:
            with gate.database.read() as session:
                asked = load_asked(gate, session, index)
            yield _simulated(engine, asked)


def _simulated(engine: EmbeddedEngine, asked: Asked) -> Simulated:
    named: dict[str, Any] = {
        "index": asked.entry.index,
        "time": instant(asked.moment),
        "point": asked.point.value,
        "about": asked.owner,
        "kept": asked.kept.value,
        "allowed": asked.allowed,
    }
    if asked.kept is not Kept.KEPT or asked.question is None or asked.decision is None:
        return Simulated(**named, now_allowed=None)
    try:
        decision = engine.decide(_bound(asked.question, engine.bundle))
    except PolicyError as error:
        return Simulated(**named, now_allowed=None, error=str(error))
    before = {duty["kind"] for duty in asked.decision["obligations"]}
    return Simulated(
        **named,
        now_allowed=decision.allowed,
        rules=_violations(decision),
        duties=tuple(sorted({duty.kind.value for duty in decision.obligations} - before)),
    )


def _violations(decision: Decision) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            "rule": violation.rule,
            "number": violation.number,
            "clause": violation.clause,
            "confidence": violation.confidence,
            "text_zh": violation.text_zh,
            "text_en": violation.text_en,
            "facts": [dict(fact) for fact in violation.facts],
        }
        for violation in decision.violations
    )


def _bound(question: Question, bundle: Bundle) -> Question:
    document = question.document()
    context = document["context"]
    old = context["policy"]["digest"]
    context["policy"]["digest"] = bundle.digest
    decided = context.get("decision")
    if isinstance(decided, dict) and decided.get("bundle_digest") == old:
        decided["bundle_digest"] = bundle.digest
    return Question.of(document)
