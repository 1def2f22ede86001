"""Space on the gate's disks: an alarm before they are full, and nothing taken in or built from then on."""

import logging
import shutil
import threading
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from audit.events import Event, EventType, Outcome
from audit.query import EntryFilter, find_page
from gateway.errors import DiskLowError
from gateway.flow.gate import Gate
from gateway.people.registry import GATE_ACTOR

log = logging.getLogger(__name__)

ALARM_EVERY = timedelta(hours=1)
_alarming = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskState:
    """What is left on the fullest of the gate's disks.

    Attributes:
        free_bytes: Bytes that the gate may still write there.
        low: Whether that is less than the setting ``disk_low_bytes``.
    """

    free_bytes: int
    low: bool


def disk_state(gate: Gate) -> DiskState:
    """Look at the disks of the home directory and of a SQLite ledger.

    Raises:
        OSError: One of them cannot be asked.
    """
    free = min(shutil.disk_usage(folder).free for folder in _folders(gate))
    return DiskState(free_bytes=free, low=free < gate.settings.disk_low_bytes)


def watch_disk(gate: Gate) -> DiskState:
    """Look at the disks; where one is low, put an alarm into the ledger, at most one in an hour.

    Where there is space again, the ledger's reserve is held again.

    Raises:
        LedgerUnavailableError: The alarm was not acknowledged.
        OSError: A disk cannot be asked, or the reserve not be written.
    """
    state = disk_state(gate)
    if not state.low:
        if gate.ledger.reserve is not None:
            gate.ledger.reserve.hold()
        return state
    log.error("disk low (got %d free bytes, expected %d)", state.free_bytes, gate.settings.disk_low_bytes)
    with _alarming:
        if not _alarmed(gate):
            reserve = gate.ledger.reserve
            gate.ledger.append(
                Event(
                    type=EventType.SYSTEM_DISK_ALARM,
                    outcome=Outcome.COMPLETED,
                    actor=GATE_ACTOR.id,
                    object="disk",
                    facts={
                        "free_bytes": state.free_bytes,
                        "expected_bytes": gate.settings.disk_low_bytes,
                        "reserve_held": reserve is not None and reserve.held,
                    },
                )
            )
    return state


def require_disk(gate: Gate) -> None:
    """Go on only where there is space for what is about to be written.

    Raises:
        DiskLowError: There is not; the ledger has the alarm.
        LedgerUnavailableError: The alarm was not acknowledged.
    """
    state = watch_disk(gate)
    if state.low:
        raise DiskLowError(
            f"disk low (got {state.free_bytes} free bytes, expected {gate.settings.disk_low_bytes})"
        )


def _folders(gate: Gate) -> set[Path]:
    url = gate.ledger.engine.url
    beside = {Path(str(url.database)).parent} if url.get_backend_name() == "sqlite" else set()
    return {gate.settings.home, *beside}


def _alarmed(gate: Gate) -> bool:
    with gate.ledger.snapshot() as snapshot:
        page = find_page(snapshot, EntryFilter(types=(EventType.SYSTEM_DISK_ALARM,)), limit=1)
    return bool(page.entries) and page.entries[0].time > gate.clock() - ALARM_EVERY
