"""Who received what of a release: grants and reads, as the ledger attests them."""

from typing import Any

from audit.events import EventType, Outcome
from audit.leaf import Entry, format_time
from audit.query import EntryFilter, find_all
from gateway.flow.gate import Gate

_READS = (EventType.SERVE_MANIFEST_READ, EventType.SERVE_ITEM_READ)


def received_of(gate: Gate, release: str) -> list[dict[str, Any]]:
    """By principal: recipient, grants, and each item with its completed and broken-off reads.

    A read that broke off handed over some bytes; the ledger does not say how many.
    """
    found: dict[str, dict[str, Any]] = {}
    with gate.ledger.snapshot() as snapshot:
        granted = EntryFilter(
            release=release, types=(EventType.GRANT_GRANT_ISSUE,), outcome=Outcome.COMPLETED
        )
        for entry in find_all(snapshot, granted):
            _principal(found, str(entry.event.facts["principal"]), entry)["grants"].append(
                {
                    "grant": entry.event.object,
                    "issued_by": entry.event.actor,
                    "at": format_time(entry.time),
                    "not_after": entry.event.facts["not_after"],
                }
            )
        for outcome in (Outcome.COMPLETED, Outcome.FAILED):
            for entry in find_all(snapshot, EntryFilter(release=release, types=_READS, outcome=outcome)):
                _read(found, entry)
    for row in found.values():
        row["items"] = [row["items"][name] for name in sorted(row["items"])]
        row["grants"].sort(key=lambda each: each["at"])
    return [found[principal] for principal in sorted(found)]


def _principal(found: dict[str, dict[str, Any]], principal: str, entry: Entry) -> dict[str, Any]:
    row = found.setdefault(
        principal,
        {
            "principal": principal,
            "recipient": None,
            "grants": [],
            "manifest_reads": 0,
            "items": {},
            "bytes": 0,
        },
    )
    row["recipient"] = row["recipient"] or entry.event.recipient
    return row


def _read(found: dict[str, dict[str, Any]], entry: Entry) -> None:
    event, time = entry.event, format_time(entry.time)
    row = _principal(found, event.actor, entry)
    whole = event.outcome is Outcome.COMPLETED
    handed = int(event.facts.get("bytes", 0))
    if event.type is EventType.SERVE_MANIFEST_READ:
        row["manifest_reads"] += whole
        return
    item = row["items"].setdefault(
        event.object,
        {"name": event.object, "reads": 0, "broken_off": 0, "bytes": 0, "first": time, "last": time},
    )
    item["reads"] += whole
    item["broken_off"] += not whole
    item["bytes"] += handed
    item["first"], item["last"] = min(item["first"], time), max(item["last"], time)
    row["bytes"] += handed
