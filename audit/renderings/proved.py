"""An entry with what proves it, which every rendering carries."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.events import ID_FIELDS, EventType
from audit.leaf import Entry, format_time

CREATE, READ, UPDATE, DELETE, OTHER = 1, 2, 3, 4, 99
"""What an act does to its object, by the numbers of OCSF's API activity."""

_ACTIVITY: Mapping[str, int] = {
    "receive": CREATE,
    "request": CREATE,
    "build": CREATE,
    "create": CREATE,
    "issue": CREATE,
    "enrol": CREATE,
    "register": CREATE,
    "install": CREATE,
    "add": CREATE,
    "init": CREATE,
    "read": READ,
    "query": READ,
    "export": READ,
    "classify": UPDATE,
    "cleanse": UPDATE,
    "unlink": UPDATE,
    "hold": UPDATE,
    "publish": UPDATE,
    "checkin": UPDATE,
    "erase": DELETE,
    "expire": DELETE,
    "destroy": DELETE,
    "revoke": DELETE,
    "retire": DELETE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Proved:
    """An entry in the tree of a checkpoint.

    Attributes:
        entry: The entry.
        proof: Its inclusion proof in the tree of the checkpoint, siblings from the leaf up.
        size: Entries of that tree.
        origin: Name of the ledger.
    """

    entry: Entry
    proof: tuple[bytes, ...]
    size: int
    origin: str

    @property
    def leaf(self) -> str:
        """The leaf, base64: the only thing that the proof speaks of."""
        return base64.b64encode(self.entry.leaf).decode()

    @property
    def hashes(self) -> list[str]:
        """The proof, hex."""
        return [item.hex() for item in self.proof]

    @property
    def activity(self) -> int:
        """What the act does to its object."""
        return activity_of(self.entry.event.type)

    def concerned(self) -> dict[str, str]:
        """The ids that the entry names beside actor and object."""
        event = self.entry.event
        return {name: value for name in ID_FIELDS if (value := getattr(event, name)) is not None}

    def evidence(self) -> dict[str, Any]:
        """Leaf, proof, and what of the entry has no place in a foreign schema."""
        event = self.entry.event
        stated: dict[str, Any] = {
            "index": self.entry.index,
            "leaf": self.leaf,
            "proof": self.hashes,
            "tree_size": self.size,
            **self.concerned(),
        }
        if event.intent is not None:
            stated["intent"] = event.intent
        if event.digests:
            stated["digests"] = dict(event.digests)
        if event.facts:
            stated["facts"] = dict(event.facts)
        if self.entry.detail is not None:
            stated["detail"] = self.entry.detail
        return stated


def activity_of(kind: EventType) -> int:
    """What an act does to its object; ``OTHER`` for decisions, signatures, runs of jobs and what has no name."""
    return _ACTIVITY.get(kind.value.rpartition(":")[2], OTHER)


def columns(proved: Proved) -> dict[str, Any]:
    """The entry as one row: the same columns for every entry, None where it has nothing to say."""
    event = proved.entry.event
    row: dict[str, Any] = {
        "index": proved.entry.index,
        "time": format_time(proved.entry.time),
        "type": event.type.value,
        "outcome": event.outcome.value,
        "actor": event.actor,
        "object": event.object,
    }
    row |= {name: getattr(event, name) for name in ID_FIELDS}
    row["intent"] = event.intent
    row["digests"] = _pairs(event.digests)
    row["facts"] = _pairs(event.facts)
    row["detail"] = proved.entry.detail
    row["leaf"] = proved.leaf
    row["proof"] = " ".join(proved.hashes)
    row["tree_size"] = proved.size
    return row


COLUMNS = (
    "index",
    "time",
    "type",
    "outcome",
    "actor",
    "object",
    *ID_FIELDS,
    "intent",
    "digests",
    "facts",
    "detail",
    "leaf",
    "proof",
    "tree_size",
)


def _pairs(values: Mapping[str, object]) -> str | None:
    """``name=value`` with spaces between: no token holds a space."""
    written = (f"{name}={str(v).lower() if isinstance(v, bool) else v}" for name, v in sorted(values.items()))
    return " ".join(written) or None
