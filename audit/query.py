"""Questions to the ledger: filters over the indexed columns, keyset pages in either order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import ColumnElement, Select, Subquery, select, union_all

from audit.events import EventType, Outcome
from audit.leaf import Entry, format_time
from audit.snapshot import Snapshot, stored_entry
from audit.tables import entries

MAX_PAGE = 1000

_ID_CRITERIA = (
    "actor",
    "object",
    "recording",
    "item",
    "release",
    "grant",
    "vehicle",
    "recipient",
    "purpose",
    "rule",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilter:
    """Which entries to return; every criterion given must hold, none given means all entries.

    Args:
        actor: Who acted.
        object: What was acted on.
        recording: Recording concerned.
        item: Item concerned.
        release: Release concerned.
        grant: Grant the act rested on.
        vehicle: Vehicle concerned.
        recipient: Recipient concerned.
        purpose: Purpose of the release or grant.
        rule: Rule that decided.
        types: One of these types; empty means any.
        outcome: This outcome.
        since: Not before this moment (aware).
        until: Before this moment (aware).

    Raises:
        ValueError: if a moment has no time zone.
    """

    actor: str | None = None
    object: str | None = None
    recording: str | None = None
    item: str | None = None
    release: str | None = None
    grant: str | None = None
    vehicle: str | None = None
    recipient: str | None = None
    purpose: str | None = None
    rule: str | None = None
    types: tuple[EventType, ...] = ()
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for moment in (self.since, self.until):
            if moment is not None:
                format_time(moment)

    def criteria(self) -> dict[str, str | list[str]]:
        """Return the criteria given, as JSON values."""
        stated: dict[str, str | list[str]] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or value == ():
                continue
            if isinstance(value, datetime):
                stated[field.name] = format_time(value)
            elif isinstance(value, tuple):
                stated[field.name] = sorted(kind.value for kind in value)
            else:
                stated[field.name] = str(value)
        return stated


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of entries.

    Args:
        entries: What was found, in the order asked for.
        cursor: Pass as ``after`` to get the next page; None when this is the last.
    """

    entries: tuple[Entry, ...]
    cursor: int | None


def find_page(
    snapshot: Snapshot,
    wanted: EntryFilter,
    *,
    limit: int = 100,
    after: int | None = None,
    newest_first: bool = True,
) -> Page:
    """Return one page of the entries that match.

    Args:
        snapshot: View to search.
        wanted: Filter.
        limit: Entries per page, 1 to 1000.
        after: Cursor of the page before.
        newest_first: Order of the pages.

    Raises:
        ValueError: if ``limit`` is out of range.
        VerificationError: if a stored leaf does not verify.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise ValueError(f"page size out of range (got {limit}, expected 1 to {MAX_PAGE})")
    index = entries.c.entry_index
    order = index.desc() if newest_first else index
    first, end = _span(snapshot, wanted)
    if after is not None:
        first, end = (first, min(end, after)) if newest_first else (max(first, after + 1), end)
    # One bound on each side: SQLite seeks by the first it finds and would filter entry by entry by a second.
    conditions = [index >= first, index < end, *_conditions(wanted)]
    query = select(index, entries.c.leaf, entries.c.leaf_hash)
    if len(wanted.types) > 1:
        # An index gives each type in order; of several at once a database would sort every match for each page.
        parts = [
            select(index).where(*conditions, entries.c.type == kind).order_by(order).limit(limit + 1)
            for kind in sorted({each.value for each in wanted.types})
        ]
        matching = _union(parts)
        query = query.join(matching, matching.c.entry_index == index)
    else:
        query = query.where(*conditions, *(entries.c.type == kind.value for kind in wanted.types))
    query = query.order_by(order).limit(limit + 1)
    found = snapshot.connection.execute(query).all()
    page = tuple(
        stored_entry(row.entry_index, bytes(row.leaf), bytes(row.leaf_hash)) for row in found[:limit]
    )
    return Page(entries=page, cursor=page[-1].index if len(found) > limit else None)


def find_all(snapshot: Snapshot, wanted: EntryFilter, *, below: int | None = None) -> Iterator[Entry]:
    """Yield every match, oldest first, with an index below ``below`` where given."""
    after: int | None = None
    while True:
        page = find_page(snapshot, wanted, limit=MAX_PAGE, after=after, newest_first=False)
        for entry in page.entries:
            if below is not None and entry.index >= below:
                return
            yield entry
        if page.cursor is None:
            return
        after = page.cursor


def _union(parts: Sequence[Select[tuple[int]]]) -> Subquery:
    limited = [part.subquery() for part in parts]
    return union_all(*(select(part.c.entry_index) for part in limited)).subquery()


def _span(snapshot: Snapshot, wanted: EntryFilter) -> tuple[int, int]:
    """First index that may match, and the one after the last."""
    first = 0 if wanted.since is None else first_at(snapshot, wanted.since)
    end = snapshot.size if wanted.until is None else first_at(snapshot, wanted.until)
    return first, end


def _conditions(wanted: EntryFilter) -> list[ColumnElement[bool]]:
    """Every criterion but types and time."""
    stated = {name: getattr(wanted, name) for name in _ID_CRITERIA}
    if wanted.outcome is not None:
        stated["outcome"] = wanted.outcome.value
    return [entries.c[name] == value for name, value in stated.items() if value is not None]


def first_at(snapshot: Snapshot, moment: datetime) -> int:
    """Index of the first entry not before a moment (aware), by bisection: times never go back along the index."""
    time = format_time(moment)
    return _bisect(snapshot.size, lambda index: _time_of(snapshot, index) >= time)


def _time_of(snapshot: Snapshot, index: int) -> str:
    return format_time(snapshot.entry(index).time)


def _bisect(size: int, reached: Callable[[int], bool]) -> int:
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if reached(middle):
            high = middle
        else:
            low = middle + 1
    return low
