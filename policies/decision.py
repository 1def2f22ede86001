"""What policy answers, read so strictly that anything but a complete, consistent decision is an error."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from policies.bundle import Bundle
from policies.errors import EngineError
from policies.question import Point, Question

_FIELDS = frozenset({"allow", "required", "passed", "violations", "obligations", "level", "bundle"})


class Level(StrEnum):
    """Levels of the taxonomy (COMPLIANCE.md §2), lowest first; the unknown is handled as a state secret."""

    S0_PUBLIC = "S0_PUBLIC"
    S1_PROCESSED = "S1_PROCESSED"
    S2_PI = "S2_PI"
    S2_SENSITIVE_PI = "S2_SENSITIVE_PI"
    S3_IMPORTANT = "S3_IMPORTANT"
    S3_SENSITIVE_GEO = "S3_SENSITIVE_GEO"
    S4_STATE_SECRET = "S4_STATE_SECRET"  # noqa: S105 (a level, not a password)
    SX_UNKNOWN = "SX_UNKNOWN"


class ObligationKind(StrEnum):
    """What the gateway must do with an allowed act; it refuses the act if it cannot.

    ``quarantine_as`` handle the recording at ``level`` · ``drop_classes`` do not keep items of ``classes`` ·
    ``show_unverified`` show the approver that ``what`` rests on unverified sources · ``approvals`` obtain
    ``count`` distinct approvals · ``manual_review`` have a person look at ``items`` for ``tag`` ·
    ``retain_record`` keep the provision record for ``years`` · ``record_access`` enter intent and completion
    in the ledger · ``mask_signs`` have looked for limit signs in every picture and masked each ·
    ``thin_points`` let out one of ``keep_every`` sweeps of a sensor · ``clip_length`` let out no clip longer
    than ``max_m`` metres · ``watermark`` mark every picture of ``classes`` visibly · ``in_zone_only`` serve only
    where the network zone is ``zone`` · ``expire`` serve nothing from ``not_after`` on.
    """

    QUARANTINE_AS = "quarantine_as"
    DROP_CLASSES = "drop_classes"
    SHOW_UNVERIFIED = "show_unverified"
    APPROVALS = "approvals"
    MANUAL_REVIEW = "manual_review"
    RETAIN_RECORD = "retain_record"
    RECORD_ACCESS = "record_access"
    MASK_SIGNS = "mask_signs"
    THIN_POINTS = "thin_points"
    CLIP_LENGTH = "clip_length"
    WATERMARK = "watermark"
    IN_ZONE_ONLY = "in_zone_only"
    EXPIRE = "expire"


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A required rule that did not pass, with its source and the facts that explain why.

    Attributes:
        rule: Folder name of the rule.
        number: The rule or law of COMPLIANCE.md §3 or DESIGN.md §3 that it implements (``7``, ``law 7``).
        clause: The legal source or design section.
        confidence: ``L``, ``L2``, ``M``, ``m`` as in COMPLIANCE.md, or ``own`` for the project's own law.
        text_zh: What the rule demands, in Chinese.
        text_en: What the rule demands, in English.
        facts: The facts that failed; empty where a fact was absent altogether.
    """

    rule: str
    number: str
    clause: str
    confidence: str
    text_zh: str
    text_en: str
    facts: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Obligation:
    """One duty that comes with a decision."""

    kind: ObligationKind
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A complete decision. ``level`` is the level the act is handled at; None where the point has none."""

    allowed: bool
    point: Point
    level: Level | None
    required: tuple[str, ...]
    passed: tuple[str, ...]
    violations: tuple[Violation, ...]
    obligations: tuple[Obligation, ...]
    bundle_digest: str
    question_digest: str
    engine: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready form for the ledger."""
        return {
            "allowed": self.allowed,
            "point": self.point.value,
            "level": None if self.level is None else self.level.value,
            "required": list(self.required),
            "passed": list(self.passed),
            "violations": [
                {**asdict(violation), "facts": [dict(fact) for fact in violation.facts]}
                for violation in self.violations
            ],
            "obligations": [
                {"kind": duty.kind.value, "parameters": dict(duty.parameters)} for duty in self.obligations
            ],
            "bundle_digest": self.bundle_digest,
            "question_digest": self.question_digest,
            "engine": self.engine,
        }


