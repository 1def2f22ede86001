# ruff: noqa: PLR2004 - numbers are those of the notations
"""Pairs of written numbers that could be a position of the known drive, in every textual notation."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from anonymize.geo.chance import LIMIT, PROSE_LIMIT, Sightings
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.number_ranges import Masks, NumberRanges, bit, pairs
from anonymize.geo.position_index import Bounds, Notation, PositionIndex, from_earth_centred
from anonymize.geo.written_numbers import Digits, Flags, IntArray, Numbers

LONGEST = 400
_NEIGHBOURS = 5
_SEXAGESIMAL_NEIGHBOURS = 6
_GAP = 160
_UNIT_GAP = 7
_LEAST_DECIMALS, _LEAST_OTHER_DECIMALS = 4, 2
_RADIAN_DECIMALS = 6
_PROSE_NUMBERS = 1000
_DEGREE_UNITS = (
    ("e7", 1e7),
    ("e6", 1e6),
    ("e5", 1e5),
    ("milliarcseconds", 3.6e6),
    ("minutes e4", 6e5),
    ("semicircles", 2.0**31 / 180.0),
)
_METRE_UNITS = (("centimetres", 1e2), ("millimetres", 1e3))
_EARTH_UNITS = (("", 1.0), (" centimetres", 1e2), (" millimetres", 1e3), (" kilometres", 1e-3))


class WrittenPositions:
    """A search of text for the positions of an index.

    A pair of decimal numbers counts from four decimals in one of them and two in the other: three decimals
    (110 m) name no place, and a local metric frame in millimetres is full of them.
    """

    def __init__(self, index: PositionIndex) -> None:
        self._index = index
        self._signs = index.hemispheres()
        decimal = index.degrees("decimal")
        self._plain = (
            decimal,
            index.radians("radians"),
            *index.metres,
            *(decimal.scaled(label, unit) for label, unit in _DEGREE_UNITS),
            *(
                notation.scaled(f"{notation.label} {label}", unit)
                for notation in index.metres
                if "zone" not in notation.label
                for label, unit in _METRE_UNITS
            ),
        )
        self._integers_from = 2 + len(index.metres)
        self._plain_ranges = NumberRanges(list(self._bounds(self._plain)))
        self._degree_ranges = NumberRanges(list(self._bounds((decimal,))))
        self._earth_ranges = NumberRanges(
            [
                (3 * unit + axis, (bounds[0] * scale, bounds[1] * scale))
                for unit, (_, scale) in enumerate(_EARTH_UNITS)
                for axis, bounds in enumerate(index.earth_centred)
            ]
        )

    def search(self, content: NDArray[np.uint8]) -> Iterator[Sightings]:
        """Everything in a piece of text that could be a position; places are bytes."""
        digits = Digits.of(content)
        numbers = digits.numbers()
        if len(numbers) < 2:
            yield from self._commas(digits)
            return
        for signed in self._signed(digits, numbers):
            yield from self._numbers(signed)
        yield from self._commas(digits)

    def _signed(self, digits: Digits, numbers: Numbers) -> tuple[Numbers, ...]:
        """The numbers; where signs matter and letters stand between numbers, as signs of those after or before."""
        if 0 in self._signs:
            before, after = digits.southern_or_western(numbers)
            if before.any() or after.any():
                return _negative(numbers, before), _negative(numbers, after)
        return (numbers,)

    def _numbers(self, numbers: Numbers) -> Iterator[Sightings]:
        dense = np.count_nonzero(numbers.decimals >= _LEAST_DECIMALS) > _PROSE_NUMBERS
        prose = LIMIT if dense else PROSE_LIMIT
        yield from self._decimal(numbers, prose)
        yield from self._earth_centred(numbers)
        for stream, apart in self._sexagesimal(numbers):
            yield from self._degree_pairs(stream, "degrees minutes seconds", apart, prose)
        small = 0 in self._signs
        yield from self._degree_pairs(_nmea(numbers, small=small), "nmea", range(1, 4), prose)
        packed = _packed(numbers, small=small)
        yield from self._degree_pairs(packed, "packed degrees minutes seconds", range(1, 4), prose)

    def _bounds(self, notations: tuple[Notation, ...]) -> Iterator[tuple[int, Bounds]]:
        for number, notation in enumerate(notations):
            for axis, bounds in enumerate((notation.first, notation.second)):
                yield 2 * number + axis, bounds
                # A hemisphere may be written as a letter, a word or not at all: a track that lies in one
                # hemisphere is looked for in both.
                if notation.space is self._index.globe and self._signs[axis]:
                    yield 2 * number + axis, (-bounds[1], -bounds[0])

    def _decimal(self, numbers: Numbers, prose: float) -> Iterator[Sightings]:
        mask = self._plain_ranges.masks(numbers.value)
        for number, turned, i, j in _neighbours(numbers, mask, range(1, _NEIGHBOURS + 1)):
            notation = self._plain[number]
            fits = self._decimals_fit(number, numbers.decimals[i], numbers.decimals[j])
            limit = prose if number == 0 else LIMIT
            yield self._sightings(notation, numbers, i[fits], j[fits], turned=turned, limit=limit)

    def _decimals_fit(self, number: int, one: IntArray, other: IntArray) -> Flags:
        most, least = np.maximum(one, other), np.minimum(one, other)
        if number == 0:
            return np.asarray((most >= _LEAST_DECIMALS) & (least >= _LEAST_OTHER_DECIMALS))
        if number == 1:
            return np.asarray(least >= _RADIAN_DECIMALS - 1)
        if number >= self._integers_from:
            return np.asarray(most < 0)
        return np.ones(len(one), bool)

    def _commas(self, digits: Digits) -> Iterator[Sightings]:
        yield from self._degree_pairs(digits.comma_numbers(), "decimal comma", range(1, 4), PROSE_LIMIT)

    def _degree_pairs(self, numbers: Numbers, label: str, apart: range, limit: float) -> Iterator[Sightings]:
        if len(numbers) < 2:
            return
        mask = self._degree_ranges.masks(numbers.value)
        notation = self._index.degrees(label)
        for _, turned, i, j in _neighbours(numbers, mask, apart):
            yield self._sightings(notation, numbers, i, j, turned=turned, limit=limit)

    def _sightings(
        self,
        notation: Notation,
        numbers: Numbers,
        i: NDArray[np.intp],
        j: NDArray[np.intp],
        *,
        turned: bool,
        limit: float,
    ) -> Sightings:
        one, other = numbers.value[i], numbers.value[j]
        first, second = notation.read(*((other, one) if turned else (one, other)))
        if notation.space is self._index.globe:
            first, second = (
                np.copysign(v, sign) if sign else v
                for v, sign in zip((first, second), self._signs, strict=True)
            )
        return Sightings(
            label=notation.label,
            space=notation.space,
            first=first,
            second=second,
            start=numbers.start[i],
            end=numbers.end[j],
            limit=limit,
        )

    def _earth_centred(self, numbers: Numbers) -> Iterator[Sightings]:
        mask = self._earth_ranges.masks(numbers.value)
        at = np.flatnonzero(mask[:-2])
        mask_at = mask[at] & (mask[at + 1] >> np.uint64(1)) & (mask[at + 2] >> np.uint64(2))
        for unit, (label, scale) in enumerate(_EARTH_UNITS):
            i = at[(mask_at & bit(3 * unit)) != 0]
            i = i[numbers.end[i + 2] - numbers.start[i] <= _GAP]
            if len(i):
                x, y, z = (numbers.value[i + k] / scale for k in range(3))
                lat, lon = from_earth_centred(x, y, z)
                yield Sightings(
                    label=f"earth-centred{label}",
                    space=self._index.globe,
                    first=lat,
                    second=lon,
                    start=numbers.start[i],
                    end=numbers.end[i + 2],
                )

    def _sexagesimal(self, numbers: Numbers) -> Iterator[tuple[Numbers, range]]:
        """Degrees and minutes, degrees, minutes and seconds: neighbours that are close to one another."""
        value, whole = np.abs(numbers.value), numbers.decimals < 0
        close = numbers.start[1:] - numbers.end[:-1] <= _UNIT_GAP
        degree = whole[:-1] & (value[:-1] <= 180.0) & (value[1:] <= 60.0) & close
        minutes = np.flatnonzero(degree & (numbers.decimals[1:] >= 2))
        yield _combined(numbers, minutes, 1), range(1, 4)
        if len(value) > 2:
            seconds = np.flatnonzero(degree[:-1] & whole[1:-1] & (value[2:] <= 60.0) & close[1:])
            yield _combined(numbers, seconds, 2), range(1, _SEXAGESIMAL_NEIGHBOURS)


def _combined(numbers: Numbers, at: NDArray[np.intp], last: int) -> Numbers:
    size = sum(np.abs(numbers.value[at + k]) / 60.0**k for k in range(last + 1))
    value = np.where(np.signbit(numbers.value[at]) | np.signbit(numbers.value[at + last]), -size, size)
    return Numbers(
        value=value, decimals=numbers.decimals[at + last], start=numbers.start[at], end=numbers.end[at + last]
    )


def _nmea(numbers: Numbers, *, small: bool) -> Numbers:
    """``dddmm.mmmm`` of NMEA 0183; below one degree only where ``small``."""
    at = _between(numbers, 100.0, 18_060.0, decimals=2, small=small)
    size = np.abs(numbers.value[at])
    return _split(numbers, at, size // 100.0 + size % 100.0 / 60.0, size % 100.0 <= 60.0)


def _packed(numbers: Numbers, *, small: bool) -> Numbers:
    """``dddmmss.ss`` of ISO 6709; below ten minutes only where ``small``."""
    at = _between(numbers, 1_000.0, 1_806_000.0, decimals=1, small=small)
    size = np.abs(numbers.value[at])
    degrees, minutes, seconds = size // 1e4, size // 100.0 % 100.0, size % 100.0
    return _split(
        numbers, at, degrees + minutes / 60.0 + seconds / 3600.0, (minutes <= 60.0) & (seconds <= 60.0)
    )


def _between(numbers: Numbers, least: float, most: float, *, decimals: int, small: bool) -> NDArray[np.intp]:
    size = np.abs(numbers.value)
    # Near the equator or Greenwich a value can be as short as any number.
    return np.flatnonzero(
        (numbers.decimals >= decimals) & (size < most) & (size >= (0.0 if small else least))
    )


def _split(numbers: Numbers, at: NDArray[np.intp], degrees: FloatArray, fits: Flags) -> Numbers:
    at, degrees = at[fits], degrees[fits]
    return Numbers(
        value=np.copysign(degrees, numbers.value[at]),
        decimals=numbers.decimals[at],
        start=numbers.start[at],
        end=numbers.end[at],
    )


def _negative(numbers: Numbers, negative: Flags) -> Numbers:
    value = np.where(negative, -np.abs(numbers.value), numbers.value)
    return replace(numbers, value=value)


def _neighbours(
    numbers: Numbers, mask: Masks, apart: range
) -> Iterator[tuple[int, bool, NDArray[np.intp], NDArray[np.intp]]]:
    """Notation, whether the second coordinate comes first, and the places of both numbers."""
    hot = np.flatnonzero(mask)
    for step in apart:
        i = hot[: np.searchsorted(hot, len(mask) - step)]
        for number, turned, at in pairs(mask[i], mask[i + step], i):
            gap = numbers.start[at + step] - numbers.end[at]
            near = at[(gap >= 0) & (gap <= _GAP)]
            if len(near):
                yield number, turned, near, near + step
