"""What was verified once, for as long as the very bytes come again that it was verified from."""

import threading
from collections import OrderedDict
from typing import Final, Generic, TypeVar

MAX_SOURCE_BYTES: Final = 32 * 1024 * 1024

T = TypeVar("T")


class VerifiedOnce(Generic[T]):
    """Verified values in memory, least recently used first to go; safe for threads.

    A value is found only by the whole source that it was verified from, compared byte for byte with what is stored
    now. Nothing is said of what changes without the source: that its key lives, that nothing was revoked, that no
    term is over is asked each time by whoever finds a value.

    Args:
        max_source_bytes: Most bytes of sources kept in all; a longer source is never kept.
    """

    def __init__(self, *, max_source_bytes: int = MAX_SOURCE_BYTES) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[str | bytes, T]] = OrderedDict()
        self._most, self._bytes = max_source_bytes, 0

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, name: str, source: str | bytes) -> T | None:
        """The value that was verified from exactly this source under this name; None where there is none."""
        with self._lock:
            kept = self._kept.get(name)
            if kept is None:
                return None
            self._kept.move_to_end(name)
        # Compared outside the lock: megabytes take a while.
        return kept[1] if kept[0] == source else None

    def keep(self, name: str, source: str | bytes, value: T) -> T:
        """Keep a value that was verified from a source, in the place of what had its name; returns the value."""
        with self._lock:
            self._drop(name)
            if len(source) <= self._most:
                self._kept[name] = source, value
                self._bytes += len(source)
                while self._bytes > self._most:
                    self._drop(next(iter(self._kept)))
        return value

    def forget(self, name: str) -> None:
        """Keep nothing under a name any more."""
        with self._lock:
            self._drop(name)

    def _drop(self, name: str) -> None:
        kept = self._kept.pop(name, None)
        if kept is not None:
            self._bytes -= len(kept[0])
