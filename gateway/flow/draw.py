"""Draw a release's secret anew where its displaced way runs over the true one, before anything is built (law 7).

Under an OFFSET key some stretch of a drive may come to lie on ground that was driven in truth. An item that shows
places there between those of the track is then a finding of the residual scan, as it has to be, and would be left
out. Another key helps. It is drawn

- by what the scan itself says of the items, unlinked and sealed on trial and destroyed again: it stays the judge,
- while the release holds no item: nothing was ever shown under an earlier key that could be joined by it,
- independently of every earlier key, at most :data:`MOST_DRAWS` times in the life of a release, each an entry.

The state has one key, the one drawn last: a gate that is killed at any step goes on with that.
"""

import secrets as random
from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from anonymize.errors import AnonymizeError, ResidualError
from anonymize.geo.crossing import comes_near_truth
from anonymize.geo.displacement import KeyedOffset
from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.database import ReadSession, WriteSession
from gateway.errors import ConflictError
from gateway.flow.acts import recorded
from gateway.flow.gate import Gate
from gateway.flow.kinds.table import ALONG_THE_WAY_KINDS
from gateway.flow.recording import RecordingId, ReleaseMode, ReleaseState, ReleaseTerms
from gateway.flow.records import ReleaseItemRow, ReleaseRow
from gateway.flow.request import unlink_context
from gateway.flow.unlink import Secrets, Trip, trip_of
from gateway.flow.unlinked_item import load_item, unlink_item
from gateway.people.registry import GATE_ACTOR
from gateway.vault.values import open_value, seal_value

MOST_DRAWS: Final = 7
"""One key in forty leads a straight road over itself (400 keys tried): eight that all do are no accident."""
KEY_LENGTH: Final = 32


def drawn_secret(
    gate: Gate, session: ReadSession | WriteSession, terms: ReleaseTerms
) -> tuple[Secrets, bytes]:
    """The secret of a release as drawn last, and the sealed form by which :func:`require_drawn` knows it."""
    row = session.get_one(ReleaseRow, terms.release)
    key = open_value(
        gate.keystore,
        kek_id=row.kek_id,
        context=unlink_context(terms.release),
        sealed=row.unlink_sealed,
    )
    return Secrets(mode=terms.mode, key=key), row.unlink_sealed


def require_drawn(session: WriteSession, release: str, sealed: bytes) -> None:
    """Hold the release's row, and refuse an item that was made under a key that is not the release's any more.

    Raises:
        ConflictError: Another build drew a key in between.
    """
    row = session.get_one(ReleaseRow, release, with_for_update=True)
    if row.unlink_sealed != sealed:
        raise ConflictError(f"another build drew the secret of the release anew (got {release!r})")


def settle_secret(
    gate: Gate, terms: ReleaseTerms, pending: Sequence[str], trips: dict[RecordingId, Trip]
) -> tuple[Secrets, bytes]:
    """The secret that a release is built under; drawn anew while the scan finds places that run over true ones.

    Once an item is built, or no draw is left, the key stays. What then fails the scan is left out by the build.

    Args:
        gate: The gate.
        terms: The release.
        pending: Its cleansed items.
        trips: Filled with trips under the key that is returned, as far as they were looked at.

    Raises:
        EvidenceError: Evidence does not verify.
        ConflictError: Another build works on the release.
        LedgerUnavailableError: No ledger, no draw.
    """
    while True:
        with gate.database.read() as session:
            secrets, sealed = drawn_secret(gate, session, terms)
            fresh = terms.mode is ReleaseMode.OFFSET and not _has_items(session, terms.release)
        trips.clear()
        if not fresh or not _collides(gate, terms, secrets, pending, trips):
            return secrets, sealed
        if (draws := _draws(gate, terms.release)) >= MOST_DRAWS:
            return secrets, sealed
        _draw(gate, terms, draw=draws + 1, instead_of=sealed)


def _has_items(session: ReadSession | WriteSession, release: str) -> bool:
    built = sa.select(ReleaseItemRow.item_id).where(ReleaseItemRow.release_id == release).limit(1)
    return session.scalar(built) is not None


def _draws(gate: Gate, release: str) -> int:
    """How many draws the release has had, one that was killed between intent and effect included."""
    wanted = EntryFilter(release=release, types=(EventType.RELEASE_KEY_DRAW,), outcome=Outcome.INTENT)
    with gate.ledger.snapshot() as snapshot:
        return sum(1 for _ in find_all(snapshot, wanted))


def _draw(gate: Gate, terms: ReleaseTerms, *, draw: int, instead_of: bytes) -> None:
    with recorded(
        gate,
        EventType.RELEASE_KEY_DRAW,
        actor=GATE_ACTOR.id,
        object_id=terms.release,
        release=terms.release,
        purpose=terms.purpose,
        recipient=terms.recipient,
        facts={"draw": draw, "most": MOST_DRAWS, "reason": ResidualError.reason},
    ) as session:
        require_drawn(session, terms.release, instead_of)
        row = session.get_one(ReleaseRow, terms.release)
        if row.state != ReleaseState.REQUESTED or _has_items(session, terms.release):
            raise ConflictError(f"another build works on the release (got {terms.release!r})")
        row.unlink_sealed = seal_value(
            gate.keystore,
            kek_id=row.kek_id,
            context=unlink_context(terms.release),
            plaintext=random.token_bytes(KEY_LENGTH),
        )


def _collides(
    gate: Gate,
    terms: ReleaseTerms,
    secrets: Secrets,
    pending: Sequence[str],
    trips: dict[RecordingId, Trip],
) -> bool:
    """Whether the scan refuses an item that shows places of a way, where that way displaced runs over itself.

    What fails otherwise fails under every key, and is left out by the build.
    """
    crossing = {each for each in terms.recordings if _runs_over_itself(gate, each, secrets, trips)}
    for item in pending if crossing else ():
        try:
            with gate.database.read() as session:
                cleansed, trip = load_item(gate, session, item, secrets, trips)
            if trip.recording in crossing and cleansed.classified.kind in ALONG_THE_WAY_KINDS:
                tried = unlink_item(gate, terms.release, secrets, cleansed, trip, {})
                gate.vault.delete(tried.sealed.blob_id)
        except ResidualError:
            return True
        except AnonymizeError:
            continue
    return False


def _runs_over_itself(
    gate: Gate, recording: RecordingId, secrets: Secrets, trips: dict[RecordingId, Trip]
) -> bool:
    try:
        with gate.database.read() as session:
            trips[recording] = trip_of(gate, session, recording, secrets)
        offset = KeyedOffset(secrets.key, gate.profile.profile.tracks)
        return comes_near_truth(trips[recording].tracks, offset)
    except AnonymizeError:  # of its tracks or of the offset: the build says so of each item
        return False
