"""Counts of requests in the state database, in the form that ``limits`` asks for: shared by all processes."""

import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import sqlalchemy as sa
from limits.storage import SlidingWindowCounterSupport, Storage
from sqlalchemy.dialects import postgresql, sqlite

from gateway.api.records import RequestWindowRow
from gateway.database import Database, WriteSession

_WINDOWS_KEPT: Final = 2


class RequestWindows(Storage, SlidingWindowCounterSupport):
    """Counts per window; the one before fades as the present one goes on (sliding window counter of ``limits``).

    Who is counted is named by an HMAC: the state holds no address in the clear. A count that a loss of power takes
    starts from 0 again.

    Args:
        database: The state, migrated.
        secret: Key of the HMAC, the same in every process.
        clock: Gives the present as an aware datetime.
    """

    STORAGE_SCHEME = None

    def __init__(self, database: Database, secret: bytes, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self._database, self._secret, self._clock = database, secret, clock
        self._insert = postgresql.insert if database.engine.dialect.name == "postgresql" else sqlite.insert

    @property
    def base_exceptions(self) -> type[Exception]:
        """What counts as a failure of the storage; ``problems`` knows how to answer it."""
        return sa.exc.SQLAlchemyError

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Count a request, unless there are more than ``limit`` within ``expiry`` seconds with it."""
        now = self._clock().timestamp()
        window = int(now // expiry)
        who = self._name(key)
        counted = self._insert(RequestWindowRow).values(
            who=who,
            window=window,
            count=amount,
            until=datetime.fromtimestamp((window + _WINDOWS_KEPT) * expiry, UTC),
        )
        counted = counted.on_conflict_do_update(
            index_elements=["who", "window"], set_={"count": RequestWindowRow.count + amount}
        )
        try:
            with self._database.quick() as session:
                count = session.scalar(counted.returning(RequestWindowRow.count)) or 0
                before = self._count(session, who, window - 1)
                if before * (1 - now % expiry / expiry) + count > limit:
                    raise _TooManyError
        except _TooManyError:
            return False
        return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        """Count and seconds left of the window before and of the present one."""
        now = self._clock().timestamp()
        window, left = int(now // expiry), expiry - now % expiry
        who = self._name(key)
        with self._database.read() as session:
            before, count = (self._count(session, who, number) for number in (window - 1, window))
        return before, left, count, left + expiry

    def clear_sliding_window(self, key: str, expiry: int) -> None:  # noqa: ARG002 (the signature of limits)
        """Forget what was counted under ``key``."""
        self.clear(key)

    def clear(self, key: str) -> None:
        """Forget what was counted under ``key``."""
        with self._database.quick() as session:
            session.execute(sa.delete(RequestWindowRow).where(RequestWindowRow.who == self._name(key)))

    def reset(self) -> int | None:
        """Forget everything."""
        with self._database.quick() as session:
            return int(getattr(session.execute(sa.delete(RequestWindowRow)), "rowcount", 0))

    def check(self) -> bool:
        """Whether the state answers."""
        with self._database.read() as session:
            return session.scalar(sa.select(1)) == 1

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Not of the sliding window.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("fixed windows are not kept")

    def get(self, key: str) -> int:
        """Not of the sliding window.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("fixed windows are not kept")

    def get_expiry(self, key: str) -> float:
        """Not of the sliding window.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError("fixed windows are not kept")

    def _name(self, key: str) -> str:
        return hmac.digest(self._secret, key.encode(), "sha256").hex()

    @staticmethod
    def _count(session: sa.orm.Session, who: str, window: int) -> int:
        query = sa.select(RequestWindowRow.count)
        query = query.where(RequestWindowRow.who == who, RequestWindowRow.window == window)
        return session.scalar(query) or 0


class _TooManyError(Exception):
    """Takes the count back with its transaction: a request that is not admitted counts for nothing."""


def forget_windows(session: WriteSession, now: datetime) -> None:
    """Delete counts that no longer weigh anything."""
    session.execute(sa.delete(RequestWindowRow).where(RequestWindowRow.until < now))
