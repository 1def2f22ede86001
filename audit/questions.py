"""The questions that regulators and auditors keep asking, answered from the ledger alone (COMPLIANCE.md §4).

Each answer rests on entries that verify, so whoever holds an export can recompute it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from audit.events import EventType, Outcome
from audit.leaf import Entry, format_time
from audit.orphans import ORPHAN_AFTER, find_orphans
from audit.query import EntryFilter, find_all
from audit.snapshot import Snapshot


class Question(StrEnum):
    """What may be asked."""

    RAW = "raw"
    RECIPIENTS = "recipients"
    DENIALS = "denials"
    DELETIONS = "deletions"
    RETENTION = "retention"
    ORPHANS = "orphans"
    BREAK_GLASS = "break-glass"
    USES = "uses"


TITLES = {
    Question.RAW: ("谁接触过原始数据", "Who touched raw data"),
    Question.RECIPIENTS: (
        "各接收方获得的发布、累计面积与个人信息主体数",
        "Releases, area and subjects by recipient",
    ),
    Question.DENIALS: ("拒绝记录", "What was refused, by rule and by person"),
    Question.DELETIONS: ("删除与密钥销毁", "What was deleted, and which keys were destroyed"),
    Question.RETENTION: ("逾期未删除的原始数据", "Raw originals that outlived their term"),
    Question.BREAK_GLASS: ("紧急访问及其复核", "Break-glass, what it was used for, and its review"),
    Question.USES: ("发布数据的使用与查询", "What released data was used and searched for, by whom"),
    Question.ORPHANS: ("没有结果的意图", "Acts that were begun and have no outcome after a day"),
}
"""Chinese and English."""

_RAW = (
    EventType.INTAKE_ITEM_RECEIVE,
    EventType.CLASSIFY_ITEM_CLASSIFY,
    EventType.CLEANSE_ITEM_CLEANSE,
    EventType.REVIEW_RECORDING_READ,
    EventType.REVIEW_SHEET_READ,
    EventType.BREAK_GLASS_ORIGINAL_READ,
)
_BREAK_GLASS = (
    EventType.BREAK_GLASS_ACCESS_REQUEST,
    EventType.BREAK_GLASS_ACCESS_APPROVE,
    EventType.BREAK_GLASS_ACCESS_END,
    EventType.BREAK_GLASS_ACCESS_REVIEW,
    EventType.BREAK_GLASS_ACCESS_REPORT,
    EventType.BREAK_GLASS_ORIGINAL_READ,
)
_DELETIONS = (
    EventType.ERASE_RECORDING_ERASE,
    EventType.ERASE_RAW_EXPIRE,
    EventType.VAULT_KEY_DESTROY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Rows of one shape, and what in them should be looked at.

    Attributes:
        question: What was asked.
        rows: One mapping per row, JSON values only; the same members in each.
        findings: Sentences that name what is wrong; empty where nothing is.
        size: Entries in the tree that was searched.
    """

    question: Question
    rows: tuple[dict[str, Any], ...]
    findings: tuple[str, ...]
    size: int


def ask(
    snapshot: Snapshot,
    question: Question,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    now: datetime,
    raw_term: timedelta,
    review_term: timedelta,
) -> Answer:
    """Answer a question.

    Args:
        snapshot: View to search.
        question: What is asked.
        since: Entries not before this moment (aware).
        until: Entries before this moment (aware).
        now: The present, for terms.
        raw_term: How long raw originals may be kept (rule 21).
        review_term: Within which a break-glass is to be reviewed after its end (rule 30).

    Raises:
        VerificationError: A stored leaf does not verify.
    """
    span = _Span(snapshot, since, until)
    answer: Callable[[_Span], tuple[list[dict[str, Any]], list[str]]] = {
        Question.RAW: _raw,
        Question.RECIPIENTS: _recipients,
        Question.DENIALS: _denials,
        Question.DELETIONS: _deletions,
        Question.RETENTION: lambda found: _retention(found, now, raw_term),
        Question.ORPHANS: lambda found: _orphans(found, now),
        Question.BREAK_GLASS: lambda found: _break_glass(found, now, review_term),
        Question.USES: _uses,
    }[question]
    rows, findings = answer(span)
    return Answer(question=question, rows=tuple(rows), findings=tuple(findings), size=snapshot.size)


@dataclass(frozen=True, slots=True)
class _Span:
    snapshot: Snapshot
    since: datetime | None
    until: datetime | None

    def entries(self, *types: EventType, outcome: Outcome | None = None) -> Iterator[Entry]:
        wanted = EntryFilter(types=types, outcome=outcome, since=self.since, until=self.until)
        yield from find_all(self.snapshot, wanted)


