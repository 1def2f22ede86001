"""Where a break-glass stands (rule 30): who asked for which act on which objects, who permitted it, until when.

There is no row to change: all that is known of a break-glass is in the ledger, its words sealed beside the
entries. It ends by itself, since every use is judged by the time that it is at.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from audit.events import EventType, Outcome
from audit.leaf import Entry
from audit.query import EntryFilter, find_all
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.law import break_glass_review_days

READ_ORIGINAL: Final = "original.read"
OBJECT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_TYPES: Final = (
    EventType.BREAK_GLASS_ACCESS_REQUEST,
    EventType.BREAK_GLASS_ACCESS_APPROVE,
    EventType.BREAK_GLASS_ACCESS_END,
    EventType.BREAK_GLASS_ACCESS_REVIEW,
    EventType.BREAK_GLASS_ORIGINAL_READ,
    EventType.BREAK_GLASS_ACCESS_REPORT,
)


class State(StrEnum):
    """Where a break-glass stands.

    ``requested`` nobody approved yet · ``open`` it may be used · ``lapsed`` its time ran out, or it was ended,
    before anybody approved · ``over`` it was approved and is to be reviewed · ``reviewed``.
    """

    REQUESTED = "requested"
    OPEN = "open"
    LAPSED = "lapsed"
    OVER = "over"
    REVIEWED = "reviewed"


class ReviewOutcome(StrEnum):
    """What a third person found."""

    JUSTIFIED = "justified"
    UNJUSTIFIED = "unjustified"
    MISUSED = "misused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """One read under a break-glass: entry, item and time; ``outcome`` as the ledger has it."""

    entry: int
    item: str
    at: datetime
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakGlass:
    """A break-glass as the ledger tells it.

    Attributes:
        id: Its id.
        act: The one kind of act that it is for.
        objects: The objects that it names.
        requested_by: Who asked, and would act.
        not_before: When they asked; its time runs from then.
        not_after: Its end, excluded.
        request: Entry of the request.
        approved_by: Who permitted it.
        approval: Entry of that.
        ended_by: Who ended it early.
        end: Entry of that.
        ended_at: When.
        reviewed_by: Who looked at it afterwards.
        outcome: What they found.
        uses: Every read.
        reported: Kind and entry of everything that was reported, as ``kind:entry``.
    """

    id: str
    act: str
    objects: tuple[str, ...]
    requested_by: str
    not_before: datetime
    not_after: datetime
    request: int
    approved_by: str | None = None
    approval: int | None = None
    ended_by: str | None = None
    end: int | None = None
    ended_at: datetime | None = None
    reviewed_by: str | None = None
    outcome: str | None = None
    uses: tuple[Use, ...] = ()
    reported: frozenset[str] = frozenset()

    @property
    def over_at(self) -> datetime:
        """When it ends or ended."""
        return self.not_after if self.ended_at is None else min(self.ended_at, self.not_after)

    def state(self, now: datetime) -> State:
        """Where it stands at a time."""
        if self.reviewed_by is not None:
            return State.REVIEWED
        if now < self.over_at:
            return State.OPEN if self.approved_by else State.REQUESTED
        return State.OVER if self.approved_by else State.LAPSED

    def facts(self) -> dict[str, Any]:
        """As policy is told of it."""
        return {
            "id": self.id,
            "act": self.act,
            "objects": list(self.objects),
            "requested_by": self.requested_by,
            "approved_by": self.approved_by,
            "not_before": instant(self.not_before),
            "not_after": instant(self.not_after),
            "ended": self.ended_at is not None,
        }


def _told(found: BreakGlass | None, entry: Entry) -> BreakGlass | None:
    """A break-glass after one more entry about it."""
    event = entry.event
    if event.outcome is Outcome.INTENT:
        return found
    if event.type is EventType.BREAK_GLASS_ORIGINAL_READ and found is not None:
        use = Use(entry=entry.index, item=event.item or "", at=entry.time, outcome=event.outcome)
        return replace(found, uses=(*found.uses, use))
    if event.outcome is not Outcome.COMPLETED:
        return found
    if event.type is EventType.BREAK_GLASS_ACCESS_REQUEST:
        return _asked(entry)
    return None if found is None else replace(found, **_changed(found, entry))


def _asked(entry: Entry) -> BreakGlass:
    event, facts = entry.event, entry.event.facts
    return BreakGlass(
        id=event.object,
        act=str(facts["act"]),
        objects=tuple(str(facts[f"object_{n}"]) for n in range(1, int(facts["objects"]) + 1)),
        requested_by=event.actor,
        not_before=datetime.fromisoformat(str(facts["not_before"])),
        not_after=datetime.fromisoformat(str(facts["not_after"])),
        request=entry.index,
    )


def _changed(found: BreakGlass, entry: Entry) -> dict[str, Any]:
    """What a completed entry changes; the first approval, end and review count."""
    event = entry.event
    match event.type:
        case EventType.BREAK_GLASS_ACCESS_APPROVE if found.approved_by is None:
            return {"approved_by": event.actor, "approval": entry.index}
        case EventType.BREAK_GLASS_ACCESS_END if found.ended_at is None:
            return {"ended_by": event.actor, "end": entry.index, "ended_at": entry.time}
        case EventType.BREAK_GLASS_ACCESS_REVIEW if found.reviewed_by is None:
            return {"reviewed_by": event.actor, "outcome": str(event.facts["verdict"])}
        case EventType.BREAK_GLASS_ACCESS_REPORT:
            return {"reported": found.reported | {f"{event.facts['kind']}:{event.facts['entry']}"}}
        case _:
            return {}


def least_request(gate: Gate, person: str) -> BreakGlass:
    """The least that can be asked for, one object for a minute: as what a malformed request is judged."""
    now = gate.clock()
    return BreakGlass(
        id="none",
        act=READ_ORIGINAL,
        objects=("none",),
        requested_by=person,
        not_before=now,
        not_after=now + timedelta(minutes=1),
        request=0,
    )


def break_glass_of(gate: Gate, access: str) -> BreakGlass | None:
    """A break-glass as it stands in the ledger; None where nobody asked for it."""
    if not OBJECT.fullmatch(access):
        return None
    found: BreakGlass | None = None
    with gate.ledger.snapshot() as snapshot:
        for entry in find_all(snapshot, EntryFilter(object=access, types=_TYPES)):
            found = _told(found, entry)
    return found


def every_break_glass(gate: Gate) -> tuple[BreakGlass, ...]:
    """Every break-glass that anybody ever asked for, the oldest first."""
    found: dict[str, BreakGlass] = {}
    with gate.ledger.snapshot() as snapshot:
        for entry in find_all(snapshot, EntryFilter(types=_TYPES)):
            told = _told(found.get(entry.event.object), entry)
            if told is not None:
                found[entry.event.object] = told
    return tuple(found.values())


def alarms(gate: Gate) -> list[str]:
    """What of break-glass somebody should know of now: ``break_glass_open``, ``break_glass_review_overdue``."""
    now, known = gate.clock(), every_break_glass(gate)
    found = ["break_glass_open"] if any(each.state(now) is State.OPEN for each in known) else []
    return [
        *found,
        *(["break_glass_review_overdue"] if any(is_overdue(gate, each) for each in known) else []),
    ]


def review_due(gate: Gate, access: BreakGlass) -> datetime:
    """Until when a break-glass has to be reviewed."""
    return access.over_at + timedelta(days=break_glass_review_days(gate))


def is_overdue(gate: Gate, access: BreakGlass) -> bool:
    """Whether nobody reviewed a break-glass in time."""
    now = gate.clock()
    return access.state(now) is State.OVER and review_due(gate, access) <= now


def summary_of(gate: Gate, access: BreakGlass) -> dict[str, Any]:
    """A break-glass in pseudonymous ids; no words."""
    now = gate.clock()
    return {
        "break_glass": access.id,
        "state": access.state(now).value,
        "act": access.act,
        "objects": list(access.objects),
        "requested_by": access.requested_by,
        "approved_by": access.approved_by,
        "not_before": instant(access.not_before),
        "not_after": instant(access.not_after),
        "ended_by": access.ended_by,
        "uses": [
            {"entry": use.entry, "item": use.item, "at": instant(use.at), "outcome": use.outcome.value}
            for use in access.uses
        ],
        "review_due": instant(review_due(gate, access)) if access.approved_by else None,
        "review_overdue": is_overdue(gate, access),
        "reviewed_by": access.reviewed_by,
        "outcome": access.outcome,
    }
