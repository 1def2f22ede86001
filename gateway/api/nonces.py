"""Spent nonces of signed requests."""

import heapq
from collections import Counter
from datetime import datetime
from threading import Lock
from typing import Protocol

from gateway.api.refusals import NoncesExhaustedError


class NonceStore(Protocol):
    """Remembers which nonces were spent."""

    def claim(self, *, keyid: str, nonce: str, now: datetime, until: datetime) -> bool:
        """Spend a nonce, atomically.

        Args:
            keyid: Whose nonce it is.
            nonce: The nonce.
            now: The present.
            until: From here on the signature is too old to be accepted, and the nonce may be forgotten.

        Returns:
            True the first time, False where the nonce was spent before.

        Raises:
            NoncesExhaustedError: The store has no room to remember it.
        """


class MemoryNonceStore:
    """Nonces of one process, for use by its threads.

    It forgets on restart and knows nothing of other processes: where several serve one name, they need a
    store that they share. No key may hold more than ``per_key`` live nonces: one principal cannot lock
    out the others.
    """

    def __init__(self, *, capacity: int = 200_000, per_key: int = 50_000) -> None:
        """Bound the memory.

        Args:
            capacity: Greatest number of live nonces.
            per_key: Greatest number of live nonces of one key.
        """
        self._capacity = capacity
        self._per_key = per_key
        self._lock = Lock()
        self._live: set[tuple[str, str]] = set()
        self._expiry: list[tuple[float, str, str]] = []
        self._held: Counter[str] = Counter()

    def claim(self, *, keyid: str, nonce: str, now: datetime, until: datetime) -> bool:
        """Spend a nonce; see ``NonceStore.claim``."""
        with self._lock:
            self._forget(now.timestamp())
            if (keyid, nonce) in self._live:
                return False
            if len(self._live) >= self._capacity or self._held[keyid] >= self._per_key:
                raise NoncesExhaustedError(
                    f"live nonces (got {len(self._live)} of which {self._held[keyid]} of {keyid!r}, "
                    f"expected < {self._capacity} and < {self._per_key})",
                )
            self._live.add((keyid, nonce))
            self._held[keyid] += 1
            heapq.heappush(self._expiry, (until.timestamp(), keyid, nonce))
            return True

    def _forget(self, now: float) -> None:
        while self._expiry and self._expiry[0][0] <= now:
            _, keyid, nonce = heapq.heappop(self._expiry)
            self._live.discard((keyid, nonce))
            self._held[keyid] -= 1
            if not self._held[keyid]:
                del self._held[keyid]
