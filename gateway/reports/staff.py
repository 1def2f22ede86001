"""The staff roster as a report: who held which role, of which nationality and entity (COMPLIANCE.md §4)."""

from datetime import UTC
from typing import Any

from audit.events import EventType, Outcome
from audit.query import EntryFilter
from gateway.flow.deciding import instant
from gateway.people.roster import RosterEntry, roster
from gateway.reports.twin import Found, Scope


def staff(scope: Scope) -> Found:
    """Everybody enrolled at the end of the period or at the checkpoint, with the entry that each line rests on."""
    last = scope.basis.snapshot.entry(scope.basis.size - 1).time.astimezone(UTC)
    at = last if scope.until is None else min(scope.until, last)
    enrolled = {
        entry.event.object: entry
        for entry in scope.basis.entries(
            EntryFilter(types=(EventType.PEOPLE_PERSON_ENROL,), outcome=Outcome.COMPLETED)
        )
    }
    rows, entries = [], []
    for each in roster(scope.gate, scope.session, at, below=scope.basis.size):
        entry = scope.basis.snapshot.entry(each.paper.entry) if each.paper else enrolled.get(each.person)
        if entry is not None:
            entries.append(entry)
        rows.append(_row(each, entry.index if entry else None))
    return Found(rows=rows, entries=entries, more={"of": instant(at)})


def _row(each: RosterEntry, entry: int | None) -> dict[str, Any]:
    return {
        "entry": entry,
        "person": each.person,
        "roles": list(each.roles),
        "nationality": each.nationality,
        "entity_country": each.entity_country,
        "organisation": each.recipient,
        "since": instant(each.since),
        "until": None if each.until is None else instant(each.until),
        "suspended": each.suspended,
        "reason": each.reason,
        "signed_by": each.paper.signer if each.paper else None,
    }
