"""ArcSight Common Event Format 26 in syslog messages of RFC 5424: one line per entry."""

from audit.events import Outcome
from audit.leaf import format_time
from audit.renderings.proved import Proved, columns

_FACILITY_LOG_AUDIT = 13
_NOTICE, _WARNING, _INFORMATIONAL = 5, 4, 6
_LEVELS = {
    Outcome.INTENT: (_INFORMATIONAL, 1),
    Outcome.COMPLETED: (_NOTICE, 3),
    Outcome.REFUSED: (_WARNING, 6),
    Outcome.FAILED: (_WARNING, 6),
}
_STANDARD = {"index", "time", "type", "outcome", "actor", "object"}


def cef_line(proved: Proved) -> str:
    """A syslog line without its newline: PRI, header of RFC 5424, and the event.

    ``suid`` is the actor, ``fileId`` the object, ``externalId`` the index; every other column has its own name
    with ``fg`` in front, as CEF wants it of producers.
    """
    entry, event = proved.entry, proved.entry.event
    level, severity = _LEVELS[event.outcome]
    name = event.type.value.replace(":", " ")
    header = [
        "CEF:1",
        "Fleetgate",
        "Fleetgate",
        "1",
        _header(event.type.value),
        _header(f"{name} {event.outcome.value}"),
        str(severity),
    ]
    extension = {
        "rt": str(int(entry.time.timestamp() * 1000)),
        "externalId": str(entry.index),
        "suid": event.actor,
        "fileId": event.object,
        "act": event.type.value,
        "outcome": event.outcome.value,
        "dvchost": proved.origin,
    }
    extension |= {
        f"fg{_camel(column)}": str(value)
        for column, value in columns(proved).items()
        if column not in _STANDARD and value is not None
    }
    written = " ".join(f"{key}={_value(value)}" for key, value in extension.items())
    priority = _FACILITY_LOG_AUDIT * 8 + level
    host = "".join(char if "!" <= char <= "~" else "-" for char in proved.origin)[:255]
    return f"<{priority}>1 {format_time(entry.time)} {host} fleetgate - ledger - {'|'.join(header)}|{written}"


def _camel(column: str) -> str:
    return "".join(part.capitalize() for part in column.split("_"))


def _header(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|")


def _value(text: str) -> str:
    return text.replace("\\", "\\\\").replace("=", "\\=").replace("\n", "\\n").replace("\r", "\\r")
