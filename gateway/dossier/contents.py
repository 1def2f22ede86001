"""What a dossier says: one JSON document, gathered from verified evidence and the ledger up to one checkpoint.

Nothing in it is of the moment of gathering: gathered again at the same checkpoint it is the same, and every
rendering is made from it alone.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

from anonymize.geo.attacks.report import report_lines
from audit.events import EventType, Outcome
from audit.leaf import Entry, format_time
from gateway.database import ReadSession
from gateway.dossier.decision_part import decision_part
from gateway.dossier.people_part import approvals_part, licence_part, oversight_part, parties_part
from gateway.dossier.proofs import (
    Basis,
    basis_of,
    checkpoint_of,
    deliveries_of_release,
    entries_of_release,
)
from gateway.dossier.released_area import area_of
from gateway.errors import EvidenceError, NotFoundError, StageOrderError
from gateway.flow import evidence
from gateway.flow.cleanse import load_cleansed
from gateway.flow.deciding import instant
from gateway.flow.dossier import pictures_of
from gateway.flow.gate import Gate
from gateway.flow.judge import load_judged
from gateway.flow.lineage import origin_of
from gateway.flow.recording import Built, Cleansed, Judged, Released, Stage
from gateway.flow.records import ReleaseRow
from gateway.flow.release import load_released
from gateway.models.evaluations import quality_of
from gateway.review.quality_report import quality_report_of
from gateway.review.slope_evidence import review_summary
from gateway.vault.jws import public_jwk

FORMAT: Final = "fleetgate-dossier"
VERSION: Final = 2
_JOINING: Final = frozenset({"lineage", "lineage_ledger", "slope_review"})
_ATTESTED: Final = ("secrecy_tech_id", "attestation", "checks", "positions")


class Edition(StrEnum):
    """For whom a dossier is.

    ``full`` is for the operator, auditors and regulators. ``recipient`` leaves out what joins releases (law 7):
    recordings, sources with units and delegations, evidence of each stage, zone files, and what attacks found
    in other releases.
    """

    FULL = "full"
    RECIPIENT = "recipient"


def gather(gate: Gate, release: str, note: str) -> dict[str, Any]:
    """The full dossier of a release at a checkpoint, JSON-ready.

    Args:
        gate: The gate.
        release: Id of a release that went out.
        note: A signed checkpoint of this ledger, after the release.

    Raises:
        NotFoundError: There is no such release.
        StageOrderError: The ledger's tree of the checkpoint does not hold its publication.
        EvidenceError: What it rests on does not verify, or a recording of it was erased.
        SignatureError: The note is no checkpoint of this ledger.
    """
    with gate.ledger.snapshot() as snapshot, gate.database.read() as session:
        if session.get(ReleaseRow, release) is None:
            raise NotFoundError(f"no such release (got {release!r})")
        basis = basis_of(gate, snapshot, note)
        entries = entries_of_release(basis, release)
        published = _published(entries, release)
        released = load_released(gate, session, release)
        judged = load_judged(gate, session, release)
        begun = next((e for e in entries if e.index == published.event.intent), published)
        if begun.event.digests.get("release") != judged.built.digest:
            raise EvidenceError(f"the ledger attests another digest of release {release}")
        cleansed = [load_cleansed(gate, session, item.source) for item in judged.built.items]
        lineage = _lineage(gate, session, judged, cleansed)
        return {
            "format": FORMAT,
            "version": VERSION,
            "edition": Edition.FULL.value,
            "checkpoint": checkpoint_of(gate, basis),
            "release_key": dict(public_jwk(gate.keystore.statement_key("release"))),
            "release": _release_part(judged, released, published, entries),
            "parties": parties_part(session, judged.built.terms),
            "oversight": oversight_part(gate, judged.built.terms, published),
            "licence": licence_part(gate, session, judged.built.terms, published),
            **_content_part(gate, session, judged.built, cleansed),
            "slope_review": review_summary(gate, session, judged.built, cleansed),
            "quality": quality_report_of(gate, session, judged.built, cleansed),
            "attack": _attack(gate, session, basis, judged.built),
            "area": area_of(gate, judged.built, cleansed),
            "decision": decision_part(gate, session, judged, entries),
            "approvals": approvals_part(session, judged, released, entries),
            "grants": _grants(entries),
            "deliveries": deliveries_of_release(basis, release),
            "lineage": lineage,
            "lineage_ledger": basis.proved(_stage_entries(basis, lineage, besides=entries)),
            "manifest": released.manifest_jws,
            "ledger": basis.proved(entries),
        }


def for_recipient(full: Mapping[str, Any]) -> dict[str, Any]:
    """The recipient's edition of a full dossier; see :class:`Edition`."""
    told = {name: value for name, value in full.items() if name not in _JOINING}
    attack = full["attack"]
    if attack is not None:
        told["attack"] = {**attack, "other_releases": None, "released_again": None}
        told["attack"]["lines"] = report_lines(attack, joins=False)
    if full["licence"] is not None:
        # Units, vehicles and carriers are sources.
        hidden = {"units", "delegations"}
        told["licence"] = {name: value for name, value in full["licence"].items() if name not in hidden}
    told["edition"] = Edition.RECIPIENT.value
    told["zone_files"] = []
    return told


