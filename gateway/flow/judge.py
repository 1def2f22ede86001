"""Judge: state the facts of a built candidate, ask policy, record question and answer."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from anonymize.finding import FindingKind, TreatmentKind
from audit.events import EventType
from gateway.database import ReadSession, WriteSession
from gateway.errors import (
    DeniedError,
    EvidenceError,
    ObligationError,
    ReviewPendingError,
    StageOrderError,
)
from gateway.flow import evidence
from gateway.flow.acts import intended
from gateway.flow.area import united_km2
from gateway.flow.build import SUBJECTS, built_payload, load_built, subjects_of
from gateway.flow.cleanse import load_cleansed
from gateway.flow.deciding import decide, instant, policy_facts, profile_facts
from gateway.flow.duties import is_performed
from gateway.flow.gate import Gate
from gateway.flow.intake import load_manifest
from gateway.flow.kinds.handling import has_pixels
from gateway.flow.licensed import licence_facts, surveyed_facts, surveyed_of
from gateway.flow.overseen import assessment_facts, recipient_facts
from gateway.flow.recording import (
    Built,
    BuiltItem,
    Cleansed,
    DataClass,
    ItemState,
    Judged,
    ReleaseMode,
    ReleaseState,
    Stage,
)
from gateway.flow.records import (
    ApprovalRow,
    EvidenceRow,
    ItemRow,
    RecordingRow,
    ReleaseRecordingRow,
    ReleaseRow,
)
from gateway.flow.request import known_release
from gateway.people.assessments import assessments_of
from gateway.people.records import PersonRow, PurposeRow
from gateway.people.registry import Actor, actor_of
from gateway.review.quality_standing import Quality, failed_before, quality_facts, quality_standing
from gateway.review.slope_evidence import SLOPE_TAG, Standing, standing_of
from policies.decision import Decision, Obligation, ObligationKind

_TRIP_CLASSES = frozenset(
    {
        DataClass.EXT_IMAGE,
        DataClass.EXT_VIDEO,
        DataClass.POINT_CLOUD,
        DataClass.TRAJ_ABS,
        DataClass.TRAJ_REL,
        DataClass.MAP_VECTOR,
        DataClass.POSE_IMU,
    }
)
_CHUNK = 500
_JUDGED = (ReleaseState.JUDGED, ReleaseState.APPROVED)
_LIVED = (ReleaseState.RELEASED, ReleaseState.REVOKED)
_NULLED_TAGS = frozenset({"LIMIT_HWW", "BRIDGE_LOAD", "ELEV"})
_REMOVALS = frozenset({TreatmentKind.REDACT.value, TreatmentKind.DROP.value})


def judge_release(gate: Gate, release: str) -> Judged:
    """Judge a built candidate and attest the decision; one that another bundle judged is judged anew.

    A new decision voids the approvals of the one before.

    Raises:
        NotFoundError: There is no such release.
        DeniedError: Policy refuses; the release is closed as denied.
        ReviewPendingError: Slopes or pictures wait for a person; the release stays built, to be judged again.
        ObligationError: An obligation was not performed, or the review rejected; closed as denied.
        StageOrderError: The release is not built.
        EvidenceError: What the candidate rests on does not verify.
    """
    with gate.database.read() as session:
        row = known_release(session, release)
        earlier = row.state in _JUDGED and _under_another_bundle(gate, session, release)
        if row.state != ReleaseState.BUILT and not earlier:
            raise StageOrderError(f"release cannot be judged in state {row.state!r} (expected 'built')")
        built = load_built(gate, session, release)
        submitter = actor_of(session.get_one(PersonRow, built.terms.submitter), proof="")
    event = intended(
        EventType.JUDGE_RELEASE_JUDGE,
        actor=submitter.id,
        object_id=release,
        release=release,
        purpose=built.terms.purpose,
        recipient=built.terms.recipient,
        digests={"release": built.digest},
    )
    with gate.ledger.intent(event) as intent:
        try:
            decision = ask(gate, built, submitter)
        except ReviewPendingError as error:
            intent.refuse(facts={"reason": error.reason})
            raise
        except (DeniedError, ObligationError) as error:
            with gate.database.transaction() as session:
                session.get_one(ReleaseRow, release, with_for_update=True).state = ReleaseState.DENIED
            intent.refuse(facts={"reason": error.reason})
            raise
        answer = {**decision.as_dict(), "release_digest": built.digest}
        row_of_evidence = evidence.attest(
            gate,
            intent,
            owner=release,
            stage=Stage.JUDGED,
            kek_id=f"rel-{release}",
            previous=built.evidence.digest,
            payload=answer,
            digests={"release": built.digest, "bundle": decision.bundle_digest},
        )
        with gate.database.transaction() as session:
            current = session.get_one(ReleaseRow, release, with_for_update=True)
            if current.state == ReleaseState.BUILT or (earlier and current.state in _JUDGED):
                # An approval is of one decision under one bundle: another decision voids it.
                session.execute(sa.delete(ApprovalRow).where(ApprovalRow.release_id == release))
                session.execute(
                    sa.delete(EvidenceRow).where(
                        EvidenceRow.owner_id == release, EvidenceRow.stage == Stage.JUDGED.value
                    )
                )
                session.add(row_of_evidence)
                current.state = ReleaseState.JUDGED
    with gate.database.read() as session:
        return load_judged(gate, session, release)


def _under_another_bundle(gate: Gate, session: ReadSession, release: str) -> bool:
    return bool(load_judged(gate, session, release).decision["bundle_digest"] != gate.bundle.bundle.digest)


def ask(gate: Gate, built: Built, submitter: Actor) -> Decision:
    """Put the release question; every fact is computed afresh from verified evidence.

    Raises:
        DeniedError: Policy refuses.
        ReviewPendingError: All that is missing is a person's review of slopes and curvatures (rule 15), or of a
            sample of pictures (rule 17).
        ObligationError: An obligation was not performed, or the review rejected.
    """
    with gate.database.read() as session:
        question = release_question(gate, session, built, submitter)

    def standing() -> Standing:
        with gate.database.read() as session:
            return standing_of(gate, session, built)

    def performed(obligation: Obligation) -> bool:
        if obligation.kind is ObligationKind.MANUAL_REVIEW:
            return _asks_for_slopes(obligation) and standing() is Standing.APPROVED
        with gate.database.read() as session:
            return is_performed(gate, session, built, obligation)

    try:
        return decide(
            gate,
            EventType.JUDGE_RELEASE_DECIDE,
            question,
            actor=submitter,
            object_id=built.terms.release,
            performs=performed,
            release=built.terms.release,
            purpose=built.terms.purpose,
            recipient=built.terms.recipient,
        )
    except DeniedError as error:
        _raise_if_pending(gate, built, error)
        raise
    except ObligationError as error:
        if error.kinds == (ObligationKind.MANUAL_REVIEW.value,) and standing() is Standing.PENDING:
            raise ReviewPendingError(error.kinds, built.terms.release) from error
        raise


def _raise_if_pending(gate: Gate, built: Built, denied: DeniedError) -> None:
    """Say that pictures wait where nothing else is missing, and nothing that was counted refuses already.

    Raises:
        ReviewPendingError: That is so.
        EvidenceError: The sample, or a record of it, does not verify.
    """
    if {violation.rule for violation in denied.decision.violations} != {"quality_sampled"}:
        return
    with gate.database.read() as session:
        waits = quality_standing(gate, session, built) in (Quality.NOT_DRAWN, Quality.PENDING)
        waits = waits and not failed_before(gate, session, built)
    if waits:
        release = built.terms.release
        raise ReviewPendingError(
            (ObligationKind.MANUAL_REVIEW.value,),
            release,
            what=f"a sample of pictures waits for a person (fleetgate quality sample {release}, then resume it)",
        ) from denied


def _asks_for_slopes(obligation: Obligation) -> bool:
    return obligation.kind is ObligationKind.MANUAL_REVIEW and obligation.parameters.get("tag") == SLOPE_TAG


def release_question(gate: Gate, session: ReadSession, built: Built, submitter: Actor) -> dict[str, Any]:
    """The facts of a candidate, each from evidence that was verified while stating it."""
    terms = built.terms
    cleansed = {item.source: load_cleansed(gate, session, item.source) for item in built.items}
    recordings = [session.get_one(RecordingRow, r) for r in terms.recordings]
    # From the sealed manifests: a column could be changed to fit a certificate (law 6).
    surveyed = {row.id: surveyed_of(gate, load_manifest(gate, session, row.id)) for row in recordings}
    return {
        "point": "release",
        "subject": {
            "id": submitter.id,
            "roles": list(submitter.roles),
            "nationality": submitter.nationality,
            "entity_country": submitter.entity_country,
        },
        "action": {"name": "release"},
        "resource": {
            "release": terms.release,
            "mode": terms.mode.value,
            "secrecy_tech_id": _secrecy_tech_id(built),
            "recordings": [
                {
                    "id": row.id,
                    **surveyed_facts(surveyed[row.id]),
                    "prior_live_releases": prior_live_releases(session, built, row.id),
                    "source": row.source_kind,
                }
                for row in recordings
            ],
            "items": [
                _item_facts(item, cleansed[item.source], state=session.get_one(ItemRow, item.source).state)
                for item in built.items
            ],
            "counts": {"subjects": sum(subjects_of(cleansed[item.source]) for item in built.items)},
            "offset": _offset_facts(built),
        },
        "context": {
            "time": instant(gate.clock()),
            "purpose": terms.purpose,
            "purposes_registered": sorted(session.scalars(sa.select(PurposeRow.name))),
            "assessments": [assessment_facts(each) for each in assessments_of(gate, terms.purpose)],
            "recipient": recipient_facts(gate, session, terms.recipient),
            "destination_zone": terms.destination_zone,
            "map_number": terms.map_number,
            "expires_at": instant(terms.expires_at),
            "profile": profile_facts(gate),
            "policy": policy_facts(gate),
            **licence_facts(gate, session, list(surveyed.values())),
            "cumulative": cumulative_of(gate, session, terms.recipient, terms.release),
            "detectors_required": [kind.value for kind in detectors_required(gate)],
            "dpia_reference": terms.dpia_reference,
            "quality": quality_facts(gate, session, built, cleansed.values()),
            "gov_county_hit": any("GOV_COUNTY" in c.payload["tags"] for c in cleansed.values()),
        },
    }


def detectors_required(gate: Gate) -> tuple[FindingKind, ...]:
    """What pictures must be searched for: faces and plates, and limit signs where the profile masks them."""
    signs = (FindingKind.LIMIT_SIGN,) if gate.profile.profile.images.limit_sign is not None else ()
    return (*SUBJECTS, *signs)


def _item_facts(item: BuiltItem, cleansed: Cleansed, *, state: str) -> dict[str, Any]:
    payload = cleansed.payload
    counts: Mapping[str, int] = payload["counts"]
    treated: Mapping[str, int] = payload["treated"]
    image = has_pixels(cleansed)
    reports = [payload["residual"], item.payload["residual"]]
    residual = [finding for report in reports if report for finding in report["residual"]]
    return {
        "id": item.name,
        "class": item.data_class.value,
        "level_in": cleansed.classified.level.name,
        "level_out": item.level.name,
        "tags": list(payload["tags"]),
        "treatments": sorted({t["kind"] for t in payload["treatments"]}),
        "kind": cleansed.classified.kind.value,
        "crs": str(cleansed.classified.facts.get("crs", "none")),
        "position_handling": item.payload["position_handling"],
        "zone_check": payload["zone_check"],
        # A hit that was not cut is a residual finding, and an item with one is never cleansed.
        "zone_hits_cut": not any(f["kind"] == FindingKind.RESTRICTED_ZONE.value for f in residual),
        "residual_scanned": bool(payload["residual"]["scanners"]),
        "residual_hits": len(residual),
        "detectors_ran": list(payload.get("detector_kinds", ())) if image and payload["detectors"] else [],
        # A plate number in a text is redacted, not masked; these facts speak of pixels.
        "findings": {kind.value: int(counts.get(kind.value, 0)) if image else 0 for kind in SUBJECTS},
        "masked": {kind.value: int(treated.get(kind.value, 0)) if image else 0 for kind in SUBJECTS},
        # A picture is written anew from its pixels, so that nothing beside them survives.
        "metadata_stripped": not image or "reencode" in _treatment_kinds(payload),
        "vin_found": sum(f["kind"] == FindingKind.VIN.value for f in residual),
        "absolute_time": item.payload["absolute_time"],
        "profile_digest": payload["profile"]["digest"],
        "evidence_verified": item.payload["cleansed"] == cleansed.evidence.digest,
        "sign_attributes_nulled": _attributes_nulled(payload),
        "held": state != ItemState.CLEANSED,
    }


def _attributes_nulled(payload: Mapping[str, Any]) -> bool:
    """Whether every attribute that rule 14 wants nulled was removed.

    Elevations are removed from tracks and maps, limits and loads from maps, and limit signs masked in pictures,
    each sign that was found: a tag without such a treatment denies, and so does one that a review left.
    """
    found = _NULLED_TAGS & set(payload["tags"])
    treated, counts = payload["treated"], payload["counts"]
    removed = {"ELEV"} if treated.get(FindingKind.ELEVATION.value) else set()
    removed |= _map_attributes_removed(payload)
    if signs := int(counts.get(FindingKind.LIMIT_SIGN.value, 0)):
        masked = int(treated.get(FindingKind.LIMIT_SIGN.value, 0)) >= signs
        removed = removed | {"LIMIT_HWW"} if masked else removed - {"LIMIT_HWW"}
    return found <= removed - set(payload["facts"].get("reviews_tags", ()))


def _map_attributes_removed(payload: Mapping[str, Any]) -> set[str]:
    """Tags of attributes that were removed from a map; what rules would still remove, the second look refuses."""
    return {
        str(treatment["parameters"].get("tag"))
        for treatment in payload["treatments"]
        if treatment["of"] == FindingKind.MAP_ATTRIBUTE.value
        and treatment["kind"] in _REMOVALS
        and treatment["count"]
    }


def _treatment_kinds(payload: Mapping[str, Any]) -> set[str]:
    return {t["kind"] for t in payload["treatments"]}


def _secrecy_tech_id(built: Built) -> str | None:
    """The one recognised processor that placed everything of the release; None where there is none, or two."""
    found = {
        str(item.payload["facts"]["secrecy_tech_id"])
        for item in built.items
        if item.payload["position_handling"] == "approved"
    }
    return found.pop() if len(found) == 1 else None


def _offset_facts(built: Built) -> dict[str, float] | None:
    measured = [
        item.payload["facts"] for item in built.items if item.payload["position_handling"] == "offset"
    ]
    if built.terms.mode is not ReleaseMode.OFFSET or not measured:
        return None
    return {
        "max_distance_error": max(float(m["max_distance_error"]) for m in measured),
        "min_shift_m": min(float(m["min_shift_m"]) for m in measured),
    }


def prior_live_releases(session: ReadSession | WriteSession, built: Built, recording: str) -> int:
    """Other releases that ever went out with this trip: the same recording, or one with a file of it in common.

    One trip under two keys can be joined by its shape (law 7), also after a revocation. Files that show where
    the trip went count: a calibration that every drive of a vehicle carries does not make them one trip. A map
    counts, too: the mean of its copies under many keys is the map.
    """
    sources = [i.source for i in built.items if i.recording == recording and i.data_class in _TRIP_CLASSES]
    found = set(session.scalars(_lived_releases(ReleaseRecordingRow.recording_id == recording)))
    for start in range(0, len(sources), _CHUNK):
        chunk = sources[start : start + _CHUNK]
        digests = sa.select(ItemRow.content_digest).where(ItemRow.id.in_(chunk))
        same_content = sa.select(ItemRow.recording_id).where(ItemRow.content_digest.in_(digests))
        found |= set(session.scalars(_lived_releases(ReleaseRecordingRow.recording_id.in_(same_content))))
    return len(found - {built.terms.release})


def _lived_releases(drawing: sa.ColumnElement[bool]) -> sa.Select[str]:
    return (
        sa.select(ReleaseRow.id)
        .join(ReleaseRecordingRow, ReleaseRecordingRow.release_id == ReleaseRow.id)
        .where(ReleaseRow.state.in_(_LIVED), drawing)
    )


def cumulative_of(
    gate: Gate, session: ReadSession | WriteSession, recipient: str, release: str
) -> dict[str, int | float]:
    """What the recipient holds, as the evidence of its releases counts it.

    Subjects of everything it ever received; square kilometres of that and of this release together.
    """
    statement = sa.select(ReleaseRow.id).where(
        ReleaseRow.recipient == recipient, ReleaseRow.id != release, ReleaseRow.state.in_(_LIVED)
    )
    earlier = [built_payload(gate, session, each) for each in session.scalars(statement)]
    own = built_payload(gate, session, release)
    return {
        "subjects": sum(int(payload["subjects"]) for payload in earlier),
        "area_km2": united_km2(payload["area"] for payload in (*earlier, own)),
    }


def holdings_of(
    gate: Gate, session: ReadSession | WriteSession, recipient: str, release: str
) -> dict[str, int]:
    """What the recipient holds once a release is out, for the ledger: whole square metres, and subjects."""
    earlier = cumulative_of(gate, session, recipient, release)
    own = int(built_payload(gate, session, release)["subjects"])
    return {
        "recipient_area_m2": round(earlier["area_km2"] * 1e6),
        "recipient_subjects": int(earlier["subjects"]) + own,
    }


def load_judged(gate: Gate, session: ReadSession | WriteSession, release: str) -> Judged:
    """Load a judged candidate and verify that the decision allowed exactly this digest under this bundle.

    Raises:
        StageOrderError: The release was not judged.
        EvidenceError: The decision is for another digest or did not allow.
    """
    built = load_built(gate, session, release)
    verified = evidence.load(gate, session, owner=release, stage=Stage.JUDGED, previous=built.evidence.digest)
    decision = verified.payload
    if decision["allowed"] is not True or decision["release_digest"] != built.digest:
        raise EvidenceError(
            f"the recorded decision does not allow release {release} at digest {built.digest}"
        )
    return Judged(built=built, decision=decision, evidence=verified.ref)
