"""Where interrupted work is kept, so that it goes on at the last whole segment."""

from typing import Protocol


class Checkpoint(Protocol):
    """Storage of one item's progress; whoever implements it seals what it stores.

    A name is a relative path of lower-case letters, digits and ``/``. ``save`` is atomic: after a crash a name
    holds all of a content or nothing of it.
    """

    def load(self, name: str) -> bytes | None:
        """What was saved last under a name; None where there is nothing."""

    def save(self, name: str, content: bytes) -> None:
        """Save, in place of what the name held."""

    def clear(self) -> None:
        """Forget everything: the progress is of another profile, detector set or source."""