def _raw(span: _Span) -> tuple[list[dict[str, Any]], list[str]]:
    """By actor: what was done how often, to how many recordings, from when to when."""
    acts: dict[str, Counter[str]] = {}
    recordings: dict[str, set[str]] = {}
    times: dict[str, tuple[str, str]] = {}
    for entry in span.entries(*_RAW):
        if entry.event.outcome is Outcome.INTENT:
            continue
        actor, time = entry.event.actor, format_time(entry.time)
        acts.setdefault(actor, Counter())[f"{entry.event.type.value} {entry.event.outcome.value}"] += 1
        times[actor] = (times.get(actor, (time, ""))[0], time)
        if entry.event.recording:
            recordings.setdefault(actor, set()).add(entry.event.recording)
    rows = [
        {
            "actor": actor,
            "acts": dict(sorted(counted.items())),
            "recordings": len(recordings.get(actor, ())),
            "first": times[actor][0],
            "last": times[actor][1],
        }
        for actor, counted in sorted(acts.items())
    ]
    return rows, []


def _recipients(span: _Span) -> tuple[list[dict[str, Any]], list[str]]:
    """By recipient: releases that went out, and what it held after the last: square metres and subjects."""
    rows: dict[str, dict[str, Any]] = {}
    for entry in span.entries(EventType.RELEASE_RELEASE_PUBLISH, outcome=Outcome.COMPLETED):
        event = entry.event
        if event.recipient is None:
            continue
        row = rows.setdefault(
            event.recipient,
            {"recipient": event.recipient, "releases": [], "area_m2": None, "subjects": None, "last": ""},
        )
        if event.object not in row["releases"]:
            row["releases"].append(event.object)
        row["area_m2"] = event.facts.get("recipient_area_m2", row["area_m2"])
        row["subjects"] = event.facts.get("recipient_subjects", row["subjects"])
        row["last"] = format_time(entry.time)
    findings = [
        f"{name}: the entries of its releases state no area (expected recipient_area_m2)"
        for name, row in sorted(rows.items())
        if row["area_m2"] is None
    ]
    return [rows[name] for name in sorted(rows)], findings


def _denials(span: _Span) -> tuple[list[dict[str, Any]], list[str]]:
    """By type, rule or reason, and actor: how often something was refused, and when last."""
    counts: Counter[tuple[str, str, str]] = Counter()
    last: dict[tuple[str, str, str], str] = {}
    for entry in span.entries(outcome=Outcome.REFUSED):
        event = entry.event
        why = event.rule or str(event.facts.get("reason", ""))
        key = (event.type.value, why, event.actor)
        counts[key] += 1
        last[key] = format_time(entry.time)
    rows = [
        {
            "type": kind,
            "why": why,
            "actor": actor,
            "count": counts[kind, why, actor],
            "last": last[kind, why, actor],
        }
        for kind, why, actor in sorted(counts)
    ]
    return rows, []


def _deletions(span: _Span) -> tuple[list[dict[str, Any]], list[str]]:
    """Every deletion that was completed, and as a finding each that was begun and not completed."""
    rows, begun = [], {}
    for entry in span.entries(*_DELETIONS):
        event = entry.event
        if event.outcome is Outcome.INTENT:
            begun[entry.index] = entry
            continue
        if event.intent is not None:
            begun.pop(event.intent, None)
        rows.append(
            {
                "index": entry.index,
                "time": format_time(entry.time),
                "type": event.type.value,
                "outcome": event.outcome.value,
                "actor": event.actor,
                "object": event.object,
                "key_fingerprint": event.digests.get("fingerprint"),
                "originals": event.facts.get("originals"),
            }
        )
    findings = [f"entry {i}: deletion of {e.event.object} has no outcome" for i, e in sorted(begun.items())]
    return rows, findings


def _retention(span: _Span, now: datetime, term: timedelta) -> tuple[list[dict[str, Any]], list[str]]:
    """Recordings that were received longer ago than the term and whose raw originals nothing deleted."""
    received: dict[str, Entry] = {}
    for entry in span.entries(EventType.INTAKE_RECORDING_RECEIVE, outcome=Outcome.COMPLETED):
        received.setdefault(entry.event.object, entry)
    for entry in span.entries(*_DELETIONS, outcome=Outcome.COMPLETED):
        received.pop(entry.event.object, None)
    due = {name: entry for name, entry in received.items() if entry.time < now - term}
    rows = [
        {
            "recording": name,
            "received": format_time(entry.time),
            "due": format_time(entry.time + term),
            "days_over": (now - term - entry.time).days,
        }
        for name, entry in sorted(due.items())
    ]
    return rows, [f"{row['recording']}: raw originals were due for deletion at {row['due']}" for row in rows]


