"""Contracts with recipients, and the supervision of what they do with what they received (COMPLIANCE.md D1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gateway.database import WriteSession
from gateway.errors import ConflictError, InvalidRequestError, NotFoundError
from gateway.flow.gate import Gate
from gateway.people.papers import Act, NewPaper, Paper, papers, require_text, sign_paper
from gateway.people.records import PurposeRow, RecipientRow
from gateway.people.registry import Actor
from gateway.vault.jws import PrivateKey

_ACTS = (Act.RECIPIENT_CONTRACT, Act.RECIPIENT_SUPERVISE, Act.RECIPIENT_CLOSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """A contract with a recipient.

    Attributes:
        recipient: The organisation.
        number: Number of the contract.
        valid_from: From when.
        valid_to: Until when, excluded.
        purposes: Purposes that it allows.
        paper: The paper that registered it.
    """

    recipient: str
    number: str
    valid_from: datetime
    valid_to: datetime
    purposes: Sequence[str]
    paper: Paper | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """An inspection of a recipient.

    Attributes:
        recipient: The organisation.
        inspected_at: When.
        inspector: Who inspected.
        finding: What was found that must be put right; empty where nothing was.
        closed_by: Digest of the paper that closed the finding.
        paper: The paper that recorded it.
    """

    recipient: str
    inspected_at: datetime
    inspector: str
    finding: str
    closed_by: str | None = None
    paper: Paper | None = None

    @property
    def open(self) -> bool:
        """Whether a finding stands."""
        return bool(self.finding) and self.closed_by is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Oversight:
    """What is on record of a recipient: contracts and inspections in the order of the ledger."""

    contracts: tuple[Contract, ...]
    inspections: tuple[Inspection, ...]


def register_contract(
    gate: Gate, contract: Contract, document: bytes, *, actor: Actor, key: PrivateKey
) -> str:
    """Register a contract with the document; a later one of the same number replaces it.

    Returns:
        The paper's digest.

    Raises:
        ForbiddenError: The person is no compliance officer.
        InvalidRequestError: The period is empty, or no number or purpose is named.
        NotFoundError: Recipient or purpose is not registered.
    """

    def admit(session: WriteSession) -> None:
        _require_recipient(session, contract.recipient)
        require_text("number", contract.number)
        if contract.valid_to <= contract.valid_from or not contract.purposes:
            raise InvalidRequestError(f"contract needs a period and purposes (got {contract})")
        for purpose in contract.purposes:
            if session.get(PurposeRow, purpose) is None:
                raise NotFoundError(f"purpose is not registered (got {purpose!r})")

    terms = {
        "number": contract.number,
        "purposes": list(contract.purposes),
        "valid_from": contract.valid_from.astimezone(UTC).isoformat(),
        "valid_to": contract.valid_to.astimezone(UTC).isoformat(),
    }
    paper = _paper(Act.RECIPIENT_CONTRACT, contract.recipient, terms, document)
    return sign_paper(gate, paper, actor=actor, key=key, admit=admit)


def record_inspection(
    gate: Gate, inspection: Inspection, document: bytes, *, actor: Actor, key: PrivateKey
) -> str:
    """Record an inspection of a recipient with its report; returns the paper's digest.

    Raises:
        ForbiddenError: The person is no compliance officer.
        InvalidRequestError: It lies ahead, or nobody inspected.
        NotFoundError: The recipient is not registered.
    """

    def admit(session: WriteSession) -> None:
        _require_recipient(session, inspection.recipient)
        require_text("inspector", inspection.inspector)
        if inspection.finding:
            require_text("finding", inspection.finding)
        if inspection.inspected_at > gate.clock():
            raise InvalidRequestError(f"inspection lies ahead (got {inspection.inspected_at.isoformat()})")

    terms = {
        "finding": inspection.finding,
        "inspected_at": inspection.inspected_at.astimezone(UTC).isoformat(),
        "inspector": inspection.inspector,
    }
    paper = _paper(Act.RECIPIENT_SUPERVISE, inspection.recipient, terms, document)
    return sign_paper(gate, paper, actor=actor, key=key, admit=admit)


def close_finding(
    gate: Gate,
    recipient: str,
    inspection: str,
    *,
    reason: str,
    document: bytes | None,
    actor: Actor,
    key: PrivateKey,
) -> str:
    """State that a finding was put right; returns the paper's digest.

    Args:
        gate: The gate.
        recipient: The organisation.
        inspection: Digest of the paper that recorded the finding.
        reason: How it was put right.
        document: What shows it.
        actor: Who signs.
        key: Their private key.

    Raises:
        ForbiddenError: The person is no compliance officer.
        InvalidRequestError: There is no reason.
        NotFoundError: There is no such inspection of the recipient.
        ConflictError: It left no finding that stands.
    """

    def admit(session: WriteSession) -> None:
        _require_recipient(session, recipient)
        require_text("reason", reason)
        known = {each.paper.digest: each for each in oversight_of(gate, recipient).inspections if each.paper}
        if inspection not in known:
            raise NotFoundError(f"no such inspection of {recipient!r} (got {inspection!r})")
        if not known[inspection].open:
            raise ConflictError(f"no finding stands (got {inspection!r})")

    paper = _paper(Act.RECIPIENT_CLOSE, recipient, {"inspection": inspection, "reason": reason}, document)
    return sign_paper(gate, paper, actor=actor, key=key, admit=admit)


def oversight_of(gate: Gate, recipient: str, *, below: int | None = None) -> Oversight:
    """Contracts with a recipient and inspections of it; of two contracts of one number the later.

    Raises:
        EvidenceError: A paper does not verify, or is missing.
    """
    contracts: dict[str, Contract] = {}
    inspections: dict[str, Inspection] = {}
    for paper in papers(gate, *_ACTS, subject=recipient, below=below, recipient=recipient):
        terms = paper.terms
        if paper.act is Act.RECIPIENT_CONTRACT:
            contracts[terms["number"]] = Contract(
                recipient=recipient,
                number=terms["number"],
                valid_from=datetime.fromisoformat(terms["valid_from"]),
                valid_to=datetime.fromisoformat(terms["valid_to"]),
                purposes=tuple(terms["purposes"]),
                paper=paper,
            )
            continue
        closes = terms.get("inspection", paper.digest)
        found = inspections.get(closes)
        inspections[closes] = Inspection(
            recipient=recipient,
            inspected_at=found.inspected_at if found else datetime.fromisoformat(terms["inspected_at"]),
            inspector=found.inspector if found else terms["inspector"],
            finding=found.finding if found else terms["finding"],
            closed_by=paper.digest if found else None,
            paper=found.paper if found else paper,
        )
    return Oversight(contracts=tuple(contracts.values()), inspections=tuple(inspections.values()))


def _paper(act: Act, recipient: str, terms: Mapping[str, object], document: bytes | None) -> NewPaper:
    return NewPaper(
        act=act, subject=recipient, terms=terms, document=document, fields={"recipient": recipient}
    )


def _require_recipient(session: WriteSession, recipient: str) -> None:
    if session.get(RecipientRow, recipient) is None:
        raise NotFoundError(f"recipient is not registered (got {recipient!r})")
