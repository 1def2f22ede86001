"""Exports: a stream of JSON lines that `audit/verify.py` checks with nothing but the public key.

The header states the checkpoint, then comes one line per entry with its inclusion proof, and a footer with
the number of entries, the SHA-256 of all bytes before it and the ledger's signature over both. So a lost,
added or changed line shows, in a complete export and in a filtered one alike.
"""

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from audit.canonical import canonical_bytes
from audit.checkpoint import CheckpointSigner, verify_checkpoint
from audit.ledger import Ledger
from audit.query import EntryFilter, find_all
from audit.snapshot import Snapshot

EXPORT_FORMAT = "fleetgate-ledger-export"
EXPORT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSummary:
    """What an export holds: entries, size of its checkpoint's tree, SHA-256 (hex) of its lines."""

    count: int
    size: int
    digest: str


def export_ledger(
    ledger: Ledger, stream: IO[bytes], *, wanted: EntryFilter | None = None, note: str | None = None
) -> ExportSummary:
    """Write an export of all entries, or of those that match, up to a fresh checkpoint.

    Args:
        ledger: What to export.
        stream: Where to write; JSON lines, UTF-8.
        wanted: Filter; None exports every entry.
        note: The checkpoint to export up to, cosigned or not; a fresh one where None.

    Raises:
        SignatureError: if ``note`` is no checkpoint of this ledger.
        LedgerCorruptError: if the ledger contradicts its latest checkpoint.
        VerificationError: if a stored leaf does not verify; the export then lacks its footer and is refused.
    """
    note = ledger.checkpoint() if note is None else note
    size = verify_checkpoint(note, ledger.signer.vkey).size
    digest = hashlib.sha256()
    count = -1
    with ledger.snapshot() as snapshot:
        for line in _lines(snapshot, ledger.signer, note, size, wanted):
            digest.update(line)
            stream.write(line)
            count += 1
    stream.write(_footer(ledger.signer, count, digest.hexdigest()))
    return ExportSummary(count=count, size=size, digest=digest.hexdigest())


def statement_text(origin: str, count: int, digest: str) -> str:
    """Return the note text that the ledger signs about an export."""
    return f"{EXPORT_FORMAT} v{EXPORT_VERSION}\n{origin}\n{count}\n{digest}\n"


def _lines(
    snapshot: Snapshot, signer: CheckpointSigner, note: str, size: int, wanted: EntryFilter | None
) -> Iterator[bytes]:
    yield _line(
        {
            "format": EXPORT_FORMAT,
            "version": EXPORT_VERSION,
            "origin": signer.origin,
            "vkey": signer.vkey,
            "checkpoint": note,
            "filter": None if wanted is None else wanted.criteria(),
        }
    )
    found = snapshot.entries(0, size) if wanted is None else find_all(snapshot, wanted, below=size)
    for entry in found:
        proof = [item.hex() for item in snapshot.inclusion_proof(entry.index, size)]
        yield _line({"index": entry.index, "leaf": base64.b64encode(entry.leaf).decode(), "proof": proof})


def _footer(signer: CheckpointSigner, count: int, digest: str) -> bytes:
    statement = signer.sign(statement_text(signer.origin, count, digest))
    return _line({"count": count, "digest": digest, "statement": statement})


def _line(record: dict[str, Any]) -> bytes:
    return canonical_bytes(record) + b"\n"
