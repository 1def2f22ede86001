"""Intents without an outcome: what was begun, and of which nobody knows whether it was done."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import exists, or_, select

from audit.events import Outcome
from audit.leaf import Entry
from audit.query import first_at
from audit.snapshot import Snapshot
from audit.tables import entries

ORPHAN_AFTER = timedelta(days=1)
"""No act takes as long: an intent that is older and open was cut off, and is a finding."""


def find_orphans(snapshot: Snapshot, *, before: datetime, since: datetime | None = None) -> Iterator[Entry]:
    """Yield intents that nothing has settled, oldest first.

    Args:
        snapshot: View to search.
        before: Only intents before this moment (aware).
        since: Only intents not before this moment (aware).

    Raises:
        VerificationError: A stored leaf does not verify.
    """
    settling = entries.alias()
    query = select(entries.c.entry_index).where(
        entries.c.outcome == Outcome.INTENT.value,
        entries.c.entry_index >= (0 if since is None else first_at(snapshot, since)),
        entries.c.entry_index < first_at(snapshot, before),
        ~exists().where(settling.c.intent == entries.c.entry_index),
    )
    for index in snapshot.connection.execute(query.order_by(entries.c.entry_index)).scalars().all():
        yield snapshot.entry(index)


class OpenIntents:
    """Intents that nothing has settled, kept between searches: each looks at what was appended since only.

    The first search looks at everything, and so does one that finds the ledger smaller than it was. Nothing is
    stored: what a process knows dies with it, and the next one looks at everything again. Safe for threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: set[int] = set()
        self._seen = 0

    def orphans(self, snapshot: Snapshot, *, before: datetime) -> list[Entry]:
        """What :func:`find_orphans` yields for the same snapshot and moment.

        Raises:
            VerificationError: A stored leaf does not verify.
        """
        with self._lock:
            self._look(snapshot)
            waiting = sorted(self._open)
        limit = first_at(snapshot, before) if waiting else 0
        return [snapshot.entry(index) for index in waiting if index < limit]

    def _look(self, snapshot: Snapshot) -> None:
        size = snapshot.size
        if size < self._seen:
            self._open, self._seen = set(), 0
        if self._seen == 0:
            self._open = set(_open_indexes(snapshot))
        else:
            query = select(entries.c.entry_index, entries.c.outcome, entries.c.intent).where(
                entries.c.entry_index >= self._seen,
                entries.c.entry_index < size,
                or_(entries.c.outcome == Outcome.INTENT.value, entries.c.intent.is_not(None)),
            )
            for row in snapshot.connection.execute(query.order_by(entries.c.entry_index)):
                if row.outcome == Outcome.INTENT.value:
                    self._open.add(row.entry_index)
                else:
                    self._open.discard(row.intent)
        self._seen = size


def _open_indexes(snapshot: Snapshot) -> list[int]:
    settling = entries.alias()
    query = select(entries.c.entry_index).where(
        entries.c.outcome == Outcome.INTENT.value,
        ~exists().where(settling.c.intent == entries.c.entry_index),
    )
    return list(snapshot.connection.execute(query).scalars())
