"""What is done of a video that is being cleansed, sealed piece by piece: a killed worker repeats one segment."""

import hashlib
from collections.abc import Sequence

import rfc8785
import sqlalchemy as sa

from gateway.flow.gate import Gate
from gateway.flow.recording import ItemState, Quarantined
from gateway.flow.records import CleansingCheckpointRow, ItemRow
from gateway.vault.store import Context


def basis_of(
    gate: Gate, quarantined: Quarantined, *, detectors: str, cut: Sequence[tuple[float, float]] = ()
) -> str:
    """SHA-256 over what cleansing rests on; work under another basis is void.

    That is the content, the profile, the detectors, and which seconds are cut.

    Args:
        gate: The gate.
        quarantined: The item.
        detectors: Digest of the detector set.
        cut: Closed spans of seconds that do not leave.
    """
    document = {
        # Ends may be infinite, which JSON cannot say.
        "cut": [[repr(float(end)) for end in span] for span in cut],
        "content": quarantined.content_digest,
        "detectors": detectors,
        "profile": gate.profile.digest,
    }
    return hashlib.sha256(rfc8785.dumps(document)).hexdigest()


class SealedCheckpoint:
    """Progress on one item, each piece sealed under its recording's key before it counts as done.

    Implements ``anonymize.media.video.checkpoint.Checkpoint``.

    Args:
        gate: The gate.
        quarantined: The item.
        basis: What the work rests on (``basis_of``).
    """

    def __init__(self, gate: Gate, quarantined: Quarantined, basis: str) -> None:
        self._gate = gate
        self._item = quarantined
        self._basis = basis

    def load(self, name: str) -> bytes | None:
        """What was saved last under a name on the same basis; None where there is nothing.

        Raises:
            SealBrokenError: The stored piece is not the one that was saved.
        """
        with self._gate.database.read() as session:
            row = session.get(CleansingCheckpointRow, (self._item.item, name))
        if row is None or row.basis != self._basis:
            return None
        return self._gate.vault.read_all(row.seal, self._context(name))

    def save(self, name: str, content: bytes) -> None:
        """Save, in place of what the name held; durable on return, and after a crash all of it or nothing.

        Raises:
            StorageError: The disk refused; what the name held is still there.
        """
        sealed = self._gate.vault.seal([content], kek_id=self._item.kek, context=self._context(name))
        with self._gate.database.transaction() as session:
            row = session.get(CleansingCheckpointRow, (self._item.item, name), with_for_update=True)
            replaced = row.seal if row else None
            session.merge(
                CleansingCheckpointRow(
                    item_id=self._item.item, name=name, basis=self._basis, seal=sealed.manifest_jws
                )
            )
        if replaced is not None:
            _delete(self._gate, replaced)

    def clear(self) -> None:
        """Forget everything that was saved of the item."""
        with self._gate.database.read() as session:
            statement = sa.select(CleansingCheckpointRow).where(
                CleansingCheckpointRow.item_id == self._item.item
            )
            rows = list(session.scalars(statement))
        _discard(self._gate, rows)

    def _context(self, name: str) -> Context:
        return Context(owner=self._item.recording, object=f"{self._item.item}/{name}", role="checkpoint")


def discard_finished(gate: Gate, recording: str) -> None:
    """Remove the progress on every item of a recording that nobody works on any more: cleansed, cut or held."""
    with gate.database.read() as session:
        statement = (
            sa.select(CleansingCheckpointRow)
            .join(ItemRow, ItemRow.id == CleansingCheckpointRow.item_id)
            .where(ItemRow.recording_id == recording, ItemRow.state != ItemState.CLASSIFIED)
        )
        finished = list(session.scalars(statement))
    _discard(gate, finished)


def _discard(gate: Gate, rows: Sequence[CleansingCheckpointRow]) -> None:
    for row in rows:
        # The row forgets a blob only once it is gone.
        _delete(gate, row.seal)
        with gate.database.transaction() as session:
            session.execute(
                sa.delete(CleansingCheckpointRow).where(
                    CleansingCheckpointRow.item_id == row.item_id,
                    CleansingCheckpointRow.name == row.name,
                    CleansingCheckpointRow.seal == row.seal,
                )
            )


def _delete(gate: Gate, seal: str) -> None:
    gate.vault.delete(gate.vault.verified(seal).blob_id, missing_ok=True)
