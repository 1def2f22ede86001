"""Intake: announce a recording under policy, receive its items sealed, never lose what was acknowledged.

A recording that no certificate covers is received all the same, and held (``gateway.flow.scope``).
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import rfc8785
import sqlalchemy as sa

from anonymize.geo.crs_names import canonical_name
from audit.events import EventType
from audit.intent import Intent
from gateway.database import ReadSession, WriteSession
from gateway.errors import (
    ConflictError,
    DigestMismatchError,
    EvidenceError,
    InvalidRequestError,
    NotFoundError,
)
from gateway.flow import evidence
from gateway.flow.acts import intended, recorded, refused
from gateway.flow.deciding import decide, instant, policy_facts, profile_facts
from gateway.flow.disk import require_disk
from gateway.flow.gate import Gate
from gateway.flow.recording import (
    DataClass,
    ItemId,
    ItemState,
    Quarantined,
    RecordingId,
    RecordingState,
    Stage,
)
from gateway.flow.records import ItemRow, RecordingRow, RejectedUploadRow
from gateway.flow.scope import judge_scope
from gateway.people.records import CarrierRow, PersonRow
from gateway.people.registry import Actor
from gateway.people.zones import zones_in_force
from gateway.vault.intake_generations import accepted_keys, destroyed_keys
from gateway.vault.store import Context, SealedObject
from gateway.vault.values import open_value, seal_value
from gateway.vehicles.errors import SealedDeliveryError
from gateway.vehicles.manifest import Manifest, ManifestItem, parse_manifest
from gateway.vehicles.outbox import context_of
from gateway.vehicles.sealing import open_secret, opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A manifest and how it reached the gate.

    Attributes:
        manifest: What the sender announces.
        source: ``vehicle`` or ``carrier``.
        manifest_signed: Whether an enrolled vehicle's signature over the manifest was verified.
        zone_attestation: A compliance officer's statement that items without a position lie outside every
            restricted zone, with the reason; ``None`` leaves such items in quarantine.
        manifest_sealed: Whether the manifest arrived sealed to this gate.
        carrier: The disk that a vehicle's own manifest came on; ``None`` where the manifest names the carrier
            itself.
    """

    manifest: Manifest
    source: str
    manifest_signed: bool
    zone_attestation: str | None = None
    manifest_sealed: bool = False
    carrier: str | None = None


_DECLARED_BY_EXTENSION = {
    "jpg": DataClass.EXT_IMAGE,
    "jpeg": DataClass.EXT_IMAGE,
    "png": DataClass.EXT_IMAGE,
    "heic": DataClass.EXT_IMAGE,
    "heif": DataClass.EXT_IMAGE,
    **dict.fromkeys(("mp4", "mov", "mkv", "h264", "264", "hevc", "265"), DataClass.EXT_VIDEO),
    "gpx": DataClass.TRAJ_ABS,
    "csv": DataClass.TRAJ_ABS,
    "geojson": DataClass.TRAJ_ABS,
    "nmea": DataClass.TRAJ_ABS,
    **dict.fromkeys(("mcap", "bag", "db3"), DataClass.EXT_VIDEO),
    **dict.fromkeys(("bin", "pcd", "las", "laz"), DataClass.POINT_CLOUD),
    **dict.fromkeys(("osm", "pbf"), DataClass.MAP_VECTOR),
    "json": DataClass.VEH_ID,
    "txt": DataClass.VEH_ID,
}


def declared_classes(manifest: Manifest) -> list[str]:
    """Classes that a manifest announces by its flags and file names; content is what classification goes by."""
    names = (item.name.lower().removesuffix(".gz").rsplit(".", 1)[-1] for item in manifest.items)
    found = {_DECLARED_BY_EXTENSION[ext].value for ext in names if ext in _DECLARED_BY_EXTENSION}
    flags = (("CABIN", manifest.cabin), ("AUDIO", manifest.audio))
    return sorted(found | {name for name, on in flags if on})


def item_id_of(gate: Gate, recording: str, position: int) -> ItemId:
    """A stable pseudonymous item id, so that a repeated announcement finds the same items."""
    mac = hmac.new(gate.keystore.secret("digest"), f"{recording}/{position}".encode(), hashlib.sha256)
    return ItemId(mac.hexdigest()[:32])


def _keyed_digest(gate: Gate, content: bytes) -> str:
    return hmac.new(gate.keystore.secret("digest"), content, hashlib.sha256).hexdigest()


def _manifest_context(recording: str) -> bytes:
    return rfc8785.dumps({"owner": recording, "role": "manifest"})


