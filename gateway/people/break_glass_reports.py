"""Reports of break-glass, made by themselves: when it opens, at each use, at its end, when its review is overdue.

A report is a file in ``<home>/break-glass`` that an auditor collects, and an entry that holds its digest. It holds
ids and times, no words and nothing of what was seen. Its content follows from the ledger alone: one that a crash
kept from being registered is made again.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final

import rfc8785

from audit.events import EventType
from gateway.flow.acts import intended
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.people.break_glass import (
    BreakGlass,
    State,
    break_glass_of,
    every_break_glass,
    is_overdue,
    review_due,
)
from gateway.people.registry import GATE_ACTOR
from gateway.vault.durable import pending_file, sync_directory

FOLDER: Final = "break-glass"


class Kind(StrEnum):
    """What is reported."""

    START = "start"
    USE = "use"
    END = "end"
    OVERDUE = "overdue"


TEXTS: Final = {
    Kind.START: ("紧急访问已由另一人批准并生效", "Break-glass was approved by a second person and is open"),
    Kind.USE: ("紧急访问已被使用一次", "Break-glass was used once"),
    Kind.END: (
        "紧急访问已结束，须由第三人复核",
        "Break-glass is over and has to be reviewed by a third person",
    ),
    Kind.OVERDUE: ("紧急访问逾期未复核", "Break-glass was not reviewed in time"),
}
"""Chinese and English."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report: what it is about, the entry that it rests on, and the moment that it tells of."""

    access: BreakGlass
    kind: Kind
    entry: int
    at: datetime

    @property
    def key(self) -> str:
        """How the ledger tells it from others of the same break-glass."""
        return f"{self.kind.value}:{self.entry}"

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{self.access.id}-{self.entry}-{self.kind.value}.json"


def due_reports(gate: Gate, access: BreakGlass) -> list[Report]:
    """Reports of a break-glass that the ledger does not have yet, in the order of what they tell."""
    if access.approval is None:
        return []
    state = access.state(gate.clock())
    entry = access.approval
    wanted = [Report(access=access, kind=Kind.START, entry=entry, at=gate.ledger.entry(entry).time)]
    wanted += [Report(access=access, kind=Kind.USE, entry=use.entry, at=use.at) for use in access.uses]
    if state in {State.OVER, State.REVIEWED}:
        ended = entry if access.end is None else access.end
        wanted.append(Report(access=access, kind=Kind.END, entry=ended, at=access.over_at))
    if is_overdue(gate, access):
        wanted.append(Report(access=access, kind=Kind.OVERDUE, entry=entry, at=review_due(gate, access)))
    return [report for report in wanted if report.key not in access.reported]


def report_break_glass(gate: Gate, access: str) -> int:
    """Make every report of one break-glass that is due; how many were made.

    Raises:
        StorageError: The disk refused; the job tries again.
        LedgerUnavailableError: No ledger, no report.
    """
    found = break_glass_of(gate, access)
    return 0 if found is None else _made(gate, found)


def report_every_break_glass(gate: Gate) -> dict[str, int]:
    """Make every report that is due; with how many break-glasses are open or not reviewed in time."""
    now, known = gate.clock(), every_break_glass(gate)
    return {
        "reports": sum(_made(gate, each) for each in known),
        "open": sum(each.state(now) is State.OPEN for each in known),
        "overdue": sum(is_overdue(gate, each) for each in known),
    }


def _made(gate: Gate, access: BreakGlass) -> int:
    due = due_reports(gate, access)
    for report in due:
        _make(gate, report)
    return len(due)


def _make(gate: Gate, report: Report) -> None:
    content = rfc8785.dumps(document_of(gate, report)) + b"\n"
    folder = gate.settings.home / FOLDER
    event = intended(
        EventType.BREAK_GLASS_ACCESS_REPORT,
        actor=GATE_ACTOR.id,
        object_id=report.access.id,
        digests={"report": sha256(content).hexdigest()},
        facts={"kind": report.kind.value, "entry": report.entry},
    )
    with gate.ledger.intent(event) as intent:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with pending_file(folder / report.name) as pending:
            pending.write(content)
            pending.sync()
            pending.replace()
        sync_directory(folder)
        intent.complete(digests=event.digests, facts=event.facts)


def document_of(gate: Gate, report: Report) -> dict[str, Any]:
    """What a report says."""
    access, (zh, en) = report.access, TEXTS[report.kind]
    used = [use for use in access.uses if use.entry == report.entry]
    return {
        "version": 1,
        "gate": gate.settings.origin,
        "kind": report.kind.value,
        "text": {"zh": zh, "en": en},
        "at": instant(report.at),
        "entry": report.entry,
        "break_glass": access.facts(),
        "request": access.request,
        "item": used[0].item if used else None,
        "uses_so_far": sum(use.entry <= report.entry for use in access.uses)
        if report.kind is Kind.USE
        else len(access.uses),
        "review_due": instant(review_due(gate, access)),
    }
