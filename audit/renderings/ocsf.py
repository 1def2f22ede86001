"""OCSF 1.3.0: every entry is an event of the class API Activity (6003)."""

from typing import Any

from audit.events import Outcome
from audit.leaf import format_time
from audit.renderings.proved import CREATE, DELETE, OTHER, READ, UPDATE, Proved

VERSION = "1.3.0"
CATEGORY, CLASS = 6, 6003

_ACTIVITY_NAMES = {CREATE: "Create", READ: "Read", UPDATE: "Update", DELETE: "Delete", OTHER: "Other"}
_STATUS = {
    Outcome.INTENT: (99, "Other", 1, "Informational"),
    Outcome.COMPLETED: (1, "Success", 1, "Informational"),
    Outcome.REFUSED: (2, "Failure", 3, "Medium"),
    Outcome.FAILED: (2, "Failure", 3, "Medium"),
}


def ocsf_event(proved: Proved) -> dict[str, Any]:
    """An event of OCSF; ids of the ledger and the proof stand in ``unmapped``.

    A refusal and a failure are failures of medium severity; an intent has the status Other, because it tells what
    is about to be done.
    """
    entry, event = proved.entry, proved.entry.event
    status_id, status, severity_id, severity = _STATUS[event.outcome]
    activity = proved.activity
    return {
        "activity_id": activity,
        "activity_name": _ACTIVITY_NAMES[activity] if activity != OTHER else event.type.value,
        "category_uid": CATEGORY,
        "category_name": "Application Activity",
        "class_uid": CLASS,
        "class_name": "API Activity",
        "type_uid": CLASS * 100 + activity,
        "time": int(entry.time.timestamp() * 1000),
        "severity_id": severity_id,
        "severity": severity,
        "status_id": status_id,
        "status": status,
        "status_detail": event.outcome.value,
        "actor": {"user": {"uid": event.actor}},
        "api": {"operation": event.type.value, "service": {"name": "fleetgate"}},
        "resources": [{"uid": event.object}],
        "src_endpoint": {"name": proved.origin},
        "metadata": {
            "version": VERSION,
            "uid": f"{proved.origin}/{entry.index}",
            "sequence": entry.index,
            "original_time": format_time(entry.time),
            "event_code": event.type.value,
            "log_name": proved.origin,
            "product": {"name": "Fleetgate", "vendor_name": "Fleetgate"},
        },
        "unmapped": proved.evidence(),
    }
