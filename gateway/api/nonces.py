"""Spent nonces of signed requests: in the state database, so that all processes and every restart know them."""

import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from gateway.api.records import NonceEpochRow, SpentNonceRow
from gateway.api.signature_profile import CLOCK_SKEW_S
from gateway.database import Database, WriteSession

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class NonceStore(Protocol):
    """Remembers which nonces were spent."""

    def claim(self, *, keyid: str, nonce: str, until: datetime) -> bool:
        """Spend a nonce, atomically.

        Args:
            keyid: Whose nonce it is.
            nonce: The nonce.
            until: From here on the signature is too old to be accepted, and the nonce may be forgotten.

        Returns:
            True the first time, False where the nonce was spent before or may have been.
        """


class SpentNonces:
    """Nonces in the state database: one winner among all threads and processes that share it.

    What was spent outlives every process. On SQLite a commit here waits for no disk (``Database.quick``), and a
    loss of power may take the last of them: once the machine is up again, whatever was signed before that is
    refused.
    """

    def __init__(self, database: Database, *, now: datetime, max_age_s: int) -> None:
        """Find out whether the machine kept what was spent.

        Args:
            database: The state, migrated.
            now: The present.
            max_age_s: Greatest age of a signature in seconds.

        Raises:
            OSError: The kernel does not say which boot this is.
        """
        self._database = database
        postgres = database.engine.dialect.name == "postgresql"
        self._insert = postgresql.insert if postgres else sqlite.insert
        self._closed_until = None if postgres else _closed_until(database, now=now, max_age_s=max_age_s)

    def claim(self, *, keyid: str, nonce: str, until: datetime) -> bool:
        """Spend a nonce; see ``NonceStore.claim``."""
        if self._closed_until is not None and until <= self._closed_until:
            return False
        row = self._insert(SpentNonceRow).values(keyid=keyid, nonce=nonce, until=until)
        fresh = row.on_conflict_do_nothing().returning(SpentNonceRow.nonce)
        with self._database.quick() as session:
            return session.scalar(fresh) is not None


def begin_epoch(session: WriteSession, now: datetime) -> None:
    """State that no nonce was ever spent at a gate that is just being made."""
    session.add(NonceEpochRow(id=1, boot=_boot(), closed_until=now))


def forget_nonces(session: WriteSession, now: datetime) -> None:
    """Delete nonces whose signatures are too old by now."""
    session.execute(sa.delete(SpentNonceRow).where(SpentNonceRow.until < now))


def _closed_until(database: Database, *, now: datetime, max_age_s: int) -> datetime:
    """Up to this ``until`` nonces may have been lost: the machine went down, or they were not on record."""
    boot = _boot()
    with database.transaction() as session:
        row = session.get(NonceEpochRow, 1)
        if row is None or row.boot != boot:
            since_boot = timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))
            lost = now if row is None else now - since_boot
            closed = lost + timedelta(seconds=CLOCK_SKEW_S + max_age_s + 1)
            row = session.merge(NonceEpochRow(id=1, boot=boot, closed_until=closed))
        return row.closed_until


def _boot() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()
