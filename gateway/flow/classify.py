"""Classify: what an item is, how sensitive it is, and the facts that led to it (COMPLIANCE.md §2)."""

import io
from typing import BinaryIO

from anonymize.formats.gzip_member import expand
from anonymize.formats.identify import HEAD_BYTES, Identified, ItemKind, identify, identify_in_place
from anonymize.geo.zones import ZoneSet
from audit.events import EventType
from gateway.database import ReadSession, WriteSession
from gateway.errors import EvidenceError
from gateway.flow import evidence
from gateway.flow.acts import intended
from gateway.flow.gate import Gate
from gateway.flow.intake import load_quarantined
from gateway.flow.kinds.handling import FLEET_PLACES, Examination
from gateway.flow.kinds.table import handler_of
from gateway.flow.recording import Classified, DataClass, ItemState, Level, Quarantined, Stage
from gateway.flow.records import ItemRow
from gateway.vault.seekable import WINDOW_BYTES, SealedFile
from gateway.vault.store import Context
from gateway.vehicles.manifest import ManifestItem


def open_original(gate: Gate, quarantined: Quarantined) -> SealedFile:
    """The original as it was delivered, as a seekable file that is never in memory as a whole.

    Raises:
        EvidenceError: The original is no longer held.
        SealBrokenError: The sealed original was altered; also while reading.
    """
    if quarantined.seal is None:
        raise EvidenceError(f"the original of {quarantined.item} is no longer held")
    context = Context(owner=quarantined.recording, object=quarantined.item, role="original")
    return SealedFile(gate.vault.open(quarantined.seal, context))


def readable_original(gate: Gate, quarantined: Quarantined, *, encoding: str | None) -> BinaryIO:
    """The original as handlers read it: where it lies, or expanded in memory within the profile's limits.

    Raises:
        EvidenceError: The original is no longer held.
        SealBrokenError: The sealed original was altered; also while reading.
        LimitExceededError: It expands beyond the profile's ratio.
    """
    original = open_original(gate, quarantined)
    return buffered(original) if encoding is None else _expanded(gate, original)


def buffered(sealed: SealedFile) -> BinaryIO:
    """A sealed file for readers of ordinary files."""
    return io.BufferedReader(sealed, buffer_size=WINDOW_BYTES)


def _expanded(gate: Gate, original: SealedFile) -> BinaryIO:
    content = expand(
        original.read(), max_bytes=gate.settings.max_item_bytes, max_ratio=gate.profile.profile.max_expansion
    )
    return io.BytesIO(content)


def classify_item(
    gate: Gate,
    quarantined: Quarantined,
    announced: ManifestItem,
    *,
    crs: str,
    zones: ZoneSet | None,
    actor: str,
) -> None:
    """Classify one item and attest the result.

    Raises:
        AnonymizeError: The item is not understood; the caller holds it.
    """
    event = intended(
        EventType.CLASSIFY_ITEM_CLASSIFY,
        actor=actor,
        object_id=quarantined.item,
        item=quarantined.item,
        recording=quarantined.recording,
        digests={"content": quarantined.content_digest},
    )
    with gate.ledger.intent(event) as intent:
        original = open_original(gate, quarantined)
        identified, found = examine(gate, announced.name, original, crs=crs, zones=zones)
        row = evidence.attest(
            gate,
            intent,
            owner=quarantined.item,
            stage=Stage.CLASSIFIED,
            kek_id=quarantined.kek,
            previous=quarantined.evidence.digest,
            payload={
                "kind": identified.kind.value,
                "encoding": identified.encoding,
                "class": found.data_class.value,
                "level": found.level.name,
                "tags": sorted(set(found.tags) - FLEET_PLACES),
                "facts": dict(found.facts),
                "content_digest": quarantined.content_digest,
            },
            facts={"class": found.data_class.value, "level": found.level.name},
        )
        with gate.database.transaction() as session:
            current = session.get_one(ItemRow, quarantined.item, with_for_update=True)
            if current.state == ItemState.QUARANTINED:
                session.add(row)
                current.state = ItemState.CLASSIFIED


def examine(
    gate: Gate, name: str, original: SealedFile, *, crs: str, zones: ZoneSet | None
) -> tuple[Identified, Examination]:
    """What an item is; pure apart from the analyzers' models. What may be large is read where it lies.

    Raises:
        AnonymizeError: Unknown format, wrong extension, malformed content, unknown CRS or over a limit.
        SealBrokenError: The sealed original was altered.
    """
    size = original.length
    identified = identify_in_place(name, original.read(HEAD_BYTES))
    original.seek(0)
    if identified is None:
        identified = identify(name, original.read())
        original.seek(0)
    content = buffered(original) if identified.encoding is None else _expanded(gate, original)
    found = handler_of(identified.kind).examine(gate, identified.kind, content, crs=crs, zones=zones)
    facts = {**found.facts, "bytes": size}
    return identified, Examination(
        data_class=found.data_class, level=found.level, tags=found.tags, facts=facts
    )


def load_classified(gate: Gate, session: ReadSession | WriteSession, item: str) -> Classified:
    """Load a classified item and verify its evidence back to the sealed original.

    Raises:
        StageOrderError: The item was not classified.
        EvidenceError: Evidence of this or the earlier stage does not verify.
    """
    quarantined = load_quarantined(gate, session, item)
    verified = evidence.load(
        gate, session, owner=item, stage=Stage.CLASSIFIED, previous=quarantined.evidence.digest
    )
    payload = verified.payload
    if payload["content_digest"] != quarantined.content_digest:
        raise EvidenceError(f"classification of {item} speaks of other content")
    return Classified(
        quarantined=quarantined,
        kind=ItemKind(payload["kind"]),
        encoding=payload["encoding"],
        data_class=DataClass(payload["class"]),
        level=Level[payload["level"]],
        tags=tuple(payload["tags"]),
        facts=payload["facts"],
        evidence=verified.ref,
    )
