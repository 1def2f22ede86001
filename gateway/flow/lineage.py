"""Where a released byte comes from (law 10), and what was made of a release: both read through their evidence."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from audit.events import EventType
from gateway.database import ReadSession
from gateway.errors import NotFoundError
from gateway.flow.acts import intended
from gateway.flow.artefacts import descendants_of, told_of
from gateway.flow.cleanse import load_cleansed
from gateway.flow.deciding import instant
from gateway.flow.gate import Gate
from gateway.flow.judge import load_judged
from gateway.flow.recording import BuiltItem, Cleansed, EvidenceRef, Judged
from gateway.flow.records import ApprovalRow, RecordingRow, ReleaseRow
from gateway.flow.release import load_released
from gateway.people.registry import Actor


def item_lineage(gate: Gate, release: str, name: str) -> dict[str, Any]:
    """An item of a release, back to its recording; every step is read through its evidence.

    Args:
        gate: The gate.
        release: Id of the release.
        name: Name of the item in the release's manifest.

    Raises:
        NotFoundError: The release has no such item.
        StageOrderError: The release was not judged.
        EvidenceError: A step does not verify, or the recording was erased.
    """
    with gate.database.read() as session:
        judged = load_judged(gate, session, release)
        item = next((each for each in judged.built.items if each.name == name), None)
        if item is None:
            raise NotFoundError(f"the release has no such item (got {name!r})")
        origin = origin_of(gate, session, judged, item)
        row = session.get_one(ReleaseRow, release)
        approvals = session.scalars(
            sa.select(ApprovalRow).where(ApprovalRow.release_id == release).order_by(ApprovalRow.approver)
        ).all()
    return {
        "release": release,
        "name": name,
        "sha256": item.sha256,
        **origin,
        "decision": _decision(judged.decision),
        "people": {
            "submitter": judged.built.terms.submitter,
            "approvers": [{"id": a.approver, "signed_at": instant(a.signed_at)} for a in approvals],
        },
        "released_at": instant(row.released_at) if row.released_at else None,
    }


def origin_of(
    gate: Gate, session: ReadSession, judged: Judged, item: BuiltItem, cleansed: Cleansed | None = None
) -> dict[str, Any]:
    """The recording, stages and treatment of one item of a judged release.

    Raises:
        EvidenceError: A step does not verify, or the recording was erased.
    """
    if cleansed is None:
        cleansed = load_cleansed(gate, session, item.source)
    recording = session.get_one(RecordingRow, item.recording)
    return {
        "recording": {
            "id": recording.id,
            "source": recording.source_kind,
            "source_id": recording.source_id,
            "item": item.source,
            "position": cleansed.classified.quarantined.index,
        },
        "stages": _stages(gate, cleansed, judged),
        "treatment": _treatment(cleansed, item),
    }


def _stages(gate: Gate, cleansed: Cleansed, judged: Judged) -> list[dict[str, Any]]:
    passed: tuple[EvidenceRef, ...] = (
        cleansed.classified.quarantined.evidence,
        cleansed.classified.evidence,
        cleansed.evidence,
        judged.built.evidence,
        judged.evidence,
    )
    return [
        {
            "stage": ref.stage.value,
            "evidence": ref.digest,
            "entry": ref.ledger_index,
            "at": instant(gate.ledger.entry(ref.ledger_index).time),
        }
        for ref in passed
    ]


def _treatment(cleansed: Cleansed, item: BuiltItem) -> dict[str, Any]:
    payload = cleansed.payload
    return {
        "profile": payload["profile"],
        "detectors": payload["detectors"],
        "zones": payload["zones"],
        "zone_check": payload["zone_check"],
        "class": item.data_class.value,
        "level_in": cleansed.classified.level.name,
        "level_out": item.level.name,
        "found": payload["counts"],
        "treatments": payload["treatments"],
        "position_handling": item.payload["position_handling"],
        "absolute_time": item.payload["absolute_time"],
        "residual": [
            report["scanners"] for report in (payload["residual"], item.payload["residual"]) if report
        ],
    }


def _decision(decision: Mapping[str, Any]) -> dict[str, Any]:
    return {name: decision[name] for name in ("bundle_digest", "engine", "passed", "obligations")}


def release_lineage(gate: Gate, release: str, *, actor: Actor) -> dict[str, Any]:
    """Everything that rests on a release, descendants included; the reading is an entry of the ledger.

    ``prov`` tells the same as PROV-JSON (W3C submission of 2013).

    Raises:
        NotFoundError: There is no such release, or it is not out.
        EvidenceError: An artefact does not verify, or one that the ledger saw registered is missing.
    """
    event = intended(
        EventType.ARTEFACT_LINEAGE_READ,
        actor=actor.id,
        object_id=release,
        release=release,
        digests=actor.digests,
    )
    with gate.ledger.intent(event) as intent, gate.database.read() as session:
        try:
            released = load_released(gate, session, release)
        except NotFoundError as error:
            intent.refuse(facts={"reason": error.reason})
            raise
        found = [told_of(each) for each in descendants_of(gate, release)]
        intent.complete(facts={"artefacts": len(found)})
    listed = [{**each, "revoked": each["revoked"] or released.revoked} for each in found]
    return {
        "release": release,
        "digest": released.manifest["digest"],
        "revoked": released.revoked,
        "artefacts": listed,
        "prov": _prov(release, str(released.manifest["digest"]), listed),
    }


def _prov(release: str, digest: str, artefacts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    document: dict[str, dict[str, Any]] = {
        "prefix": {"fg": "urn:fleetgate:", "prov": "http://www.w3.org/ns/prov#"},
        "entity": {f"fg:release:{release}": {"prov:type": "fg:release", "fg:sha256": digest}},
        "agent": {},
        "activity": {},
        "wasGeneratedBy": {},
        "wasAttributedTo": {},
        "wasDerivedFrom": {},
    }
    for number, each in enumerate(artefacts):
        entity, activity = f"fg:artefact:{each['artefact']}", f"fg:make:{each['artefact']}"
        agent = f"fg:person:{each['attributed_to']}"
        document["entity"][entity] = {
            "prov:type": f"fg:{each['kind']}",
            "prov:label": each["name"],
            "fg:sha256": each["digest"],
            "fg:revoked": each["revoked"],
        }
        document["agent"][agent] = {"prov:type": "prov:Person"}
        document["activity"][activity] = {"prov:type": "fg:make", "fg:code": each["generated_by"]["code"]}
        document["wasGeneratedBy"][f"_:g{number}"] = {"prov:entity": entity, "prov:activity": activity}
        document["wasAttributedTo"][f"_:a{number}"] = {"prov:entity": entity, "prov:agent": agent}
        sources = [f"fg:release:{one}" for one in each["derived_from"]["releases"]]
        sources += [f"fg:artefact:{one}" for one in each["derived_from"]["artefacts"]]
        for place, source in enumerate(sources):
            document["wasDerivedFrom"][f"_:d{number}-{place}"] = {
                "prov:generatedEntity": entity,
                "prov:usedEntity": source,
                "prov:activity": activity,
            }
    return document