def announce(gate: Gate, delivery: Delivery, *, actor: Actor) -> RecordingId:
    """Accept a recording's manifest; announcing the same manifest again changes nothing.

    Raises:
        ConflictError: The recording id is taken by another manifest.
        SealedDeliveryError: It is sealed to another key or as another recording, or not sealed where it must be.
        DeniedError: Policy refuses the recording (rules 1-3, 20, 23, 25, 26). That no certificate covers it (rule
            7) is no refusal: it is received, and held in quarantine.
        EvidenceError: A paper about certificates, delegations or units does not verify.
        DiskLowError: Too little space is left.
        LedgerUnavailableError: No ledger, no intake.
    """
    manifest = delivery.manifest
    _check_sealing(gate, delivery, actor=actor)
    recording = RecordingId(manifest.recording)
    content = rfc8785.dumps(manifest.payload())
    digest = _keyed_digest(gate, content)
    if _announced(gate, manifest, digest, actor=actor):
        return recording
    require_disk(gate)
    with gate.database.read() as session:
        question = _intake_question(gate, session, delivery, actor)
    decide(
        gate, EventType.JUDGE_INTAKE_DECIDE, question, actor=actor, object_id=recording, recording=recording
    )
    held = judge_scope(gate, manifest, manifest_digest=digest)
    try:
        _store_announcement(gate, delivery, actor=actor, content=content, digest=digest, held=held)
    except sa.exc.IntegrityError:
        # The same id was announced in the same moment: the same manifest is no contradiction.
        if not _announced(gate, manifest, digest, actor=actor):
            raise
    return recording


def _check_sealing(gate: Gate, delivery: Delivery, *, actor: Actor) -> None:
    manifest = delivery.manifest
    try:
        if manifest.sealing is not None:
            open_secret(
                manifest.sealing,
                manifest.vehicle,
                manifest.recording,
                *accepted_keys(gate.keystore, gate.clock()),
                destroyed=destroyed_keys(gate.keystore),
            )
        if gate.settings.require_sealed_delivery and not (manifest.sealing and delivery.manifest_sealed):
            raise SealedDeliveryError("recording is not sealed (expected it sealed to this gate)")
    except SealedDeliveryError as error:
        refused(
            gate,
            EventType.INTAKE_RECORDING_RECEIVE,
            actor=actor.id,
            object_id=manifest.recording,
            reason=error.reason,
        )
        raise


def _announced(gate: Gate, manifest: Manifest, digest: str, *, actor: Actor) -> bool:
    """Whether exactly this manifest was announced.

    Raises:
        ConflictError: The recording id is taken by another manifest; the attempt is in the ledger.
    """
    with gate.database.read() as session:
        present = session.get(RecordingRow, manifest.recording)
    if present is None:
        return False
    if present.manifest_digest != digest or present.source_id != manifest.vehicle:
        refused(
            gate,
            EventType.INTAKE_RECORDING_RECEIVE,
            actor=actor.id,
            object_id=manifest.recording,
            reason="conflict",
        )
        raise ConflictError(f"recording is announced with another manifest (got {manifest.recording!r})")
    return True


def _store_announcement(
    gate: Gate, delivery: Delivery, *, actor: Actor, content: bytes, digest: str, held: int | None
) -> None:
    manifest = delivery.manifest
    recording = manifest.recording
    kek = f"rec-{recording}"
    attestation = _attestation_digest(gate, delivery.zone_attestation)
    with recorded(
        gate,
        EventType.INTAKE_RECORDING_RECEIVE,
        actor=actor.id,
        object_id=recording,
        recording=recording,
        vehicle=manifest.vehicle,
        digests={
            **actor.digests,
            "manifest": digest,
            **({"attestation": attestation} if attestation else {}),
        },
        facts={
            "items": len(manifest.items),
            "source": delivery.source,
            **({} if held is None else {"held": True}),
        },
    ) as session:
        gate.keystore.ensure_kek(kek)
        session.add(
            RecordingRow(
                id=recording,
                source_kind=delivery.source,
                source_id=manifest.vehicle,
                kek_id=kek,
                state=RecordingState.RECEIVED,
                manifest_digest=digest,
                manifest_sealed=seal_value(
                    gate.keystore, kek_id=kek, context=_manifest_context(recording), plaintext=content
                ),
                item_count=len(manifest.items),
                region=manifest.region,
                crs=manifest.crs,
                started_at=manifest.started_at,
                ended_at=manifest.ended_at,
                zone_attestation=attestation,
                held_entry=held,
                received_at=gate.clock(),
            )
        )
        session.flush()
        session.add_all(
            ItemRow(id=item_id_of(gate, recording, i), recording_id=recording, position=i)
            for i in range(len(manifest.items))
        )


def _attestation_digest(gate: Gate, attestation: str | None) -> str | None:
    return None if attestation is None else _keyed_digest(gate, attestation.encode())


