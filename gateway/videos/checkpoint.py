"""What is done of a video that is being cleansed, sealed piece by piece: a killed worker repeats one segment."""

import hashlib
from collections.abc import Iterator

import rfc8785
import sqlalchemy as sa

from gateway.flow.gate import Gate
from gateway.flow.recording import ItemState, Quarantined
from gateway.flow.records import CleansingCheckpointRow, ItemRow
from gateway.vault.store import Context


def basis_of(gate: Gate, quarantined: Quarantined, *, detectors: str) -> str:
    """SHA-256 over what cleansing rests on: content, profile and detectors; work under another basis is void.

    Args:
        gate: The gate.
        quarantined: The item.
        detectors: Digest of the detector set.
    """
    document = {
        "content": quarantined.content_digest,
        "detectors": detectors,
        "profile": gate.profile.digest,
    }
    return hashlib.sha256(rfc8785.dumps(document)).hexdigest()


class SealedCheckpoint:
    """Pieces of work on one item, each sealed under its recording's key before it counts as done.

    Args:
        gate: The gate.
        quarantined: The item.
        basis: What the work rests on (``basis_of``).
    """

    def __init__(self, gate: Gate, quarantined: Quarantined, basis: str) -> None:
        self._gate = gate
        self._item = quarantined
        self._basis = basis

    def load(self, step: str, number: int) -> bytes | None:
        """A piece that was saved on the same basis, or None.

        Raises:
            SealBrokenError: The stored piece is not the one that was saved.
        """
        with self._gate.database.read() as session:
            row = session.get(CleansingCheckpointRow, (self._item.item, step, number))
        if row is None or row.basis != self._basis:
            return None
        return self._gate.vault.read_all(row.seal, self._context(step, number))

    def chunks(self, step: str, numbers: range) -> Iterator[bytes]:
        """Saved pieces one after another.

        Raises:
            LookupError: One was not saved.
        """
        for number in numbers:
            piece = self.load(step, number)
            if piece is None:
                raise LookupError(f"a piece of the video was not saved (got {step} {number})")
            yield piece

    def save(self, step: str, number: int, content: bytes) -> None:
        """Keep a piece; durable on return, in place of one that was saved on another basis."""
        sealed = self._gate.vault.seal([content], kek_id=self._item.kek, context=self._context(step, number))
        with self._gate.database.transaction() as session:
            row = session.get(CleansingCheckpointRow, (self._item.item, step, number), with_for_update=True)
            replaced = row.seal if row else None
            session.merge(
                CleansingCheckpointRow(
                    item_id=self._item.item,
                    step=step,
                    number=number,
                    basis=self._basis,
                    seal=sealed.manifest_jws,
                )
            )
        if replaced is not None:
            _delete(self._gate, replaced)

    def _context(self, step: str, number: int) -> Context:
        return Context(
            owner=self._item.recording, object=f"{self._item.item}/{step}/{number}", role="checkpoint"
        )


def discard_finished(gate: Gate, recording: str) -> None:
    """Remove the pieces of every item of a recording that nobody works on any more: cleansed, cut or held."""
    with gate.database.read() as session:
        statement = (
            sa.select(CleansingCheckpointRow)
            .join(ItemRow, ItemRow.id == CleansingCheckpointRow.item_id)
            .where(ItemRow.recording_id == recording, ItemRow.state != ItemState.CLASSIFIED)
        )
        finished = list(session.scalars(statement))
    for row in finished:
        # The row forgets a blob only once it is gone.
        _delete(gate, row.seal)
        with gate.database.transaction() as session:
            session.execute(
                sa.delete(CleansingCheckpointRow).where(
                    CleansingCheckpointRow.item_id == row.item_id,
                    CleansingCheckpointRow.step == row.step,
                    CleansingCheckpointRow.number == row.number,
                    CleansingCheckpointRow.seal == row.seal,
                )
            )


def _delete(gate: Gate, seal: str) -> None:
    gate.vault.delete(gate.vault.verified(seal).blob_id, missing_ok=True)