def _published(entries: Sequence[Entry], release: str) -> Entry:
    for entry in entries:
        event = entry.event
        if (event.type, event.outcome) == (EventType.RELEASE_RELEASE_PUBLISH, Outcome.COMPLETED):
            return entry
    raise StageOrderError(f"release {release!r} has not gone out at this checkpoint")


def _release_part(
    judged: Judged, released: Released, published: Entry, entries: Sequence[Entry]
) -> dict[str, Any]:
    terms = judged.built.terms
    revoked = [e for e in entries if _completed(e, EventType.RELEASE_RELEASE_REVOKE)]
    return {
        "id": terms.release,
        "digest": judged.built.digest,
        "purpose": terms.purpose,
        "recipient": terms.recipient,
        "mode": terms.mode.value,
        "destination_zone": terms.destination_zone,
        "map_number": terms.map_number,
        "dpia_reference": terms.dpia_reference,
        "profile": {"name": terms.profile_name, "digest": terms.profile_digest},
        "submitter": terms.submitter,
        "published_by": published.event.actor,
        "requested_at": instant(terms.created_at),
        "released_at": format_time(published.time),
        "expires_at": instant(terms.expires_at),
        "revoked": ({"at": format_time(revoked[0].time), "by": revoked[0].event.actor} if revoked else None),
        "holdings": {
            "area_m2": published.event.facts.get("recipient_area_m2"),
            "subjects": published.event.facts.get("recipient_subjects"),
        },
        "items": len(released.manifest["items"]),
    }


def _completed(entry: Entry, kind: EventType) -> bool:
    return entry.event.type is kind and entry.event.outcome is Outcome.COMPLETED


def _content_part(
    gate: Gate, session: ReadSession, built: Built, cleansed: Sequence[Cleansed]
) -> dict[str, Any]:
    """Items, and what was found and done in all of them together."""
    del gate
    found: Counter[str] = Counter()
    treated: Counter[tuple[str, str]] = Counter()
    scanners: set[str] = set()
    for item, source in zip(built.items, cleansed, strict=True):
        found.update(source.payload["counts"])
        for treatment in source.payload["treatments"]:
            treated[treatment["of"], treatment["kind"]] += int(treatment["count"])
        for report in (source.payload["residual"], item.payload["residual"]):
            scanners.update(report["scanners"] if report else ())
    sets = {each.payload["detectors"] for each in cleansed} - {""}
    handled = [(item, item.payload["position_handling"]) for item in built.items]
    return {
        "items": [
            {
                **item.manifest_entry(),
                "level_in": item.payload["level_in"],
                "position_handling": item.payload["position_handling"],
                "absolute_time": item.payload["absolute_time"],
            }
            for item in built.items
        ],
        "left_out": dict(sorted(Counter(built.left_out.values()).items())),
        "found": dict(sorted(found.items())),
        "treatments": [
            {"of": of, "kind": kind, "count": count} for (of, kind), count in sorted(treated.items())
        ],
        "residual_scanners": sorted(scanners),
        "zone_files": sorted({str(each.payload["zones"]) for each in cleansed if each.payload["zones"]}),
        "pictures": pictures_of(cleansed),
        "detection": [quality_of(session, detectors) for detectors in sorted(sets)],
        "offset": [item.payload["facts"] for item, handling in handled if handling == "offset"],
        "processor": [
            {"name": item.name, **{key: item.payload["facts"][key] for key in _ATTESTED}}
            for item, handling in handled
            if handling == "approved"
        ],
    }


def _attack(gate: Gate, session: ReadSession, basis: Basis, built: Built) -> dict[str, Any] | None:
    """The newest attack that the checkpoint's tree holds, and of all of them when; None where there was none."""
    owner = built.terms.release
    every = evidence.load_every(
        gate, session, owner=owner, stage=Stage.ATTACKED, previous=built.evidence.digest
    )
    known = [each for each in every if each.ref.ledger_index < basis.size]
    if not known:
        return None
    newest = max(known, key=lambda each: each.ref.ledger_index)
    return {
        **newest.payload,
        "lines": report_lines(newest.payload),
        "entry": newest.ref.ledger_index,
        "runs": sorted(each.ref.ledger_index for each in known),
    }


def _grants(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Grants as the ledger attests them, with what became of each."""
    ended = {
        e.event.object: format_time(e.time) for e in entries if _completed(e, EventType.GRANT_GRANT_REVOKE)
    }
    return [
        {
            "grant": e.event.object,
            "principal": e.event.facts.get("principal"),
            "issued_by": e.event.actor,
            "issued_at": format_time(e.time),
            "not_after": e.event.facts.get("not_after"),
            "revoked_at": ended.get(e.event.object),
            "entry": e.index,
        }
        for e in entries
        if _completed(e, EventType.GRANT_GRANT_ISSUE)
    ]


def _lineage(
    gate: Gate, session: ReadSession, judged: Judged, cleansed: Sequence[Cleansed]
) -> list[dict[str, Any]]:
    return [
        {"name": item.name, **origin_of(gate, session, judged, item, source)}
        for item, source in zip(judged.built.items, cleansed, strict=True)
    ]


def _stage_entries(
    basis: Basis, lineage: Sequence[Mapping[str, Any]], *, besides: Sequence[Entry]
) -> list[Entry]:
    """The entries that attest the stages of the items, beside those of the release itself."""
    cited = {int(stage["entry"]) for item in lineage for stage in item["stages"]}
    return [basis.snapshot.entry(index) for index in sorted(cited - {entry.index for entry in besides})]
