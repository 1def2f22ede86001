"""Entries of the ledger with proofs that they are in the tree of one checkpoint, for whoever has no gate."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from audit.checkpoint import verify_checkpoint
from audit.cosignature import cosigned_at
from audit.events import EventType, Outcome
from audit.leaf import Entry, format_time
from audit.query import EntryFilter, find_all
from audit.snapshot import Snapshot
from gateway.errors import InvalidRequestError
from gateway.flow.gate import Gate

_AREAS = frozenset({"release", "judge", "review", "approve", "quality", "grant"})
_OF_THE_RELEASE = tuple(
    kind
    for kind in EventType
    if kind.value.split(":")[0] in _AREAS
    and kind not in {EventType.RELEASE_ITEM_UNLINK, EventType.JUDGE_SERVE_DECIDE}
)
_DELIVERIES = (EventType.SERVE_MANIFEST_READ, EventType.SERVE_ITEM_READ)


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """The ledger up to one checkpoint: what a document rests on.

    Attributes:
        snapshot: View of the ledger.
        note: The signed checkpoint.
        size: Entries in its tree; nothing from there on counts.
        root: Root hash.
    """

    snapshot: Snapshot
    note: str
    size: int
    root: bytes

    def entries(self, wanted: EntryFilter) -> list[Entry]:
        """Every entry of the checkpoint's tree that matches, oldest first."""
        return list(find_all(self.snapshot, wanted, below=self.size))

    def proved(self, entries: Iterable[Entry]) -> list[dict[str, Any]]:
        """Entries with their inclusion proofs, as exports write them."""
        return [
            {
                "index": entry.index,
                "leaf": base64.b64encode(entry.leaf).decode(),
                "proof": [each.hex() for each in self.snapshot.inclusion_proof(entry.index, self.size)],
            }
            for entry in sorted(entries, key=lambda each: each.index)
        ]

    def as_of(self) -> str:
        """The time of the last entry of the tree: the moment that the document speaks of."""
        return format_time(self.snapshot.entry(self.size - 1).time)


def basis_of(gate: Gate, snapshot: Snapshot, note: str) -> Basis:
    """The ledger up to a checkpoint.

    Raises:
        SignatureError: It is no checkpoint of this ledger.
        InvalidRequestError: It is of an empty ledger, or of one that holds more than this.
    """
    checkpoint = verify_checkpoint(note, gate.ledger.signer.vkey)
    if not 0 < checkpoint.size <= snapshot.size:
        raise InvalidRequestError(f"checkpoint (got size {checkpoint.size}, expected 1 to {snapshot.size})")
    return Basis(snapshot=snapshot, note=note, size=checkpoint.size, root=checkpoint.root)


def checkpoint_of(gate: Gate, basis: Basis) -> dict[str, Any]:
    """The checkpoint with the witnesses that cosigned it."""
    cosigned = [(w.vkey, cosigned_at(basis.note, w.vkey)) for w in gate.settings.witnesses]
    return {
        "origin": gate.ledger.signer.origin,
        "vkey": gate.ledger.signer.vkey,
        "note": basis.note,
        "size": basis.size,
        "root": basis.root.hex(),
        "as_of": basis.as_of(),
        "witnesses": [{"vkey": vkey, "cosigned_at_s": time} for vkey, time in cosigned if time is not None],
    }


def entries_of_release(basis: Basis, release: str) -> list[Entry]:
    """What was asked, built, decided, looked at, signed, published, granted and revoked of a release."""
    found = basis.entries(EntryFilter(release=release, types=_OF_THE_RELEASE))
    grants = {e.event.object for e in found if e.event.type is EventType.GRANT_GRANT_ISSUE}
    for grant in sorted(grants):
        found += basis.entries(EntryFilter(object=grant, types=(EventType.GRANT_GRANT_REVOKE,)))
    return sorted({entry.index: entry for entry in found}.values(), key=lambda entry: entry.index)


def deliveries_of_release(basis: Basis, release: str) -> list[dict[str, Any]]:
    """Who received how much of a release: by person, completed reads, items, bytes, first and last time."""
    found: dict[str, dict[str, Any]] = {}
    items: dict[str, set[str]] = {}
    wanted = EntryFilter(release=release, types=_DELIVERIES, outcome=Outcome.COMPLETED)
    for entry in basis.entries(wanted):
        event, time = entry.event, format_time(entry.time)
        row = found.setdefault(
            event.actor, {"principal": event.actor, "reads": 0, "items": 0, "bytes": 0, "first": time}
        )
        row["reads"] += 1
        row["bytes"] += int(event.facts.get("bytes", 0))
        row["last"] = time
        if event.type is EventType.SERVE_ITEM_READ:
            items.setdefault(event.actor, set()).add(event.object)
            row["items"] = len(items[event.actor])
    return [found[actor] for actor in sorted(found)]


def receipt_of(gate: Gate, index: int) -> dict[str, Any]:
    """Proof that an entry is in the tree, under a checkpoint made after it."""
    note = gate.checkpoint()
    with gate.ledger.snapshot() as snapshot:
        basis = basis_of(gate, snapshot, note)
        (proved,) = basis.proved([snapshot.entry(index)])
    return {"checkpoint": note, **proved}
