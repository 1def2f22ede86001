"""One item under a release's secret: unlinked, sealed, and searched as it would leave (law 7, rule 10)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from anonymize.errors import AnonymizeError, ResidualError
from anonymize.residual import joined
from gateway.database import ReadSession
from gateway.flow.classify import buffered
from gateway.flow.cleanse import load_cleansed, open_treated
from gateway.flow.gate import Gate
from gateway.flow.kinds.handling import Series, Settled, Unlinked, chunks_of
from gateway.flow.kinds.table import handler_of
from gateway.flow.recording import Cleansed, RecordingId
from gateway.flow.unlink import Secrets, Trip, released_stem, trip_of
from gateway.vault.seekable import SealedFile
from gateway.vault.store import Context, SealedObject


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedItem:
    """An item that passed every search under a release's secret.

    Attributes:
        name: Its name in the release.
        series: Its place among what one sensor took.
        unlinked: What the second pass made of it.
        sealed: Its sealed bytes.
        settled: What the looks at them told.
    """

    name: str
    series: Series
    unlinked: Unlinked
    sealed: SealedObject
    settled: Settled


def load_item(
    gate: Gate, session: ReadSession, item: str, secrets: Secrets, trips: dict[RecordingId, Trip]
) -> tuple[Cleansed, Trip]:
    """A cleansed item and the trip that it is of, which is kept in ``trips``.

    Raises:
        EvidenceError: Evidence does not verify.
        AnonymizeError: A track of the recording cannot be read.
    """
    cleansed = load_cleansed(gate, session, item)
    recording = cleansed.classified.quarantined.recording
    if recording not in trips:
        trips[recording] = trip_of(gate, session, recording, secrets)
    return cleansed, trips[recording]


def unlink_item(
    gate: Gate, release: str, secrets: Secrets, cleansed: Cleansed, trip: Trip, released: Mapping[str, str]
) -> SealedItem:
    """Unlink, seal and search one item; nothing is recorded, and what does not pass is destroyed again.

    Args:
        gate: The gate.
        release: The release.
        secrets: Its mode and secret.
        cleansed: The item.
        trip: What the items of its recording share.
        released: Names in the release so far, by item.

    Raises:
        AnonymizeError: It cannot be unlinked, or still shows an absolute position or time.
    """
    quarantined = cleansed.classified.quarantined
    unlinking = trip.unlinking(quarantined.item, released)
    handler = handler_of(cleansed.classified.kind)
    unlinked = handler.unlink(gate, cleansed, open_treated(gate, cleansed), unlinking)
    name = f"{released_stem(secrets.key, quarantined.item)}.{unlinked.extension}"
    # Sealed under the recording's key: destroying that key makes released copies unreadable, too (law 9).
    context = Context(owner=release, object=name, role="release")
    sealed = gate.vault.seal(unlinked.chunks, kek_id=quarantined.kek, context=context)
    settled = _settled(gate, unlinked, sealed, context, trip)
    return SealedItem(name=name, series=unlinking.series, unlinked=unlinked, sealed=sealed, settled=settled)


def _settled(gate: Gate, unlinked: Unlinked, sealed: SealedObject, context: Context, trip: Trip) -> Settled:
    """What the looks at a sealed item tell: the scan of its kind, and the search that every output must pass.

    Raises:
        ResidualError: It still shows an absolute position or time; what was sealed is destroyed.
    """
    try:
        file = buffered(SealedFile(gate.vault.open(sealed.manifest_jws, context)))
        settled = unlinked.settle(file)
        content = (unlinked.expanded or chunks_of)(file)
        found = trip.search(unlinked).scan(content, media_type=unlinked.media_type)
        residual = found if settled.residual is None else joined(settled.residual, found)
        if not residual.clean:
            kinds = sorted({f.kind.value for f in residual.residual})
            raise ResidualError(f"the unlinked item still shows {', '.join(kinds)}")
    except AnonymizeError:
        gate.vault.delete(sealed.blob_id)
        raise
    return replace(settled, residual=residual)
