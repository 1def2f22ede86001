"""The items of one recording as the handlers of others may read them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from anonymize.formats.identify import ItemKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Sibling:
    """One item of a recording.

    Attributes:
        item: Its id.
        name: Its name in the manifest.
        kind: What it was classified as.
        captured: POSIX seconds at which it was taken, from the signed manifest; None where unknown.
        open: Opens it: the original in the first pass, what that pass made of it in the second.
        facts: What classification found, and in the second pass what the first did.
        released: Stem of its name in the release, in the second pass; empty in the first.
    """

    item: str
    name: str
    kind: ItemKind
    captured: float | None
    open: Callable[[], BinaryIO] = field(repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict, repr=False)
    released: str = ""

    @property
    def folder(self) -> str:
        """The folder that its name tells; empty for an item of none."""
        return self.name.rpartition("/")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Siblings:
    """The items of one recording that are at the stage of the pass or beyond it, in the manifest's order.

    Those that are held, cut or erased are missing: nothing is read that was not understood.
    """

    items: tuple[Sibling, ...] = ()

    def of(self, *kinds: ItemKind) -> tuple[Sibling, ...]:
        """The items of some kinds."""
        return tuple(each for each in self.items if each.kind in kinds)

    def get(self, item: str) -> Sibling | None:
        """The item of an id; None where it is not there."""
        return next((each for each in self.items if each.item == item), None)


ALONE = Siblings()
"""Of an item that is looked at by itself."""
