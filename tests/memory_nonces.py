"""Spent nonces of peers that tests put in the gate's place, in memory."""

from datetime import datetime


class MemoryNonces:
    """Nonces of one peer."""

    def __init__(self) -> None:
        self._spent: set[tuple[str, str]] = set()

    def claim(self, *, keyid: str, nonce: str, until: datetime) -> bool:
        """Spend a nonce; ``until`` is far away for the length of a test."""
        fresh = (keyid, nonce) not in self._spent
        self._spent.add((keyid, nonce))
        return fresh and until.tzinfo is not None
