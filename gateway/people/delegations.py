"""Who surveys on whose behalf: units of vehicles and carriers, and delegations to licensed units (A6)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from gateway.database import WriteSession
from gateway.errors import ConflictError, InvalidRequestError, NotFoundError
from gateway.flow.gate import Gate
from gateway.people.certificates import certificates
from gateway.people.papers import Act, NewPaper, Paper, papers, require_text, sign_paper
from gateway.people.registry import Actor
from gateway.vault.jws import PrivateKey

ANY = "*"
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delegation:
    """What a unit without a licence of its own has a licensed unit do.

    Attributes:
        id: Number of the contract.
        delegator: The unit whose vehicles or carriers it is about.
        certificate: Number of the certificate that its holder surveys under.
        sources: Ids of vehicles and carriers; ``*`` for all of the delegator.
        kinds: Kinds of surveying.
        regions: Leading digits of GB/T 2260 codes.
        valid_from: From when.
        valid_to: Until when, excluded; or when somebody ended it.
        paper: The paper that registered it.
    """

    id: str
    delegator: str
    certificate: str
    sources: Sequence[str]
    kinds: Sequence[str]
    regions: Sequence[str]
    valid_from: datetime
    valid_to: datetime
    paper: Paper | None = None


def register_delegation(
    gate: Gate, delegation: Delegation, document: bytes, *, actor: Actor, key: PrivateKey
) -> str:
    """Register a delegation with its contract; returns the paper's digest.

    Raises:
        ForbiddenError: The person is no compliance officer.
        InvalidRequestError: The period is empty, or source, kind, region or delegator is not named.
        NotFoundError: The certificate is not registered.
        ConflictError: The delegation is registered, or goes to the delegator.
    """

    def admit(session: WriteSession) -> None:
        named = delegation.sources and delegation.kinds and delegation.regions
        if delegation.valid_to <= delegation.valid_from or not named:
            raise InvalidRequestError(
                f"delegation needs a period, sources, kinds and regions (got {delegation})"
            )
        require_text("delegator", delegation.delegator)
        holders = {each.number: each.holder for each in certificates(gate, session)}
        if delegation.certificate not in holders:
            raise NotFoundError(f"no such certificate (got {delegation.certificate!r})")
        if holders[delegation.certificate] == delegation.delegator:
            raise ConflictError(f"a unit delegates nothing to itself (got {delegation.delegator!r})")
        if any(each.id == delegation.id for each in delegations(gate)):
            raise ConflictError(f"delegation is registered (got {delegation.id!r})")

    terms = {
        "certificate": delegation.certificate,
        "delegator": delegation.delegator,
        "kinds": list(delegation.kinds),
        "regions": list(delegation.regions),
        "sources": list(delegation.sources),
        "valid_from": delegation.valid_from.astimezone(UTC).isoformat(),
        "valid_to": delegation.valid_to.astimezone(UTC).isoformat(),
    }
    paper = NewPaper(act=Act.DELEGATION_REGISTER, subject=delegation.id, terms=terms, document=document)
    return sign_paper(gate, paper, actor=actor, key=key, admit=admit)


def end_delegation(
    gate: Gate, delegation: str, *, since: datetime, reason: str, actor: Actor, key: PrivateKey
) -> str:
    """End a delegation before its time; returns the paper's digest.

    Raises:
        ForbiddenError: The person is no compliance officer.
        InvalidRequestError: There is no reason.
        NotFoundError: There is no such delegation.
    """

    def admit(_: WriteSession) -> None:
        require_text("reason", reason)
        if all(each.id != delegation for each in delegations(gate)):
            raise NotFoundError(f"no such delegation (got {delegation!r})")

    terms = {"reason": reason, "since": since.astimezone(UTC).isoformat()}
    paper = NewPaper(act=Act.DELEGATION_END, subject=delegation, terms=terms)
    return sign_paper(gate, paper, actor=actor, key=key, admit=admit)


def delegations(gate: Gate, *, below: int | None = None) -> tuple[Delegation, ...]:
    """Every delegation in the order of the ledger; one that was ended ends at the earliest end stated.

    Raises:
        EvidenceError: A paper does not verify, or is missing.
    """
    found: dict[str, Delegation] = {}
    for paper in papers(gate, Act.DELEGATION_REGISTER, Act.DELEGATION_END, below=below):
        terms = paper.terms
        if paper.act is Act.DELEGATION_REGISTER:
            found[paper.subject] = Delegation(
                id=paper.subject,
                delegator=terms["delegator"],
                certificate=terms["certificate"],
                sources=tuple(terms["sources"]),
                kinds=tuple(terms["kinds"]),
                regions=tuple(terms["regions"]),
                valid_from=datetime.fromisoformat(terms["valid_from"]),
                valid_to=datetime.fromisoformat(terms["valid_to"]),
                paper=paper,
            )
        elif paper.subject in found:
            known = found[paper.subject]
            end = min(known.valid_to, datetime.fromisoformat(terms["since"]))
            found[paper.subject] = replace(known, valid_to=end)
    return tuple(found.values())


def assign_source(
    gate: Gate, source: str, unit: str, *, actor: Actor, key: PrivateKey, since: datetime = _ALWAYS
) -> str:
    """State which unit a vehicle or carrier collects for, from when on; returns the paper's digest.

    Raises:
        ForbiddenError: The person is no compliance officer.
        InvalidRequestError: The unit is not named.
    """

    def admit(_: WriteSession) -> None:
        require_text("unit", unit)

    terms = {"since": since.astimezone(UTC).isoformat(), "unit": unit}
    paper = NewPaper(act=Act.SOURCE_ASSIGN, subject=source, terms=terms, fields={"vehicle": source})
    return sign_paper(gate, paper, actor=actor, key=key, admit=admit)


def unit_of(gate: Gate, source: str, moment: datetime, *, below: int | None = None) -> str | None:
    """The unit that a vehicle or carrier collected for at a moment; None where nobody stated it.

    Raises:
        EvidenceError: A paper does not verify, or is missing.
    """
    unit = None
    for paper in papers(gate, Act.SOURCE_ASSIGN, subject=source, below=below, vehicle=source):
        if datetime.fromisoformat(paper.terms["since"]) <= moment:
            unit = str(paper.terms["unit"])
    return unit