def read_decision(answer: object, *, question: Question, bundle: Bundle, engine: str) -> Decision:
    """Turn an engine's answer into a decision (DESIGN.md §3 law 5: nothing malformed ever allows).

    1. The answer has exactly the fields of a decision.
    2. It was given by the bundle that the gateway pinned.
    3. It required exactly the rules that the bundle's catalogue lists for the point, at least one.
    4. It passed none but required rules.
    5. It allows if and only if every required rule passed, and names every rule that did not.
    6. Its obligations are of known kinds and its level is of the taxonomy.

    Raises:
        EngineError: Any of these does not hold.
    """
    # 1.
    if not isinstance(answer, dict) or answer.keys() != _FIELDS:
        shape = sorted(answer) if isinstance(answer, dict) else type(answer).__name__
        raise EngineError(
            f"{engine} gave no decision at {question.point} (got {shape}, expected {sorted(_FIELDS)})"
        )
    # 2.
    if answer["bundle"] != bundle.digest:
        raise EngineError(
            f"{engine} judged with another bundle (got {answer['bundle']!r}, expected {bundle.digest!r})"
        )
    # 3.
    rules = bundle.catalogue[question.point]
    required, passed = _names(answer["required"], engine), _names(answer["passed"], engine)
    if not required or set(required) != rules.keys():
        raise EngineError(f"{engine} required other rules (got {required}, expected {sorted(rules)})")
    # 4.
    if not set(passed) <= set(required):
        raise EngineError(f"{engine} passed unknown rules (got {sorted(set(passed) - set(required))})")
    # 5.
    violations = _violations(answer["violations"], rules, engine)
    missing = set(required) - set(passed)
    if answer["allow"] is not (not missing) or {violation.rule for violation in violations} != missing:
        raise EngineError(
            f"{engine} contradicts itself (got allow={answer['allow']!r}, violations "
            f"{[violation.rule for violation in violations]}, expected {sorted(missing)})"
        )
    # 6.
    return Decision(
        allowed=not missing,
        point=question.point,
        level=_level(answer["level"], engine),
        required=required,
        passed=passed,
        violations=violations,
        obligations=_obligations(answer["obligations"], engine),
        bundle_digest=bundle.digest,
        question_digest=question.digest,
        engine=engine,
    )


def _names(value: object, engine: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise EngineError(f"{engine} gave no list of rules (got {value!r})")
    return tuple(sorted(set(value)))


def _violations(value: object, rules: Mapping[str, Mapping[str, str]], engine: str) -> tuple[Violation, ...]:
    if not isinstance(value, list):
        raise EngineError(f"{engine} gave no list of violations (got {value!r})")
    found = []
    for entry in value:
        facts = entry.get("facts") if isinstance(entry, dict) else None
        if not isinstance(facts, list) or not all(isinstance(fact, dict) for fact in facts):
            raise EngineError(f"{engine} gave a malformed violation (got {entry!r})")
        rule = entry.get("rule")
        if rule not in rules:
            raise EngineError(f"{engine} names an unknown rule (got {rule!r})")
        found.append(Violation(rule=rule, facts=tuple(facts), **rules[rule]))
    return tuple(sorted(found, key=lambda violation: violation.rule))


def _obligations(value: object, engine: str) -> tuple[Obligation, ...]:
    if not isinstance(value, list):
        raise EngineError(f"{engine} gave no list of obligations (got {value!r})")
    found = []
    for entry in value:
        if (
            not isinstance(entry, dict)
            or entry.keys() != {"kind", "parameters"}
            or entry["kind"] not in list(ObligationKind)
            or not isinstance(entry["parameters"], dict)
        ):
            raise EngineError(
                f"{engine} gave an unknown obligation (got {entry!r}, expected {[*ObligationKind]})"
            )
        found.append(Obligation(kind=ObligationKind(entry["kind"]), parameters=entry["parameters"]))
    return tuple(found)


def _level(value: object, engine: str) -> Level | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in list(Level):
        raise EngineError(f"{engine} gave an unknown level (got {value!r}, expected {[*Level]})")
    return Level(value)
