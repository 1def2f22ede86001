"""Realistic replacement of masked regions, as an extension point for other packages."""

from functools import lru_cache
from importlib.metadata import entry_points
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import ModelError
from anonymize.finding import FindingKind
from anonymize.media.detection import Image

GROUP = "fleetgate.replacement"
"""Entry-point group; an entry makes a ``Replacement`` when it is called without arguments."""

MAX_CORRELATION = 0.8
"""Greatest correlation of a replacement's luma with that of what it replaces."""

MAX_EQUAL_SHARE = 0.05
"""Greatest share of a textured region's pixels that may stay as they were."""

_LUMA = np.array([0.2126, 0.7152, 0.0722])
_FLAT = 2.0


@runtime_checkable
class Replacement(Protocol):
    """Draws something that is not the object in its place.

    Attributes:
        name: Stable name.
        digest: SHA-256 of its model, hexadecimal.
    """

    @property
    def name(self) -> str:
        """Stable name."""

    @property
    def digest(self) -> str:
        """SHA-256 of its model, hexadecimal."""

    def replace(self, region: Image, kind: FindingKind) -> Image:
        """Something else of the same shape; ``region`` must not be changed. May be called from several threads.

        Args:
            region: h × w × 3, RGB: the enlarged object.
            kind: What the object is.
        """


@lru_cache(maxsize=1)
def installed_replacement() -> Replacement:
    """The one replacement that is installed.

    Raises:
        ModelError: There is none, there are several, or it cannot be loaded or is no ``Replacement``.
    """
    entries = tuple(entry_points(group=GROUP))
    if len(entries) != 1:
        names = sorted(e.name for e in entries)
        raise ModelError(f"mode replace needs one entry point of the group {GROUP} (got {names})")
    try:
        replacement = entries[0].load()()
    except Exception as error:
        raise ModelError(
            f"replacement {entries[0].name} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(replacement, Replacement):
        raise ModelError(f"replacement {entries[0].name} has no name, digest and replace()")
    return replacement


def replaced(region: Image, kind: FindingKind) -> Image:
    """What the installed replacement draws in place of ``region``, once it is certain that it hides it.

    1. There is one. 2. It keeps shape and type. 3. Few pixels stay as they were, unless the region is flat.
    4. Its luma does not follow the original's.

    Raises:
        ModelError: One of these does not hold, or the replacement fails.
    """
    replacement = installed_replacement()  # 1
    before = region.copy()
    try:
        drawn = np.asarray(replacement.replace(before, kind))
    except Exception as error:
        raise ModelError(f"replacement {replacement.name} failed: {type(error).__name__}: {error}") from error
    if drawn.shape != region.shape or drawn.dtype != np.uint8:  # 2
        expected = f"expected {region.shape} uint8"
        raise ModelError(
            f"{replacement.name} drew another shape (got {drawn.shape} {drawn.dtype}, {expected})"
        )
    luma, drawn_luma = region @ _LUMA, drawn @ _LUMA
    if float(luma.std()) < _FLAT:
        return drawn
    same = float((drawn == region).all(axis=2).mean())
    if same > MAX_EQUAL_SHARE:  # 3
        expected = f"expected at most {MAX_EQUAL_SHARE}"
        raise ModelError(
            f"{replacement.name} left pixels as they were (got a share of {same:.2f}, {expected})"
        )
    follows = abs(_correlation(luma, drawn_luma))
    if follows > MAX_CORRELATION:  # 4
        expected = f"expected at most {MAX_CORRELATION}"
        raise ModelError(f"{replacement.name} follows what it replaces (got r = {follows:.2f}, {expected})")
    return drawn


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale else 0.0
