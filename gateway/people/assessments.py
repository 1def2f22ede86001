"""Assessments that purposes rest on: impact on persons (PIPL 55-56, GDPR 35), provision of important data (D3)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from gateway.database import WriteSession
from gateway.errors import InvalidRequestError, NotFoundError
from gateway.flow.gate import Gate
from gateway.flow.recording import DataClass, Level
from gateway.people.papers import Act, NewPaper, Paper, papers, require_text, sign_paper
from gateway.people.records import PurposeRow
from gateway.people.registry import Actor
from gateway.vault.jws import PrivateKey


class AssessmentKind(StrEnum):
    """Which assessment the law asks for."""

    IMPACT = "pia"
    PROVISION = "provision"
    DPIA = "dpia"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """An assessment of a purpose.

    Attributes:
        purpose: The purpose.
        kind: 个人信息保护影响评估, 重要数据提供风险评估, or the GDPR's.
        reference: Its number.
        made_at: When it was made.
        valid_until: Until when it counts, excluded.
        classes: Classes of data that it covers.
        levels: Levels that it covers.
        paper: The paper that registered it.
    """

    purpose: str
    kind: AssessmentKind
    reference: str
    made_at: datetime
    valid_until: datetime
    classes: Sequence[str]
    levels: Sequence[str]
    paper: Paper | None = None


def register_assessment(
    gate: Gate, assessment: Assessment, document: bytes, *, actor: Actor, key: PrivateKey
) -> str:
    """Register an assessment with its report; a later one of the same reference replaces it.

    Returns:
        The paper's digest.

    Raises:
        ForbiddenError: The person is no compliance officer.
        InvalidRequestError: The period is empty, or a class, level or reference is not one.
        NotFoundError: The purpose is not registered.
    """

    def admit(session: WriteSession) -> None:
        if session.get(PurposeRow, assessment.purpose) is None:
            raise NotFoundError(f"purpose is not registered (got {assessment.purpose!r})")
        require_text("reference", assessment.reference)
        if assessment.valid_until <= assessment.made_at or not assessment.classes or not assessment.levels:
            raise InvalidRequestError(f"assessment needs a period, classes and levels (got {assessment})")
        unknown = sorted(
            (set(assessment.classes) - {each.value for each in DataClass})
            | (set(assessment.levels) - {each.name for each in Level})
        )
        if unknown:
            raise InvalidRequestError(f"no such class or level (got {unknown})")

    terms = {
        "classes": sorted(assessment.classes),
        "kind": assessment.kind.value,
        "levels": sorted(assessment.levels),
        "made_at": assessment.made_at.astimezone(UTC).isoformat(),
        "reference": assessment.reference,
        "valid_until": assessment.valid_until.astimezone(UTC).isoformat(),
    }
    paper = NewPaper(
        act=Act.PURPOSE_ASSESS,
        subject=assessment.purpose,
        terms=terms,
        document=document,
        fields={"purpose": assessment.purpose},
    )
    return sign_paper(gate, paper, actor=actor, key=key, admit=admit)


def assessments_of(gate: Gate, purpose: str, *, below: int | None = None) -> tuple[Assessment, ...]:
    """Assessments of a purpose in the order of the ledger.

    Raises:
        EvidenceError: A paper does not verify, or is missing.
    """
    found: dict[str, Assessment] = {}
    for paper in papers(gate, Act.PURPOSE_ASSESS, subject=purpose, below=below, purpose=purpose):
        terms = paper.terms
        found[terms["reference"]] = Assessment(
            purpose=purpose,
            kind=AssessmentKind(terms["kind"]),
            reference=terms["reference"],
            made_at=datetime.fromisoformat(terms["made_at"]),
            valid_until=datetime.fromisoformat(terms["valid_until"]),
            classes=tuple(terms["classes"]),
            levels=tuple(terms["levels"]),
            paper=paper,
        )
    return tuple(found.values())
