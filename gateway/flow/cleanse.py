"""Cleanse: the first pass, independent of any release. Treat, re-scan with other readers, attest; or hold."""

import io
from collections import Counter
from collections.abc import Iterable
from typing import Any, BinaryIO

from anonymize.errors import AnonymizeError, ResidualError
from anonymize.finding import FindingKind
from audit.events import EventType
from gateway.database import ReadSession, WriteSession
from gateway.errors import EvidenceError
from gateway.flow import evidence
from gateway.flow.acts import intended
from gateway.flow.classify import buffered, load_classified, readable_original
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import FLEET_PLACES, Cleansing, Outcome, Progress, ignore_progress
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.kinds.table import handler_of
from gateway.flow.recording import Classified, Cleansed, ItemState, Level, Quarantined, Stage
from gateway.flow.records import ItemRow
from gateway.vault.seekable import SealedFile
from gateway.vault.store import Context, SealedObject


def cleanse_item(
    gate: Gate,
    item: Classified,
    surroundings: Surroundings,
    *,
    actor: str,
    progress: Progress = ignore_progress,
) -> None:
    """Treat one item and attest the result; an item inside a restricted zone is cut.

    Args:
        gate: The gate.
        item: The item.
        surroundings: What the other items of its recording say of it.
        actor: Who works.
        progress: Told of each whole piece of an item that takes long: what was done, how many of how many.

    Raises:
        AnonymizeError: Undecodable content, a missing model, a residual finding; the caller holds the item.
        HeldError: The item cannot be shown to lie outside the restricted zones.
    """
    quarantined = item.quarantined
    event = intended(
        EventType.CLEANSE_ITEM_CLEANSE,
        actor=actor,
        object_id=quarantined.item,
        item=quarantined.item,
        recording=quarantined.recording,
        digests={"content": quarantined.content_digest, "profile": gate.profile.digest},
    )
    with gate.ledger.intent(event) as intent:
        original = readable_original(gate, quarantined, encoding=item.encoding)
        cleansing = handler_of(item.kind).treat(gate, item, original, surroundings, progress)
        outcome, seal, mask = _sealed(gate, quarantined, cleansing)
        row = evidence.attest(
            gate,
            intent,
            owner=quarantined.item,
            stage=Stage.CLEANSED,
            kek_id=quarantined.kek,
            previous=item.evidence.digest,
            payload=_payload(gate, item, outcome, surroundings, seal=seal, mask=mask),
            digests={"profile": gate.profile.digest},
            facts={"dropped": outcome.treated.dropped, "findings": len(outcome.treated.findings)},
        )
        with gate.database.transaction() as session:
            current = session.get_one(ItemRow, quarantined.item, with_for_update=True)
            if current.state == ItemState.CLASSIFIED:
                session.add(row)
                current.treated_seal = seal
                current.mask_seal = mask
                current.state = ItemState.CUT if outcome.treated.dropped else ItemState.CLEANSED


def _sealed(
    gate: Gate, quarantined: Quarantined, cleansing: Cleansing
) -> tuple[Outcome, str | None, str | None]:
    """Seal the treated bytes, then let another reader look at what lies sealed.

    Returns:
        The outcome, and the seals of the treated file and of its mask; None for what there is not.

    Raises:
        ResidualError: The second look still finds something; what was sealed is destroyed.
    """

    def seal(chunks: Iterable[bytes], role: str) -> SealedObject:
        context = Context(owner=quarantined.recording, object=quarantined.item, role=role)
        return gate.vault.seal(chunks, kek_id=quarantined.kek, context=context)

    if cleansing.chunks is None:
        return _clean(cleansing.settle(io.BytesIO())), None, None
    treated = seal(cleansing.chunks, "treated")
    context = Context(owner=quarantined.recording, object=quarantined.item, role="treated")
    try:
        outcome = _clean(
            cleansing.settle(buffered(SealedFile(gate.vault.open(treated.manifest_jws, context))))
        )
    except AnonymizeError:
        gate.vault.delete(treated.blob_id)
        raise
    if outcome.treated.dropped:
        gate.vault.delete(treated.blob_id)
        return outcome, None, None
    mask = seal([outcome.treated.mask], "mask").manifest_jws if outcome.treated.mask else None
    return outcome, treated.manifest_jws, mask