def _intake_question(gate: Gate, session: ReadSession, delivery: Delivery, actor: Actor) -> dict[str, Any]:
    manifest = delivery.manifest
    named = delivery.carrier or manifest.vehicle
    carrier = session.get(CarrierRow, named) if delivery.source == "carrier" else None
    officer = session.get(PersonRow, carrier.checked_in_by) if carrier else None
    role = "compliance_officer" if officer and "compliance_officer" in officer.roles else None
    zones = zones_in_force(gate, session)
    return {
        "point": "intake",
        "subject": {
            "id": actor.id,
            "roles": list(actor.roles),
            "kind": actor.kind,
            "enrolled": True,
            "nationality": actor.nationality or gate.settings.country,
        },
        "action": {"name": "ingest"},
        "resource": {
            "recording": manifest.recording,
            "source": delivery.source,
            "manifest_signed": delivery.manifest_signed,
            "carrier_registered": carrier is not None,
            "carrier_checked_in_by_role": role,
            "crs": canonical_name(manifest.crs),
            "item_count": len(manifest.items),
            "classes_declared": declared_classes(manifest),
            "started_at": instant(manifest.started_at),
            "ended_at": instant(manifest.ended_at),
        },
        "context": {
            "time": instant(gate.clock()),
            "profile": profile_facts(gate),
            "policy": policy_facts(gate),
            "zone_file": {
                "installed": zones is not None,
                "signed": zones is not None,
                "digest": zones.digest if zones else None,
            },
            "vault": {"suite": gate.keystore.suite.name, "keys_held_by_operator": True},
            "accredited_for_secrets": gate.settings.accredited_for_secrets,
        },
    }


def load_manifest(gate: Gate, session: ReadSession | WriteSession, recording: str) -> Manifest:
    """The sealed manifest of a recording, verified against its recorded digest.

    Opening and checking are done once for as long as the same sealed bytes, key and digest are recorded; that the
    key lives is asked each time.

    Raises:
        NotFoundError: There is no such recording.
        EvidenceError: The manifest is not the one that was announced.
        KeyDestroyedError: The recording was erased.
    """
    row = session.get(RecordingRow, recording)
    if row is None:
        raise NotFoundError(f"no such recording (got {recording!r})")
    if not gate.keystore.has_kek(row.kek_id):
        gate.announced.forget(recording)
    found = gate.announced.find(recording, row.manifest_sealed)
    if found is not None and found[:2] == (row.kek_id, row.manifest_digest):
        return found[2]
    content = open_value(
        gate.keystore, kek_id=row.kek_id, context=_manifest_context(recording), sealed=row.manifest_sealed
    )
    if _keyed_digest(gate, content) != row.manifest_digest:
        raise EvidenceError(f"manifest of {recording} is not the one announced")
    manifest = parse_manifest(json.loads(content))
    gate.announced.keep(recording, row.manifest_sealed, (row.kek_id, row.manifest_digest, manifest))
    return manifest


def receive_item(
    gate: Gate, recording: str, position: int, chunks: Iterable[bytes], *, actor: Actor
) -> ItemState:
    """Seal one delivered item; returning means that it is durable. Receiving it again changes nothing.

    Raises:
        NotFoundError: The recording or item was not announced.
        DiskLowError: Too little space is left.
        DigestMismatchError: Size or SHA-256 are not the announced ones; the bytes are kept as rejected.
        SealedDeliveryError: The vehicle sealed the item, and this does not open as it; nothing is kept.
        LedgerUnavailableError: No ledger, no intake.
        StorageError: The disk refused; nothing was acknowledged.
    """
    with gate.database.read() as session:
        row = session.scalar(
            sa.select(ItemRow).where(ItemRow.recording_id == recording, ItemRow.position == position)
        )
        if row is None:
            raise NotFoundError(f"no such item was announced (got {recording!r}, position {position})")
        if row.state != ItemState.AWAITED:
            return ItemState(row.state)
        manifest = load_manifest(gate, session, recording)
        owner = session.get_one(RecordingRow, recording)
    require_disk(gate)
    event = intended(
        EventType.INTAKE_ITEM_RECEIVE,
        actor=actor.id,
        object_id=row.id,
        item=row.id,
        recording=recording,
        vehicle=owner.source_id,
        digests=actor.digests,
    )
    with gate.ledger.intent(event) as intent:
        try:
            sealed = gate.vault.seal(
                _bounded(_plaintext(gate, manifest, position, chunks), gate.settings.max_item_bytes),
                kek_id=owner.kek_id,
                context=Context(owner=recording, object=row.id, role="original"),
            )
        except SealedDeliveryError as error:
            # Bytes that do not authenticate are nobody's: nothing of them is kept.
            intent.refuse(facts={"reason": error.reason})
            raise
        announced = manifest.items[position]
        if (sealed.plaintext_length, sealed.plaintext_sha256) != (announced.size, announced.sha256):
            _keep_rejected(gate, intent, row=row, sealed=sealed)
            raise DigestMismatchError(_mismatch(announced, sealed))
        return _store_received(gate, intent, row=row, owner=owner, sealed=sealed)


