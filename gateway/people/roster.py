"""The staff roster: who is enrolled with which nationality, entity and roles; every change is a signed paper.

COMPLIANCE.md §4 asks for it. A paper states what stood before it, so that the roster of any day can be told; what
stands in the rows must be what the newest paper said.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from gateway.database import ReadSession, WriteSession
from gateway.errors import ConflictError, EvidenceError, InvalidRequestError, NotFoundError
from gateway.flow.gate import Gate
from gateway.people.papers import Act, NewPaper, Paper, papers, require_text, sign_paper
from gateway.people.records import PersonRow
from gateway.people.registry import ROLES, Actor, require_country
from gateway.vault.jws import PrivateKey

_STATED = ("roles", "nationality", "entity_country")


class RosterChange(StrEnum):
    """What may happen to a person's entry."""

    CHANGE = "change"
    SUSPEND = "suspend"
    REINSTATE = "reinstate"


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterEntry:
    """A person on a day.

    Attributes:
        person: Pseudonymous id.
        roles: Roles that they hold.
        nationality: ISO 3166-1 alpha-2.
        entity_country: Country of the entity that they act for.
        recipient: Recipient that they belong to; None of the operator's own staff.
        since: From when they stand so.
        until: When that changed; None where it stands.
        suspended: Whether they are suspended: nothing that they sign counts.
        reason: Of the change from which they stand so; empty of an enrolment.
        paper: The paper of that change; None where they stand as enrolled.
    """

    person: str
    roles: Sequence[str]
    nationality: str
    entity_country: str
    recipient: str | None
    since: datetime
    until: datetime | None
    suspended: bool
    reason: str
    paper: Paper | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStanding:
    """What a person's entry is to say; what is None stays."""

    roles: Sequence[str] | None = None
    nationality: str | None = None
    entity_country: str | None = None


def change_person(
    gate: Gate,
    person: str,
    change: RosterChange,
    *,
    reason: str,
    actor: Actor,
    key: PrivateKey,
    to: NewStanding | None = None,
) -> str:
    """Change, suspend or reinstate a person by a signed paper; returns its digest.

    Whoever is suspended proves nothing, acts on nothing and approves nothing from then on, and what they signed
    for a release that is not out yet no longer counts.

    Args:
        gate: The gate.
        person: Id of the person.
        change: What happens.
        reason: Why.
        actor: The compliance officer who signs.
        key: Their private key.
        to: What the entry is to say, of a change.

    Raises:
        ActDeniedError: Policy refuses.
        NotFoundError: Nobody is enrolled under this id.
        InvalidRequestError: There is no reason, nothing would change, or a role or country is none.
        ConflictError: It is the officer's own entry, or it stands so already.
    """
    with gate.database.read() as session:
        row = session.get(PersonRow, person)
    before = None if row is None else _standing(row)
    after = dict(before or {})
    if to is not None:
        wanted = {"roles": to.roles, "nationality": to.nationality, "entity_country": to.entity_country}
        after |= {name: value for name, value in wanted.items() if value is not None}
        after["roles"] = sorted(after.get("roles", ()))
    after["suspended"] = change is RosterChange.SUSPEND or (
        change is RosterChange.CHANGE and bool(before and before["suspended"])
    )

    def admit(session: WriteSession) -> None:
        current = session.get(PersonRow, person, with_for_update=True)
        if current is None:
            raise NotFoundError(f"nobody is enrolled under this id (got {person!r})")
        if person == actor.id:
            raise ConflictError(f"nobody changes their own entry (got {person!r})")
        require_text("reason", reason)
        if _standing(current) != before:
            raise ConflictError(f"the entry has changed meanwhile (got {person!r})")
        if after == before:
            raise ConflictError(f"the entry stands so already (got {person!r})")
        _require_standing(after)
        for name in _STATED:
            setattr(current, name, after[name])
        if after["suspended"] != (current.suspended_at is not None):
            current.suspended_at = gate.clock() if after["suspended"] else None

    terms = {"after": after, "before": before, "change": change.value, "reason": reason}
    paper = NewPaper(act=Act.PERSON_CHANGE, subject=person, terms=terms)
    return sign_paper(gate, paper, actor=actor, key=key, admit=admit)


def _require_standing(after: Mapping[str, Any]) -> None:
    unknown = sorted(set(after["roles"]) - ROLES)
    if unknown or not after["roles"]:
        raise InvalidRequestError(
            f"unknown roles (got {unknown or 'none'}, expected some of {sorted(ROLES)})"
        )
    require_country(after["nationality"])
    require_country(after["entity_country"])


def _standing(row: PersonRow) -> dict[str, Any]:
    return {
        "roles": sorted(row.roles),
        "nationality": row.nationality,
        "entity_country": row.entity_country,
        "suspended": row.suspended_at is not None,
    }


def roster(
    gate: Gate,
    session: ReadSession,
    moment: datetime | None = None,
    *,
    below: int | None = None,
) -> tuple[RosterEntry, ...]:
    """Everybody who was enrolled at a moment, by id, as they stood then.

    Args:
        gate: The gate.
        session: Where the rows are read.
        moment: Of which moment; now unless given.
        below: Only what papers before this entry of the ledger state.

    Raises:
        EvidenceError: A row says other than the newest paper about its person, or a paper is missing.
    """
    at = (moment or gate.clock()).astimezone(UTC)
    of_person: dict[str, list[Paper]] = {}
    for paper in papers(gate, Act.PERSON_CHANGE):
        of_person.setdefault(paper.subject, []).append(paper)
    found = []
    for row in session.scalars(sa.select(PersonRow).order_by(PersonRow.id)):
        history = of_person.get(row.id, [])
        if history and history[-1].terms["after"] != _standing(row):
            raise EvidenceError(f"the row of {row.id!r} says other than what was signed last")
        if not history and row.suspended_at is not None:
            raise EvidenceError(f"nobody signed that {row.id!r} is suspended")
        told = [paper for paper in history if below is None or paper.entry < below]
        if row.enrolled_at <= at:
            found.append(_entry_at(row, history, told, at))
    return tuple(found)


def _entry_at(row: PersonRow, history: Sequence[Paper], told: Sequence[Paper], at: datetime) -> RosterEntry:
    past = [paper for paper in told if paper.signed_at <= at]
    ahead = [paper for paper in told if paper.signed_at > at]
    before = history[0].terms["before"] if history else _standing(row)
    standing = past[-1].terms["after"] if past else before
    return RosterEntry(
        person=row.id,
        roles=tuple(standing["roles"]),
        nationality=standing["nationality"],
        entity_country=standing["entity_country"],
        recipient=row.recipient_id,
        since=past[-1].signed_at if past else row.enrolled_at,
        until=ahead[0].signed_at if ahead else None,
        suspended=standing["suspended"],
        reason=past[-1].terms["reason"] if past else "",
        paper=past[-1] if past else None,
    )
