"""The register of provisions, and what each recipient holds (COMPLIANCE.md D1, D3, C1; kept for 3 years)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from audit.events import EventType, Outcome
from audit.leaf import Entry, format_time
from audit.query import EntryFilter
from gateway.dossier.proofs import Basis, deliveries_of_release
from gateway.flow import evidence
from gateway.flow.law import parameter
from gateway.flow.recording import Level, Released, Stage
from gateway.flow.release import load_released
from gateway.people.records import PurposeRow, RecipientRow
from gateway.reports.twin import Found, Scope
from gateway.vault.errors import KeyDestroyedError


def provisions(scope: Scope) -> Found:
    """Every provision: to whom, under which contract, for what, how much, of what kind, over which ground, when.

    Rows stand on the publication's entry, the signed manifest and the sealed evidence of the build. Where a
    release's key was destroyed after its term (rule 29), what only its evidence knew is None.
    """
    published = _published(scope)
    rows = [_provision(scope, entry) for entry in published]
    years = parameter(scope.gate, "retention", "provision_record_years", _day(scope.basis))
    return Found(rows=rows, entries=published, more={"kept": years})


def counts(scope: Scope) -> Found:
    """By recipient: releases, ground, subjects and items of important data, against the thresholds of the law."""
    published = _published(scope)
    found: dict[str, dict[str, Any]] = {}
    for entry in published:
        event = entry.event
        recipient = str(event.recipient)
        row = found.setdefault(
            recipient,
            {
                "recipient": recipient,
                "releases": 0,
                "area_m2": None,
                "subjects": None,
                "items": 0,
                "important_items": 0,
                "entry": entry.index,
            },
        )
        manifest = _released(scope, event.object).manifest
        row["releases"] += 1
        row["items"] += len(manifest["items"])
        row["important_items"] += sum(
            Level[item["level"]] >= Level.S3_IMPORTANT for item in manifest["items"]
        )
        # The entry states what the recipient holds once the release is out: the newest says it all.
        row["area_m2"] = event.facts.get("recipient_area_m2", row["area_m2"])
        row["subjects"] = event.facts.get("recipient_subjects", row["subjects"])
        row["entry"] = entry.index
    day = _day(scope.basis)
    important = parameter(scope.gate, "subjects", "important_data_subjects", day)
    large = parameter(scope.gate, "subjects", "large_handler_subjects", day)
    secret = parameter(scope.gate, "surveying", "secret_area_km2", day)
    rows = []
    for recipient in sorted(found):
        row = found[recipient]
        over = row["subjects"] is not None and row["subjects"] >= important["value"]
        rows.append({**row, "important_data": over})
    total = sum(int(row["subjects"] or 0) for row in rows)
    return Found(
        rows=rows,
        entries=published,
        more={
            "thresholds": {
                "important_data_subjects": important,
                "large_handler_subjects": large,
                "secret_area_km2": secret,
            },
            "total_subjects": total,
            "large_handler": total >= large["value"],
        },
    )


def _day(basis: Basis) -> Any:
    return datetime.fromisoformat(basis.as_of()).date()


def _published(scope: Scope) -> list[Entry]:
    found = scope.entries(types=(EventType.RELEASE_RELEASE_PUBLISH,), outcome=Outcome.COMPLETED)
    # Publishing again changes nothing: the first entry of a release is its provision.
    first: dict[str, Entry] = {}
    for entry in found:
        first.setdefault(entry.event.object, entry)
    return list(first.values())


def _released(scope: Scope, release: str) -> Released:
    return load_released(scope.gate, scope.session, release)


def _provision(scope: Scope, entry: Entry) -> dict[str, Any]:
    event, release = entry.event, entry.event.object
    manifest = _released(scope, release).manifest
    purpose = scope.session.get(PurposeRow, str(event.purpose))
    recipient = scope.session.get(RecipientRow, str(event.recipient))
    built = _built(scope, release)
    ended = _revoked(scope.basis, release)
    delivered = deliveries_of_release(scope.basis, release)
    return {
        "entry": entry.index,
        "released_at": format_time(entry.time),
        "release": release,
        "digest": manifest["digest"],
        "recipient": event.recipient,
        "country": _country(scope.basis, str(event.recipient)),
        "contract": recipient.contract if recipient else None,
        "purpose": event.purpose,
        "assessment": purpose.assessment if purpose else None,
        "mode": manifest["mode"],
        "classes": _classes(manifest["items"]),
        "level": max((Level[item["level"]] for item in manifest["items"]), default=Level.SX_UNKNOWN).name,
        "items": len(manifest["items"]),
        "bytes": sum(int(item["size"]) for item in manifest["items"]),
        "subjects": None if built is None else int(built["subjects"]),
        "area_km2": None if built is None else float(built["area"]["km2"]),
        "published_by": event.actor,
        "approvals": len(manifest["approvals"]),
        "readers": len(delivered),
        "bytes_read": sum(int(each["bytes"]) for each in delivered),
        "expires_at": manifest["expires_at"],
        "revoked_at": ended,
    }


def _classes(items: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return dict(sorted(Counter(str(item["class"]) for item in items).items()))


def _built(scope: Scope, release: str) -> Mapping[str, Any] | None:
    try:
        return evidence.load(
            scope.gate, scope.session, owner=release, stage=Stage.BUILT, previous=evidence.GENESIS
        ).payload
    except KeyDestroyedError:
        return None


def _country(basis: Basis, recipient: str) -> str | None:
    """The country that a recipient was last registered with, as the ledger attests it."""
    wanted = EntryFilter(object=recipient, types=(EventType.PEOPLE_RECIPIENT_REGISTER,))
    told = [e.event.facts["country"] for e in basis.entries(wanted) if "country" in e.event.facts]
    return str(told[-1]) if told else None


def _revoked(basis: Basis, release: str) -> str | None:
    wanted = EntryFilter(object=release, types=(EventType.RELEASE_RELEASE_REVOKE,), outcome=Outcome.COMPLETED)
    found = basis.entries(wanted)
    return format_time(found[0].time) if found else None
