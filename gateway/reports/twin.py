"""What every report is before it is a document: one JSON value at a checkpoint, with proofs of its entries."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any, Final

from audit.leaf import Entry
from audit.query import EntryFilter
from audit.snapshot import Snapshot
from gateway.database import ReadSession
from gateway.dossier.proofs import Basis, basis_of, checkpoint_of
from gateway.flow.gate import Gate
from gateway.vault.jws import public_jwk

FORMAT: Final = "fleetgate-report"
VERSION: Final = 1
CHINA: Final = timezone(timedelta(hours=8))
"""The year of a report is that of China: it has had no other time since 1991."""


class Kind(StrEnum):
    """Which report."""

    ANNUAL = "annual"
    PROVISIONS = "provisions"
    COUNTS = "counts"
    DELETIONS = "deletions"
    EXPORTS = "exports"
    ROSTER = "roster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What a report is made from.

    Attributes:
        gate: The gate.
        session: State, for what is held against evidence or signatures.
        basis: The ledger up to the checkpoint.
        since: Entries not before this moment; None from the first.
        until: Entries before this moment; None up to the checkpoint.
    """

    gate: Gate
    session: ReadSession
    basis: Basis
    since: datetime | None
    until: datetime | None

    def entries(self, **criteria: Any) -> list[Entry]:
        """Entries of the period within the checkpoint's tree; criteria are those of ``EntryFilter``."""
        return self.basis.entries(EntryFilter(since=self.since, until=self.until, **criteria))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a report found: its rows, more values beside them, and the entries that it rests on."""

    rows: Sequence[dict[str, Any]]
    entries: Sequence[Entry]
    more: dict[str, Any]


def year_span(year: int) -> tuple[datetime, datetime]:
    """The first moment of a year and that of the next, in China.

    Raises:
        ValueError: There is no such year.
    """
    return (
        datetime(year, 1, 1, tzinfo=CHINA).astimezone(UTC),
        datetime(year + 1, 1, 1, tzinfo=CHINA).astimezone(UTC),
    )


def make_twin(
    kind: Kind,
    scope: Scope,
    finding: Callable[[Scope], Found],
) -> dict[str, Any]:
    """A report as JSON: made again at the same checkpoint it is the same.

    Raises:
        EvidenceError: What it rests on does not verify.
    """
    found = finding(scope)
    period = {
        "since": None if scope.since is None else scope.since.isoformat(),
        "until": None if scope.until is None else scope.until.isoformat(),
    }
    return {
        "format": FORMAT,
        "version": VERSION,
        "report": kind.value,
        "checkpoint": checkpoint_of(scope.gate, scope.basis),
        "release_key": dict(public_jwk(scope.gate.keystore.statement_key("release"))),
        "period": period,
        "rows": list(found.rows),
        **found.more,
        "ledger": scope.basis.proved({e.index: e for e in found.entries}.values()),
    }


def scope_of(
    gate: Gate,
    session: ReadSession,
    snapshot: Snapshot,
    note: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Scope:
    """The scope of a report at a checkpoint.

    Raises:
        SignatureError: The note is no checkpoint of this ledger.
    """
    basis = basis_of(gate, snapshot, note)
    return Scope(gate=gate, session=session, basis=basis, since=since, until=until)