def _clean(outcome: Outcome) -> Outcome:
    if not outcome.residual.clean:
        kinds = sorted({f.kind.value for f in outcome.residual.residual})
        raise ResidualError(f"the residual scan still finds {', '.join(kinds)}")
    return outcome


def _payload(
    gate: Gate,
    item: Classified,
    outcome: Outcome,
    surroundings: Surroundings,
    *,
    seal: str | None,
    mask: str | None,
) -> dict[str, Any]:
    treated = outcome.treated
    masked: Counter[str] = Counter()
    for treatment in treated.treatments:
        masked[treatment.of.value] += treatment.count
    return {
        "content_digest": item.quarantined.content_digest,
        "seal": evidence.seal_digest(seal) if seal else "",
        "mask": evidence.seal_digest(mask) if mask else "",
        "media_type": treated.media_type,
        "level": outcome.level.name,
        "profile": {"name": gate.profile.profile.name, "digest": gate.profile.digest},
        "zones": surroundings.zones.digest if surroundings.zones else "",
        "detectors": outcome.detectors,
        "detector_kinds": list(outcome.detector_kinds),
        "zone_check": outcome.zone_check,
        "position_handling": outcome.position_handling,
        "dropped": treated.dropped,
        "counts": {**Counter(f.kind.value for f in treated.findings), **outcome.counts},
        "treated": dict(masked),
        "tags": sorted({*item.tags, *outcome.tags, *_tags(outcome)} - FLEET_PLACES),
        "findings": [f.as_dict() for f in treated.findings],
        "treatments": [t.as_dict() for t in treated.treatments],
        "facts": dict(treated.facts),
        "residual": outcome.residual.as_dict(),
    }


def _tags(outcome: Outcome) -> set[str]:
    """Tags that follow from findings: zones, and what was seen in pixels or read as an elevation."""
    findings = outcome.treated.findings
    tags = {f.label for f in findings if f.kind is FindingKind.RESTRICTED_ZONE}
    names = {FindingKind.ELEVATION: "ELEV"}
    if outcome.detectors:
        names |= {
            FindingKind.FACE: "FACE",
            FindingKind.PLATE: "PLATE",
            # Height, width and weight of a passage (rule 14); a sign that the profile leaves is no finding.
            FindingKind.LIMIT_SIGN: "LIMIT_HWW",
        }
    return (tags - {""}) | {names[f.kind] for f in findings if f.kind in names}


def open_treated(gate: Gate, item: Cleansed) -> BinaryIO:
    """The treated file, as a seekable file that is never in memory as a whole.

    Raises:
        SealBrokenError: The sealed file was altered; also while reading.
    """
    quarantined = item.classified.quarantined
    context = Context(owner=quarantined.recording, object=quarantined.item, role="treated")
    return buffered(SealedFile(gate.vault.open(item.seal, context)))


def load_cleansed(gate: Gate, session: ReadSession | WriteSession, item: str) -> Cleansed:
    """Load a cleansed item and verify its evidence back to the sealed original.

    Raises:
        StageOrderError: The item was not cleansed.
        EvidenceError: Evidence does not verify, or speaks of another treated file.
    """
    classified = load_classified(gate, session, item)
    verified = evidence.load(
        gate, session, owner=item, stage=Stage.CLEANSED, previous=classified.evidence.digest
    )
    row = session.get_one(ItemRow, item)
    if row.treated_seal is None:
        raise EvidenceError(f"the treated file of {item} is not held")
    found = [evidence.seal_digest(seal) if seal else "" for seal in (row.treated_seal, row.mask_seal)]
    payload = verified.payload
    expected = [*found, classified.quarantined.content_digest]
    if [payload["seal"], payload.get("mask", ""), payload["content_digest"]] != expected:
        raise EvidenceError(f"cleansing evidence of {item} speaks of another file")
    return Cleansed(
        classified=classified,
        seal=row.treated_seal,
        mask=row.mask_seal,
        media_type=payload["media_type"],
        level=Level[payload["level"]],
        payload=payload,
        evidence=verified.ref,
    )
