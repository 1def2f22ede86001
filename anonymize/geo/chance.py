"""How many hits chance alone explains, and whether there are more.

Numbers that have nothing to do with the drive fall near a fix now and then: the bytes of a photograph read as
32-bit integers, the coordinates of a sweep in metres read as degrees. How often follows from the content
itself. Let ``b`` be the distinct pairs of numbers in the fixes' vicinity (their rectangle, widened by about
100 km) that are near no fix, and ``s`` the share of the vicinity's area within the tolerance of one. Numbers
unrelated to the drive are spread evenly over so small a part of their range, so chance gives about ``b * s``
hits, and ``h`` distinct hits or more with the Poisson tail ``P(h; b * s)``. A notation is reported where that
is less than its limit, counted for each block of content and for the whole content.

Arithmetic for a drive of 2,000 fixes, 8 m apart, tolerance 15 m, in mainland China, where each fix is looked
for in three conventions: a cell of 30 m counts four times its area, so ``s`` is about 1,500 cells * 3,600 m2 /
3.8e10 m2 = 1.4e-4. With 100,000 fixes in a city ``s`` is about 4e-3.

- 32-bit integers of 1e-7 degrees in 256 KiB of random bytes: each value lies in the vicinity's 2 degrees with
  probability 2e7 / 2^32 = 4.7e-3, a pair with 2.2e-5; two byte orders, both orders of the coordinates and two
  strides make some 46 pairs, so ``b * s`` = 6e-3: one hit is no evidence, three are (4e-8).
- 32-bit floats: a value in the 2 degrees about 40 has an exponent of 1 in 256, a fraction of 2 in 32 and one of
  two signs, 1.2e-4; a pair with 116, 7e-9; all orders and strides make 0.015 pairs in 256 KiB. ``b`` is almost
  always 0 and one hit is reported, which chance brings about once in 128 GB.
- 64-bit floats: 1.2e-10 a pair, over 17 strides 8e-9 a byte: by chance once in 900 GB.
- A sweep of 120,000 points within 120 m, as text or floats: some 8 points in the square of 2 m by 2 m that
  reads as the vicinity, ``b * s`` = 1e-3 for the sweep: one hit in it is no evidence, three are.

A position that stands alone in text has ``b`` = 0 and is reported. Between many other places of the same
region (a list of addresses), the limit of prose applies, which accepts one chance hit in a thousand such
texts.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.position_index import Space

LIMIT = 1e-6
PROSE_LIMIT = 1e-3
_MOST_HELD = 1000
_SAMPLE = 4096
_KEY_FACTOR = np.int64(0x1E3779B97F4A7C15)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sightings:
    """Pairs of numbers of one notation that could be positions.

    Attributes:
        label: The notation.
        space: The space of the coordinates.
        first: First coordinates.
        second: Second coordinates.
        start: First byte of each pair.
        end: One past its last byte.
        limit: Greatest probability of a chance result that is still reported.
    """

    label: str
    space: Space
    first: FloatArray
    second: FloatArray
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    limit: float = LIMIT

    def between(self, low: int, high: int) -> "Sightings":
        """Those that start in a half-open range of bytes and lie in the vicinity."""
        inside = (self.start >= low) & (self.start < high) & self.space.within(self.first, self.second)
        arrays = {name: getattr(self, name)[inside] for name in ("first", "second", "start", "end")}
        return replace(self, **arrays)

    def moved(self, by: int) -> "Sightings":
        """The same ``by`` bytes later."""
        return replace(self, start=self.start + by, end=self.end + by)


def merged(sightings: Iterable[Sightings]) -> Iterator[Sightings]:
    """The same sightings, those of one notation together."""
    alike: dict[tuple[str, int], list[Sightings]] = {}
    for s in sightings:
        if len(s.start):
            alike.setdefault((s.label, id(s.space)), []).append(s)
    for parts in alike.values():
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts])
            for name in ("first", "second", "start", "end")
        }
        yield replace(parts[0], limit=min(part.limit for part in parts), **arrays)


@dataclass(frozen=True, slots=True, order=True)
class Hit:
    """A position found: half-open range of bytes, and how it was written."""

    start: int
    end: int
    label: str


@dataclass(slots=True)
class _Count:
    hits: int = 0
    background: float = 0.0
    limit: float = LIMIT
    held: list[Hit] = field(default_factory=list)


class Evidence:
    """Hits so far, by notation, and those that are certain."""

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}
        self._certain: dict[tuple[int, str], Hit] = {}

    def add(self, batch: list[Sightings]) -> None:
        """Judge the sightings of one block, each within the block."""
        found = [_judged(s) for s in batch if len(s.start)]
        judged = _apart(found) if found else []
        for label in sorted({j.sightings.label for j in judged}):
            alike = [j for j in judged if j.sightings.label == label]
            hits = [hit for j in alike for hit in j.hits()]
            distinct = sum(j.distinct(near=True) for j in alike)
            background = sum(j.distinct(near=False) * j.sightings.space.share for j in alike)
            self._count(label, hits, distinct, background, min(j.sightings.limit for j in alike))

    @property
    def certain(self) -> int:
        """Number of hits that are certain already."""
        return len(self._certain)

    def hits(self) -> Iterator[Hit]:
        """All hits that chance does not explain, in the order of the content."""
        found = dict(self._certain)
        for count in self._counts.values():
            if tail(count.hits, count.background) < count.limit:
                for hit in count.held:
                    found.setdefault((hit.start, hit.label), hit)
        yield from sorted(found.values())

    def _count(self, label: str, hits: list[Hit], distinct: int, background: float, limit: float) -> None:
        count = self._counts.setdefault(label, _Count(limit=limit))
        count.hits += distinct
        count.background += background
        count.limit = min(count.limit, limit)
        if distinct and tail(distinct, background) < limit:
            for hit in hits:
                known = self._certain.get((hit.start, label), hit)
                self._certain[hit.start, label] = min(known, hit)
        elif len(count.held) < _MOST_HELD:
            count.held += hits[: _MOST_HELD - len(count.held)]


def tail(hits: int, expected: float) -> float:
    """Probability of ``hits`` or more by a Poisson law of mean ``expected``; 1 for no hits."""
    if hits == 0:
        return 1.0
    if expected <= 0.0:
        return 0.0
    if expected >= hits:
        return 1.0
    # The terms from ``hits`` on fall at least as fast as a geometric series of ratio expected / (hits + 1).
    first = math.exp(hits * math.log(expected) - expected - math.lgamma(hits + 1))
    return min(1.0, first / (1.0 - expected / (hits + 1)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Judged:
    """Sightings; of each a key of its pair of numbers, whether it is near a fix, may be shown, counts."""

    sightings: Sightings
    key: NDArray[np.int64]
    near: NDArray[np.bool_]
    shown: NDArray[np.bool_]
    counts: NDArray[np.bool_]

    def hits(self) -> list[Hit]:
        at = np.flatnonzero(self.near & self.counts)
        start, end = self.sightings.start[at].tolist(), self.sightings.end[at].tolist()
        return [Hit(a, b, self.sightings.label) for a, b in zip(start, end, strict=True)]

    def distinct(self, *, near: bool) -> int:
        """Number of distinct pairs that are hits, or that are none; of many by a sample, rounded up."""
        keys = self.key[self.counts & (self.near == near)]
        sample = keys[:: max(1, len(keys) // _SAMPLE)]
        return math.ceil(len(np.unique(sample)) * len(keys) / max(1, len(sample)))


def _judged(sightings: Sightings) -> _Judged:
    first, second = sightings.first, sightings.second
    shown = sightings.space.may_show(first, second)
    return _Judged(
        sightings=sightings,
        key=first.view(np.int64) * _KEY_FACTOR ^ second.view(np.int64),
        near=sightings.space.near(first, second),
        shown=shown,
        counts=~shown,
    )


def _apart(judged: list[_Judged]) -> list[_Judged]:
    """Let pairs that share a number with another one count no longer.

    1. With a position that may be shown: the latitude of one fix and the longitude of another.
    2. With a hit, when they are none: the same bytes in another order, or at another alignment.
    """
    judged = [replace(j, counts=j.counts & ~over) for j, over in _overlaps(judged, [j.shown for j in judged])]
    hits = [j.near & j.counts for j in judged]
    return [replace(j, counts=j.counts & (j.near | ~over)) for j, over in _overlaps(judged, hits)]


def _overlaps(
    judged: list[_Judged], chosen: list[NDArray[np.bool_]]
) -> Iterator[tuple[_Judged, NDArray[np.bool_]]]:
    """For each sighting, whether it shares a byte with a chosen one."""
    spans = [(j.sightings.start[c], j.sightings.end[c]) for j, c in zip(judged, chosen, strict=True)]
    starts, ends = (np.sort(np.concatenate(part)) for part in zip(*spans, strict=True))
    for j in judged:
        begun = np.searchsorted(starts, j.sightings.end)
        over = np.searchsorted(ends, j.sightings.start, side="right")
        yield j, begun > over
