"""What people look at before they sign: a release and a recording with counts, findings and evidence digests."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from audit.events import EventType
from gateway.errors import NotFoundError
from gateway.flow import evidence
from gateway.flow.acts import intended
from gateway.flow.build import load_built
from gateway.flow.cleanse import load_cleansed
from gateway.flow.closing import closing_of
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.intake import load_manifest
from gateway.flow.judge import cumulative_of, load_judged
from gateway.flow.kinds.handling import has_pixels
from gateway.flow.permitted import permit_on_release
from gateway.flow.recording import Cleansed, RecordingState, ReleaseState, Stage
from gateway.flow.records import ApprovalRow, GrantRow, ItemRow, RecordingRow
from gateway.flow.request import known_release
from gateway.flow.scope import described, hold_of
from gateway.models.evaluations import quality_of
from gateway.people.permission import permit
from gateway.people.registry import Actor
from gateway.review.attack_report import attack_report_of, attack_runs_of
from gateway.review.quality_report import quality_report_of
from gateway.review.slope_evidence import review_summary
from gateway.vault.values import open_value
from gateway.workers import hold_context

_ATTESTED = ("secrecy_tech_id", "attestation", "checks", "positions")


def review_release(gate: Gate, release: str, *, actor: Actor) -> dict[str, Any]:
    """``release_summary`` for a person; looking is itself an entry.

    Raises:
        ActDeniedError: Policy refuses.
    """
    permit_on_release(gate, actor, "release.review", release)
    event = intended(
        EventType.REVIEW_RELEASE_READ,
        actor=actor.id,
        object_id=release,
        release=release,
        digests=actor.digests,
    )
    with gate.ledger.intent(event) as intent:
        summary = release_summary(gate, release)
        digest = summary["digest"]
        intent.complete(digests={"release": digest} if digest else {})
        return summary


def review_recording(gate: Gate, recording: str, *, actor: Actor) -> dict[str, Any]:
    """``recording_summary`` for a person; looking is itself an entry.

    Raises:
        ActDeniedError: Policy refuses.
    """
    permit(gate, actor, "recording.review", on=recording)
    event = intended(
        EventType.REVIEW_RECORDING_READ,
        actor=actor.id,
        object_id=recording,
        recording=recording,
        digests=actor.digests,
    )
    with gate.ledger.intent(event) as intent:
        summary = recording_summary(gate, recording)
        intent.complete()
        return summary


def release_summary(gate: Gate, release: str) -> dict[str, Any]:
    """A release as operators see it: terms, digest, items, what was found and masked, decision, approvals.

    Everything is read through its evidence; broken evidence is an error, not a gap.

    Raises:
        NotFoundError: There is no such release.
        EvidenceError: What the release rests on does not verify.
    """
    with gate.database.read() as session:
        row = known_release(session, release)
        summary: dict[str, Any] = {
            "release": release,
            "state": row.state,
            "purpose": row.purpose,
            "recipient": row.recipient,
            "mode": row.mode,
            "destination_zone": row.destination_zone,
            "submitter": row.submitter,
            "expires_at": instant(row.expires_at),
            "profile": {"name": row.profile_name, "digest": row.profile_digest},
            "digest": row.digest,
        }
        if closing := closing_of(gate, release):
            summary["closing"] = closing
        if not evidence.find(session, owner=release, stage=Stage.BUILT):
            return summary
        built = load_built(gate, session, release)
        cleansed = [load_cleansed(gate, session, item.source) for item in built.items]
        findings: Counter[str] = Counter()
        for each in cleansed:
            findings.update(each.payload["counts"])
        summary["recordings"] = list(built.terms.recordings)
        summary["items"] = [item.manifest_entry() for item in built.items]
        summary["left_out"] = dict(built.left_out)
        summary["findings"] = dict(sorted(findings.items()))
        summary["pictures"] = pictures_of(cleansed)
        sets = {each.payload["detectors"] for each in cleansed} - {""}
        summary["detection"] = [quality_of(session, detectors) for detectors in sorted(sets)]
        summary["offset"] = [
            item.payload["facts"] for item in built.items if item.payload["position_handling"] == "offset"
        ]
        summary["processor"] = [
            {"name": item.name, **{key: item.payload["facts"][key] for key in _ATTESTED}}
            for item in built.items
            if item.payload["position_handling"] == "approved"
        ]
        summary["slope_review"] = review_summary(gate, session, built, cleansed)
        summary["quality"] = quality_report_of(gate, session, built, cleansed)
        summary["attack"] = attack_report_of(gate, session, built)
        summary["attack_runs"] = attack_runs_of(gate, session, built)
        summary["recipient_holds"] = cumulative_of(gate, session, row.recipient, release)
        if row.state != ReleaseState.DENIED and evidence.find(session, owner=release, stage=Stage.JUDGED):
            decision = load_judged(gate, session, release).decision
            summary["decision"] = {
                "allowed": decision["allowed"],
                "engine": decision["engine"],
                "bundle_digest": decision["bundle_digest"],
                "passed": decision["passed"],
                "obligations": decision["obligations"],
            }
        summary["approvals"] = [
            {"approver": a.approver, "signed_at": instant(a.signed_at)}
            for a in session.scalars(sa.select(ApprovalRow).where(ApprovalRow.release_id == release))
        ]
        summary["grants"] = [
            {
                "grant": g.id,
                "principal": g.principal,
                "not_after": instant(g.not_after),
                "revoked": g.revoked_at is not None,
            }
            for g in session.scalars(sa.select(GrantRow).where(GrantRow.release_id == release))
        ]
    return summary


def pictures_of(items: Sequence[Cleansed]) -> dict[str, Any]:
    """How many pictures of each kind and light there are, and how often the most stubborn had to be masked."""
    pictures = [item for item in items if has_pixels(item)]
    facts = [item.payload["facts"] for item in pictures]
    return {
        "kinds": dict(sorted(Counter(item.classified.kind.value for item in pictures).items())),
        "light": dict(sorted(Counter(f["luminance"] for f in facts if "luminance" in f).items())),
        "passes": max((int(f["passes"]) for f in facts if "passes" in f), default=0),
    }


def recording_summary(gate: Gate, recording: str) -> dict[str, Any]:
    """A recording as its keepers see it: items by name, state and, for held ones, the reason.

    ``hold`` says why the whole recording is held, where no certificate covers it.

    Raises:
        NotFoundError: There is no such recording.
        EvidenceError: Its manifest does not verify.
    """
    with gate.database.read() as session:
        row = session.get(RecordingRow, recording)
        if row is None:
            raise NotFoundError(f"no such recording (got {recording!r})")
        summary = described(row)
        if row.state == RecordingState.ERASED:
            return summary
        if row.held_entry is not None:
            summary["hold"] = hold_of(gate, session, row.held_entry)
        manifest = load_manifest(gate, session, recording)
        rows = session.scalars(
            sa.select(ItemRow).where(ItemRow.recording_id == recording).order_by(ItemRow.position)
        )
        items = []
        for item in rows:
            entry: dict[str, Any] = {
                "name": manifest.items[item.position].name,
                "item": item.id,
                "state": item.state,
            }
            if item.held_reason and item.held_sealed:
                detail = open_value(
                    gate.keystore, kek_id=row.kek_id, context=hold_context(item.id), sealed=item.held_sealed
                )
                entry |= {"reason": item.held_reason, "detail": detail.decode()}
            items.append(entry)
        summary["items"] = items
    return summary
