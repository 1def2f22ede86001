"""Elastic Common Schema 8.11: one document per entry; what ECS has no field for stands under ``fleetgate``."""

from typing import Any

from audit.events import Outcome
from audit.leaf import format_time
from audit.renderings.proved import CREATE, DELETE, OTHER, READ, UPDATE, Proved

VERSION = "8.11.0"

_TYPES = {CREATE: "creation", READ: "access", UPDATE: "change", DELETE: "deletion", OTHER: "info"}
_OUTCOMES = {
    Outcome.INTENT: "unknown",
    Outcome.COMPLETED: "success",
    Outcome.REFUSED: "failure",
    Outcome.FAILED: "failure",
}
_CATEGORIES = {
    "auth": "authentication",
    "people": "iam",
    "grant": "iam",
    "vault": "configuration",
    "policy": "configuration",
    "zones": "configuration",
    "dbc": "configuration",
    "models": "configuration",
    "system": "process",
    "scheduler": "process",
}


def ecs_document(proved: Proved) -> dict[str, Any]:
    """A document of ECS. ``event.type`` carries ``denied`` where policy or authentication refused."""
    entry, event = proved.entry, proved.entry.event
    kind = event.type.value
    types = [_TYPES[proved.activity]]
    if event.outcome is Outcome.REFUSED:
        types.append("denied")
    return {
        "@timestamp": format_time(entry.time),
        "ecs": {"version": VERSION},
        "event": {
            "kind": "event",
            "category": [_CATEGORIES.get(kind.partition(":")[0], "file")],
            "type": types,
            "action": kind,
            "outcome": _OUTCOMES[event.outcome],
            "id": f"{proved.origin}/{entry.index}",
            "sequence": entry.index,
            "provider": "fleetgate",
            "dataset": "fleetgate.ledger",
        },
        "observer": {"vendor": "Fleetgate", "product": "Fleetgate", "name": proved.origin},
        "user": {"id": event.actor},
        "related": {"user": [event.actor]},
        "fleetgate": {"object": event.object, "outcome": event.outcome.value, **proved.evidence()},
    }
