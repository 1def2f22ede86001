"""What principals derived from releases: signed statements, verified when loaded, and who descends from whom."""

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import rfc8785
import sqlalchemy as sa

from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_page
from gateway.database import ReadSession, WriteSession
from gateway.errors import EvidenceError
from gateway.flow.gate import Gate
from gateway.flow.records import ArtefactRow
from gateway.models.statements import digest_of
from gateway.people.records import PersonRow
from gateway.signed_files import completed
from gateway.vault.errors import StatementError, VaultError
from gateway.vault.jws import public_key_of, verify_statement
from gateway.vault.values import open_value, seal_value

ARTEFACT_TYPE: Final = "fleetgate-artefact+jwt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A derived artefact (a PROV entity) whose statement verified.

    Attributes:
        id: SHA-256 of the statement.
        said: What its principal signed.
        attested: Whether the ledger attests its registration; one that was interrupted is not.
        revoked_at: When a release that it rests on was revoked.
    """

    id: str
    said: Mapping[str, Any]
    attested: bool
    revoked_at: datetime | None

    @property
    def principal(self) -> str:
        """Who registered it (PROV: attributed to)."""
        return str(self.said["attributed_to"])

    @property
    def releases(self) -> tuple[str, ...]:
        """Releases that it names as sources."""
        return tuple(self.said["derived_from"]["releases"])

    @property
    def parents(self) -> tuple[str, ...]:
        """Artefacts that it names as sources."""
        return tuple(self.said["derived_from"]["artefacts"])


def seal_artefact(gate: Gate, statement: str) -> bytes:
    """A statement, sealed: names and parameters are whatever engineers write."""
    return seal_value(
        gate.keystore,
        kek_id=gate.gate_kek,
        context=_context(digest_of(statement)),
        plaintext=statement.encode(),
    )


def _context(artefact: str) -> bytes:
    return rfc8785.dumps({"artefact": artefact, "role": "artefact"})


def load_artefact(gate: Gate, session: ReadSession | WriteSession, artefact: str) -> Artefact | None:
    """An artefact, verified; None where there is none.

    1. The seal opens, and the id is the statement's digest. 2. The statement is signed by the key of the principal
    on record, who it says made it.

    Raises:
        EvidenceError: A step fails.
    """
    row = session.get(ArtefactRow, artefact)
    if row is None:
        return None
    return _verified(gate, session, row, attested=_is_attested(gate, artefact))


def _verified(
    gate: Gate, session: ReadSession | WriteSession, row: ArtefactRow, *, attested: bool
) -> Artefact:
    try:  # 1
        statement = open_value(
            gate.keystore, kek_id=gate.gate_kek, context=_context(row.id), sealed=row.sealed
        ).decode()
    except VaultError as error:
        raise EvidenceError(f"statement of artefact {row.id} does not open: {error}") from error
    if digest_of(statement) != row.id:
        raise EvidenceError(f"statement of artefact {row.id} is another one")
    person = session.get_one(PersonRow, row.principal)
    try:  # 2
        said = verify_statement(statement, ARTEFACT_TYPE, public_key_of(person.public_jwk))
    except StatementError as error:
        raise EvidenceError(f"statement of artefact {row.id} does not verify: {error}") from error
    if said.get("attributed_to") != row.principal:
        raise EvidenceError(f"artefact {row.id} is another principal's (got {said.get('attributed_to')!r})")
    return Artefact(id=row.id, said=said, attested=attested, revoked_at=row.revoked_at)


def _is_attested(gate: Gate, artefact: str) -> bool:
    wanted = EntryFilter(
        object=artefact, types=(EventType.ARTEFACT_ARTEFACT_REGISTER,), outcome=Outcome.COMPLETED
    )
    with gate.ledger.snapshot() as snapshot:
        return bool(find_page(snapshot, wanted, limit=1).entries)


def sources_of(gate: Gate, session: ReadSession | WriteSession, artefact: Artefact) -> set[str]:
    """Every release that an artefact rests on, through its ancestors, too.

    Raises:
        EvidenceError: An ancestor is missing or does not verify.
    """
    found, seen = set(artefact.releases), {artefact.id}
    waiting = deque(artefact.parents)
    while waiting:
        if (at := waiting.popleft()) in seen:
            continue
        seen.add(at)
        parent = load_artefact(gate, session, at)
        if parent is None:
            raise EvidenceError(f"artefact {at}, an ancestor of {artefact.id}, is missing")
        found |= set(parent.releases)
        waiting.extend(parent.parents)
    return found


def descendants_of(gate: Gate, release: str) -> list[Artefact]:
    """Every artefact that rests on a release, directly or through others, those nearest to it first.

    Who descends from whom is read from the signed statements of all artefacts: a row cannot hide one.

    Raises:
        EvidenceError: One does not verify, or one that the ledger saw registered is missing.
    """
    every = _every(gate)
    children: dict[str, list[str]] = {}
    for artefact in every.values():
        for parent in artefact.parents:
            children.setdefault(parent, []).append(artefact.id)
    level = sorted(each.id for each in every.values() if release in each.releases)
    seen, found = set[str](), list[Artefact]()
    while level:
        seen |= set(level)
        found += [every[each] for each in level]
        level = sorted({child for each in level for child in children.get(each, ())} - seen)
    return found


def _every(gate: Gate) -> dict[str, Artefact]:
    registered = completed(gate.ledger, EventType.ARTEFACT_ARTEFACT_REGISTER)
    # A session of its own, after the ledger: an older view of the database would miss what is attested since.
    with gate.database.read() as session:
        rows = session.scalars(sa.select(ArtefactRow).order_by(ArtefactRow.id)).all()
        found = {row.id: _verified(gate, session, row, attested=row.id in registered) for row in rows}
    if missing := registered - found.keys():
        raise EvidenceError(
            f"artefacts that the ledger saw registered are missing (got none of {sorted(missing)})"
        )
    return found


def mark_revoked(session: WriteSession, artefact: str, now: datetime) -> None:
    """Mark an artefact revoked; one that is keeps its time."""
    row = session.get_one(ArtefactRow, artefact, with_for_update=True)
    row.revoked_at = row.revoked_at or now


def told_of(artefact: Artefact) -> dict[str, Any]:
    """An artefact as it is listed."""
    said = artefact.said
    return {
        "artefact": artefact.id,
        "kind": said["kind"],
        "name": said["name"],
        "digest": said["digest"],
        "attributed_to": artefact.principal,
        "derived_from": json.loads(json.dumps(said["derived_from"])),
        "generated_by": json.loads(json.dumps(said["generated_by"])),
        "attested": artefact.attested,
        "revoked": artefact.revoked_at is not None,
    }