def _plaintext(gate: Gate, manifest: Manifest, position: int, chunks: Iterable[bytes]) -> Iterable[bytes]:
    """What was delivered, opened in memory on its way to the vault where the vehicle sealed it."""
    if manifest.sealing is None:
        return chunks
    return opened(
        chunks,
        manifest.sealing,
        context_of(manifest, position),
        *accepted_keys(gate.keystore, gate.clock()),
        destroyed=destroyed_keys(gate.keystore),
    )


def _mismatch(announced: ManifestItem, sealed: SealedObject) -> str:
    return (
        f"item {announced.name!r} is not what the manifest announces (got {sealed.plaintext_length} bytes of "
        f"SHA-256 {sealed.plaintext_sha256}, expected {announced.size} of {announced.sha256})"
    )


def _bounded(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    total = 0
    for chunk in chunks:
        total += len(chunk)
        if total > limit:
            raise InvalidRequestError(f"item is larger than this gate accepts (got over {limit} bytes)")
        yield chunk


def _keep_rejected(gate: Gate, intent: Intent, *, row: ItemRow, sealed: SealedObject) -> None:
    with gate.database.transaction() as session:
        session.add(
            RejectedUploadRow(
                id=secrets.token_hex(16),
                item_id=row.id,
                seal=sealed.manifest_jws,
                content_digest=sealed.content_digest,
                reason=DigestMismatchError.reason,
                received_at=gate.clock(),
            )
        )
    intent.refuse(digests={"content": sealed.content_digest}, facts={"reason": DigestMismatchError.reason})


def _store_received(
    gate: Gate, intent: Intent, *, row: ItemRow, owner: RecordingRow, sealed: SealedObject
) -> ItemState:
    attested = evidence.attest(
        gate,
        intent,
        owner=row.id,
        stage=Stage.RECEIVED,
        kek_id=owner.kek_id,
        previous=evidence.GENESIS,
        payload={
            "content_digest": sealed.content_digest,
            "manifest": owner.manifest_digest,
            "position": row.position,
            "seal": evidence.seal_digest(sealed.manifest_jws),
            "size": sealed.plaintext_length,
        },
        digests={"content": sealed.content_digest, "manifest": owner.manifest_digest},
    )
    with gate.database.transaction() as session:
        # Two last items that arrive at once would each see the other awaited: they take turns at the recording.
        recording = session.get_one(RecordingRow, owner.id, with_for_update=True)
        current = session.get_one(ItemRow, row.id, with_for_update=True)
        if current.state != ItemState.AWAITED:
            return ItemState(current.state)
        session.add(attested)
        current.original_seal = sealed.manifest_jws
        current.content_digest = sealed.content_digest
        current.state = ItemState.QUARANTINED
        session.flush()
        awaited = session.scalar(
            sa.select(sa.literal(1))
            .where(ItemRow.recording_id == owner.id, ItemRow.state == ItemState.AWAITED)
            .limit(1)
        )
        if awaited is None:
            recording.state = RecordingState.QUARANTINED
        return ItemState.QUARANTINED


def load_quarantined(gate: Gate, session: ReadSession | WriteSession, item: str) -> Quarantined:
    """Load an item in quarantine and verify what its evidence says of the sealed original.

    Where the original expired (rule 21), the evidence still holds its digests and later stages rest on them.

    Raises:
        StageOrderError: The item was not received.
        EvidenceError: The evidence does not verify or speaks of another seal.
    """
    verified = evidence.load(gate, session, owner=item, stage=Stage.RECEIVED, previous=evidence.GENESIS)
    row = session.get_one(ItemRow, item)
    owner = session.get_one(RecordingRow, row.recording_id)
    payload = verified.payload
    if (payload["content_digest"], payload["manifest"]) != (row.content_digest, owner.manifest_digest):
        raise EvidenceError(f"evidence of {item} speaks of another original")
    if row.original_seal is None:
        if owner.raw_expired_at is None:
            raise EvidenceError(f"the original of {item} is no longer held")
    elif payload["seal"] != evidence.seal_digest(row.original_seal):
        raise EvidenceError(f"evidence of {item} speaks of another sealed original")
    return Quarantined(
        recording=RecordingId(owner.id),
        item=ItemId(item),
        index=row.position,
        kek=owner.kek_id,
        seal=row.original_seal,
        content_digest=payload["content_digest"],
        evidence=verified.ref,
    )
