"""What a fresh process finds in a house in which a process was killed or its system calls failed (laws 2 to 4)."""

from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from audit.checkpoint import verify_checkpoint
from audit.events import EventType, Outcome
from audit.tiles import read_tile, tiles_of
from faults.injection_victim import (
    ACTS,
    CANARY,
    CONTENT,
    DOOMED,
    DOOMED_KEK,
    KEK,
    OBJECT,
    RECORDING,
    SEALED,
    opened,
    run_acts,
)
from gateway.flow.classify import readable_original
from gateway.flow.gate import Gate
from gateway.flow.intake import load_quarantined
from gateway.flow.records import ItemRow, RecordingRow
from gateway.vault.errors import KeyDestroyedError


def examine(home: Path, acknowledged: dict[str, str]) -> list[str]:
    """What is wrong; afterwards every act is done without a fault, and all of it must be there."""
    wrong = list(_in_the_clear(home))
    destroyed = "destroy" in acknowledged
    with opened(home) as gate:
        wrong += _contradictions(gate, acknowledged)
        if destroyed and not gate.keystore.is_destroyed(DOOMED_KEK):
            wrong.append("law 9: a key whose destruction was acknowledged is there")
        done: dict[str, str] = {}

        def tell(kind: str, name: str, result: str = "") -> None:
            if kind == "acknowledged":
                done[name] = result
            elif kind != "begin":
                wrong.append(f"law 4: the next run cannot do '{name}': {result}")

        run_acts(gate, tell)
        wrong += [f"afterwards: {each}" for each in _contradictions(gate, done)]
        if set(done) != set(ACTS):
            wrong.append(f"law 4: the next run did {sorted(done)}")
    return wrong


def _in_the_clear(home: Path) -> Iterator[str]:
    for path in home.rglob("*"):
        if path.is_file() and CANARY in path.read_bytes():
            yield f"law 3: plaintext in {path.relative_to(home)}"


def _contradictions(gate: Gate, acknowledged: dict[str, str]) -> Iterator[str]:
    verified = gate.ledger.verify()
    yield from _entries(gate, acknowledged, verified.size)
    yield from _objects(gate, acknowledged)
    yield from _keys(gate, acknowledged)
    yield from _recording(gate, acknowledged)
    yield from _archive(gate, int(acknowledged.get("archive", 0)))


def _entries(gate: Gate, acknowledged: dict[str, str], size: int) -> Iterator[str]:
    for name in ("first", "last"):
        index = acknowledged.get(f"append {name}")
        if index is None:
            continue
        if int(index) >= size or gate.ledger.entry(int(index)).event.object != name:
            yield f"law 4: acknowledged entry '{name}' is not at {index}"


def _objects(gate: Gate, acknowledged: dict[str, str]) -> Iterator[str]:
    manifest = acknowledged.get("seal")
    if manifest is not None and gate.vault.read_all(manifest, SEALED) != OBJECT:
        yield "law 4: the acknowledged object has other bytes"
    blobs = gate.settings.home / "objects"
    for blob in gate.vault.orphans(()):
        if (blobs / f"{blob}.sealed").exists():
            # Raises for a blob without its manifest, or with a byte less than was signed.
            gate.vault.scrub(gate.vault.manifest(blob))


def _keys(gate: Gate, acknowledged: dict[str, str]) -> Iterator[str]:
    if "kek" in acknowledged and not gate.keystore.has_kek(KEK):
        yield "law 4: the acknowledged key is gone"
    doomed = (gate.settings.home / "doomed.jws").read_text()
    try:
        content = gate.vault.read_all(doomed, DOOMED)
    except KeyDestroyedError:
        content = None
    if content is None and not gate.keystore.is_destroyed(DOOMED_KEK):
        yield "law 9: a key is half destroyed"
    if content is not None and (content != OBJECT or "destroy" in acknowledged):
        yield "law 9: an object can be read whose key was destroyed"


def _recording(gate: Gate, acknowledged: dict[str, str]) -> Iterator[str]:
    with gate.database.read() as session:
        recording = session.get(RecordingRow, RECORDING)
        item = session.scalar(sa.select(ItemRow).where(ItemRow.recording_id == RECORDING))
        received = item is not None and item.state == "quarantined"
        quarantined = load_quarantined(gate, session, item.id) if received else None
    if "announce" in acknowledged and (recording is None or item is None):
        yield "law 4: the acknowledged recording is not there"
    if "receive" in acknowledged and not received:
        yield "law 4: the acknowledged item is not there"
    if quarantined is not None and readable_original(gate, quarantined, encoding=None).read() != CONTENT:
        yield "law 4: the received item has other bytes"
    intents = {
        (entry.event.type, entry.event.object)
        for entry in gate.ledger.entries()
        if entry.event.outcome is Outcome.INTENT
    }
    effects = {
        (EventType.INTAKE_RECORDING_RECEIVE, RECORDING): recording is not None,
        (EventType.INTAKE_ITEM_RECEIVE, item.id if item else ""): received or _sealed_for(gate, RECORDING),
    }
    for intent, happened in effects.items():
        if happened and intent not in intents:
            yield f"law 2: {intent[0].value} happened without an intent"


def _sealed_for(gate: Gate, owner: str) -> bool:
    """Whether an object was sealed for a recording, be it an orphan."""
    blobs = gate.settings.home / "objects"
    whole = (path.stem for path in blobs.glob("*.sealed"))
    return any(gate.vault.verified(gate.vault.manifest(blob)).context.owner == owner for blob in whole)


def _archive(gate: Gate, size: int) -> Iterator[str]:
    directory = gate.settings.home / "archive"
    checkpoint = directory / "checkpoint"
    held = (
        verify_checkpoint(checkpoint.read_text(), gate.ledger.signer.vkey).size if checkpoint.exists() else 0
    )
    if held < size:
        yield f"law 4: the archive went back (got {held}, expected at least {size} entries)"
    with gate.ledger.snapshot() as snapshot:
        for tile in tiles_of(held):
            path = directory / tile.path
            if not path.is_file() or path.read_bytes() != read_tile(snapshot, tile):
                yield f"law 4: {tile.path} of the archive is not whole"
