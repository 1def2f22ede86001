"""Intents without an outcome: what was begun, and of which nobody knows whether it was done."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import exists, select

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