def _orphans(span: _Span, now: datetime) -> tuple[list[dict[str, Any]], list[str]]:
    """Every intent of the span that is older than a day and that nothing settled, later entries included."""
    before = now - ORPHAN_AFTER if span.until is None else min(span.until, now - ORPHAN_AFTER)
    rows = [
        {
            "index": entry.index,
            "time": format_time(entry.time),
            "type": entry.event.type.value,
            "actor": entry.event.actor,
            "object": entry.event.object,
            "age_h": int((now - entry.time).total_seconds()) // 3600,
        }
        for entry in find_orphans(span.snapshot, before=before, since=span.since)
    ]
    findings = [
        f"entry {row['index']}: {row['type']} by {row['actor']} on {row['object']} has no outcome"
        for row in rows
    ]
    return rows, findings


def _break_glass(span: _Span, now: datetime, term: timedelta) -> tuple[list[dict[str, Any]], list[str]]:
    """Every break-glass with who asked, approved, used and reviewed it; findings: whatever nobody reviewed.

    One that was approved and is over is a finding until it is reviewed, and says so where that is overdue. What
    was found misused or unjustified, approved by who asked, or used without a report stays a finding.
    """
    rows: dict[str, dict[str, Any]] = {}
    for entry in span.entries(*_BREAK_GLASS):
        event = entry.event
        if event.outcome is Outcome.INTENT:
            continue
        if event.type is EventType.BREAK_GLASS_ACCESS_REQUEST and event.outcome is Outcome.COMPLETED:
            rows[event.object] = {
                "break_glass": event.object,
                "act": event.facts["act"],
                "objects": event.facts["objects"],
                "requested_by": event.actor,
                "approved_by": None,
                "not_before": event.facts["not_before"],
                "not_after": event.facts["not_after"],
                "ended": None,
                "uses": 0,
                "last_use": None,
                "reported_uses": 0,
                "reviewed_by": None,
                "outcome": None,
            }
        elif event.object in rows:
            _tell(rows[event.object], entry)
    findings = [finding for row in rows.values() for finding in _unsettled(row, now, term)]
    return list(rows.values()), findings


def _uses(span: _Span) -> tuple[list[dict[str, Any]], list[str]]:
    """Every use: who, for what purpose, of which releases, its kind, the query's digest, and what became of it."""
    rows: dict[str, dict[str, Any]] = {}
    for entry in span.entries(EventType.USE_RELEASE_REPORT):
        event = entry.event
        row = rows.setdefault(
            event.object,
            {
                "use": event.object,
                "time": format_time(entry.time),
                "actor": event.actor,
                "purpose": event.purpose,
                "kind": event.facts.get("kind"),
                "query": event.digests.get("query"),
                "releases": [],
                "outcome": event.outcome.value,
            },
        )
        if event.release not in row["releases"]:
            row["releases"].append(event.release)
        if event.outcome is not Outcome.INTENT and row["outcome"] in {Outcome.INTENT, Outcome.COMPLETED}:
            row["outcome"] = event.outcome.value
    return list(rows.values()), []


def _tell(row: dict[str, Any], entry: Entry) -> None:
    event, time = entry.event, format_time(entry.time)
    if event.type is EventType.BREAK_GLASS_ORIGINAL_READ:
        row["uses"] += 1
        row["last_use"] = time
    elif event.outcome is not Outcome.COMPLETED:
        return
    elif event.type is EventType.BREAK_GLASS_ACCESS_APPROVE:
        row["approved_by"] = row["approved_by"] or event.actor
    elif event.type is EventType.BREAK_GLASS_ACCESS_END:
        row["ended"] = row["ended"] or time
    elif event.type is EventType.BREAK_GLASS_ACCESS_REVIEW:
        row["reviewed_by"], row["outcome"] = event.actor, event.facts["verdict"]
    elif event.facts["kind"] == "use":
        row["reported_uses"] += 1


def _unsettled(row: dict[str, Any], now: datetime, term: timedelta) -> Iterator[str]:
    name = row["break_glass"]
    if row["approved_by"] is None:
        if row["uses"]:
            yield f"{name}: it was used and nobody approved it"
        return
    if row["approved_by"] == row["requested_by"]:
        yield f"{name}: {row['requested_by']} asked for it and approved it"
    if row["reported_uses"] < row["uses"]:
        yield f"{name}: {row['uses']} uses, of which {row['reported_uses']} were reported"
    if row["outcome"] not in {None, "justified"}:
        yield f"{name}: {row['reviewed_by']} found it {row['outcome']}"
    over = min(datetime.fromisoformat(each) for each in (row["not_after"], row["ended"]) if each)
    if row["reviewed_by"] is None and over <= now:
        late = f", overdue since {format_time(over + term)}" if over + term <= now else ""
        yield f"{name}: over since {format_time(over)} and not reviewed{late}"
