# ruff: noqa: PLR2004 - numbers are sizes and layouts of stored numbers
"""Pairs of stored numbers that could be a position of the known drive: floats and integers of both byte orders.

The two leading bytes of a number tell its magnitude to a few per cent. One table look-up for each byte of the
content says in which types and notations a number that is led by these bytes could be a coordinate in the
vicinity; only the few that could, with a partner at a distance at which records keep latitude and longitude,
are decoded.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from anonymize.geo.chance import Sightings
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.number_ranges import Masks, bit, pairs
from anonymize.geo.position_index import Bounds, Notation, PositionIndex, Space, from_earth_centred

LONGEST = 128
_CODES = 1 << 16
_LEAST_SHARE = 5e-7
_RATIONAL_BYTES = 24
_RATIONAL_GAP = 64
_ZERO_ONE = 0x0100
Order = Literal["<", ">"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Type:
    """A stored type.

    Attributes:
        name: Its name. code: numpy's code for it. lead: Bytes from its first byte to its two leading ones,
        little and big endian. strides: Distances at which a latitude and its longitude lie: side by side,
        with the field tags of protocol
            buffers or the markers of MessagePack between them, or (64-bit floats) with short names or a third
            field between them.
        triples: The same for three neighbours.
    """

    name: str
    code: str
    lead: tuple[int, int]
    strides: tuple[int, ...]
    triples: tuple[int, ...] = ()


_FLOAT64 = _Type(name="float64", code="f8", lead=(6, 0), strides=tuple(range(8, 25)), triples=(8, 9))
_FLOAT32 = _Type(name="float32", code="f4", lead=(2, 0), strides=(4, 5), triples=(4, 5))
_INT32 = _Type(name="int32", code="i4", lead=(2, 0), strides=(4, 5), triples=(4,))
_INT64 = _Type(name="int64", code="i8", lead=(2, 4), strides=(8, 9))
_INTEGER_UNITS = (
    ("e7", 1e7),
    ("e6", 1e6),
    ("milliarcseconds", 3.6e6),
    ("semicircles", 2.0**31 / 180.0),
)


class _Layout:
    """One type with its notations and a table from two leading bytes to a mask of notations.

    ``leading`` is the type whose bytes the table is made for: 64-bit integers are found by their lower half.
    """

    def __init__(
        self,
        kind: _Type,
        leading: _Type,
        notations: tuple[Notation, ...],
        earth: tuple[Bounds, ...],
        unit: float,
    ) -> None:
        self.kind, self.notations, self.unit = kind, notations, unit
        ranges = [
            (2 * number + axis, bounds)
            for number, notation in enumerate(notations)
            for axis, bounds in enumerate((notation.first, notation.second))
        ]
        self.earth_bit = 2 * len(notations)
        self.pair_bits = np.uint64((1 << self.earth_bit) - 1)
        if kind.triples:
            scaled = [(low * unit, high * unit) for low, high in earth]
            ranges += [(self.earth_bit + axis, bounds) for axis, bounds in enumerate(scaled)]
        self.table = _table(leading, ranges)


class StoredPositions:
    """A search of bytes for the positions of an index, at any alignment."""

    def __init__(self, index: PositionIndex) -> None:
        self._index = index
        floats = (index.degrees(""), index.radians("radians"), *index.metres)
        degrees = tuple(index.degrees("").scaled(label, unit) for label, unit in _INTEGER_UNITS)
        earth = index.earth_centred
        self._layouts = (
            _Layout(_FLOAT64, _FLOAT64, floats, earth, 1.0),
            _Layout(_FLOAT32, _FLOAT32, floats, earth, 1.0),
            _Layout(_INT32, _INT32, degrees, earth, 100.0),
            _Layout(_INT64, _INT32, degrees[:1], earth, 1.0),
        )
        self._any = sum(
            ((layout.table != 0).astype(np.uint8) << number for number, layout in enumerate(self._layouts)),
            start=np.zeros(_CODES, np.uint8),
        )

    def search(self, content: bytes) -> Iterator[Sightings]:
        """Everything in the bytes that could be a position; places are bytes."""
        if len(content) < 8:
            return
        little = np.ascontiguousarray(
            np.ndarray((len(content) - 1,), "<u2", np.frombuffer(content, np.uint8).data, strides=(1,))
        )
        orders: tuple[tuple[Order, NDArray[np.uint16]], ...] = (("<", little), (">", little.byteswap()))
        for order, codes in orders:
            flags = self._any[codes]
            hot = np.flatnonzero(flags)
            found = flags[hot]
            for number, layout in enumerate(self._layouts):
                at = hot[(found >> np.uint8(number)) & np.uint8(1) != 0]
                if len(at):
                    yield from self._layout(layout, order, content, codes, at)
            yield from self._rationals(content, order, little)

    def _layout(
        self, layout: _Layout, order: Order, content: bytes, codes: NDArray[np.uint16], at: NDArray[np.intp]
    ) -> Iterator[Sightings]:
        kind = layout.kind
        lead = kind.lead[0] if order == "<" else kind.lead[1]
        numbers = np.ndarray(
            (max(len(content) - int(kind.code[1]) + 1, 0),),
            order + kind.code,
            np.frombuffer(content, np.uint8).data,
            strides=(1,),
        )
        at = at[(at >= lead) & (at - lead < len(numbers))]
        mask = layout.table[codes[at]]
        coordinate = mask & layout.pair_bits
        for stride in kind.strides:
            low = at[: np.searchsorted(at, len(numbers) + lead - stride)]
            partner = layout.table[codes[low + stride]]
            for number, turned, places in pairs(coordinate[: len(low)], partner, low - lead):
                yield self._pair(layout, number, numbers, places, stride, turned=turned)
        yield from self._triples(layout, numbers, codes, at, mask, lead)

    def _pair(
        self,
        layout: _Layout,
        number: int,
        numbers: NDArray[np.generic],
        places: NDArray[np.intp],
        stride: int,
        *,
        turned: bool,
    ) -> Sightings:
        notation = layout.notations[number]
        one, other = _read(numbers, places), _read(numbers, places + stride)
        first, second = (other, one) if turned else (one, other)
        fits = (np.abs(first) >= _least(notation.first)) & (np.abs(second) >= _least(notation.second))
        first, second = notation.read(first[fits], second[fits])
        label = f"{layout.kind.name} {notation.label}".strip()
        return _sightings(label, notation.space, (first, second), places[fits], stride + numbers.itemsize)

    def _triples(
        self,
        layout: _Layout,
        numbers: NDArray[np.generic],
        codes: NDArray[np.uint16],
        at: NDArray[np.intp],
        mask: Masks,
        lead: int,
    ) -> Iterator[Sightings]:
        if not layout.kind.triples:
            return
        x = at[(mask & bit(layout.earth_bit)) != 0]
        for stride in layout.kind.triples:
            places = x[: np.searchsorted(x, len(numbers) + lead - 2 * stride)]
            for axis in (1, 2):
                kept = layout.table[codes[places + axis * stride]] & bit(layout.earth_bit + axis)
                places = places[kept != 0]
            places = places - lead
            if len(places):
                lat, lon = from_earth_centred(
                    *(_read(numbers, places + axis * stride) / layout.unit for axis in range(3))
                )
                label = f"{layout.kind.name} earth-centred"
                length = 2 * stride + numbers.itemsize
                yield _sightings(label, self._index.globe, (lat, lon), places, length)

    def _rationals(self, content: bytes, order: Order, little: NDArray[np.uint16]) -> Iterator[Sightings]:
        """Degrees, minutes and seconds as three pairs of 32-bit integers (EXIF 2.3, 4.6.6), degrees over 1."""
        # A byte 0 and a byte 1: where the numerator's zeros meet the denominator 1, or that denominator's end.
        places = np.flatnonzero(little == _ZERO_ONE) - (3 if order == "<" else 6)
        places = places[(places >= 0) & (places <= len(content) - _RATIONAL_BYTES)]
        zeros = (1, 2, 5, 6) if order == "<" else (0, 1, 4, 5)
        for offset in zeros:
            places = places[little[places + offset] == 0]
        if len(places) < 2:
            return
        words = np.ndarray(
            (len(content) - 3,), order + "u4", np.frombuffer(content, np.uint8).data, strides=(1,)
        )
        parts = [words[places + 4 * k].astype(np.float64) for k in range(6)]
        with np.errstate(all="ignore"):
            minutes, seconds = parts[2] / parts[3], parts[4] / parts[5]
            fits = (parts[0] <= 180.0) & (minutes <= 60.0) & (seconds <= 60.0)
        places, value = places[fits], (parts[0] + minutes / 60.0 + seconds / 3600.0)[fits]
        for apart in (1, 2, 3):
            i = np.arange(max(len(places) - apart, 0))
            i = i[places[i + apart] - places[i] - _RATIONAL_BYTES <= _RATIONAL_GAP]
            for one, other in ((i, i + apart), (i + apart, i)):
                # The hemispheres are in other fields.
                for south, west in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
                    yield Sightings(
                        label="rationals",
                        space=self._index.globe,
                        first=south * value[one],
                        second=west * value[other],
                        start=places[i].astype(np.int64),
                        end=places[i + apart].astype(np.int64) + _RATIONAL_BYTES,
                    )


def _sightings(
    label: str, space: Space, values: tuple[FloatArray, FloatArray], places: NDArray[np.intp], length: int
) -> Sightings:
    start = places.astype(np.int64)
    return Sightings(
        label=label, space=space, first=values[0], second=values[1], start=start, end=start + length
    )


def _read(numbers: NDArray[np.generic], places: NDArray[np.intp]) -> FloatArray:
    with np.errstate(invalid="ignore"):
        return numbers[places].astype(np.float64)


def _least(bounds: Bounds) -> float:
    """Least size of a number that counts: some 10 cm from the equator or Greenwich.

    Half of all random 64-bit floats are smaller, and most content is full of zeros.
    """
    return _LEAST_SHARE * (bounds[1] - bounds[0])


def _table(kind: _Type, ranges: list[tuple[int, Bounds]]) -> Masks:
    """For each value of the two leading bytes, the bits of the ranges that a number so led can lie in."""
    low, high = _extent(kind.code)
    size = np.maximum(np.abs(low), np.abs(high))
    table = np.zeros(_CODES, np.uint64)
    for position, bounds in ranges:
        table[(low <= bounds[1]) & (high >= bounds[0]) & (size >= _least(bounds))] |= bit(position)
    return table


@functools.cache
def _extent(code: str) -> tuple[FloatArray, FloatArray]:
    """Least and greatest number of a type for each value of its two leading bytes; NaN where there is none."""
    size = int(code[1])
    first = np.arange(_CODES, dtype=np.uint64) << np.uint64(8 * size - 16)
    last = first | np.uint64((1 << (8 * size - 16)) - 1)
    with np.errstate(invalid="ignore"):
        ends = [v.astype(f"<u{size}").view(f"<{code}").astype(np.float64) for v in (first, last)]
    # The last code of each sign that numbers have goes on into infinity and what is no number.
    return np.minimum(*ends), np.where(np.isnan(np.maximum(*ends)), np.inf, np.maximum(*ends))
