"""A search for known positions in arbitrary content, whatever notation they are written in.

Independent of every reader and writer: it looks for neighbouring numbers that name a place near one of the
given fixes, as decimal degrees in either order, degrees-minutes-seconds, NMEA, scaled integers, or binary
floats and integers.
"""

import functools
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymize.finding import Finding, FindingKind, IndexSpan, TextSpan
from anonymize.geo.ellipsoid import FloatArray, radii_m, wrap_degrees

_DETECTOR = "positions"
_NEIGHBOURS = 3
_AT_ONCE = 65_536
_MOST_FINDINGS = 1000
_LEAST_COSINE = 1e-3
_SLACK = 1.001
_STRIDE = 1 << 40
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d{1,3}\.\d{3,18}(?![\d.])")
_INTEGER = re.compile(r"(?<![\w.])[-+]?\d{7,10}(?![\w.])")
_SCALES = (("e7", 1e7), ("e6", 1e6), ("milliarcseconds", 3.6e6))
_SYMBOLS = re.compile(
    r"(?P<before>[NSEW北南东西])?[:纬经\s]{0,3}(?<![\d.])(?P<deg>\d{1,3})\s*[°º度]\s*"
    r"(?P<min>\d{1,2}(?:\.\d+)?)\s*"
    r"(?:['′’分]\s*(?:(?P<sec>\d{1,2}(?:\.\d+)?)\s*(?:[\"″”秒]|'')?)?)?(?(before)|\s*(?P<after>[NSEW](?![A-Za-z]))?)"
)
_SPACED = re.compile(
    r"(?<![\d.])(?=(?:(?P<before>[NSEW])\s{0,2})?(?P<deg>\d{1,3})[\s:](?P<min>\d{1,2}(?:\.\d+)?)"
    r"(?:[\s:](?P<sec>\d{1,2}\.\d+))?(?(before)|\s?(?P<after>[NSEW](?![A-Za-z]))?))"
)
_NMEA = re.compile(r"(?<![\d.])(\d{2,3})(\d{2}\.\d{2,8})\s*,\s*([NSEW])")
_BINARY = (("float64", "f8", 1.0), ("float32", "f4", 1.0), ("int32 e7", "i4", 1e7))
_NEGATIVE = frozenset("SW南西")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Numbers:
    """Numbers in the order of the content, where each begins and ends, and how they were written."""

    value: FloatArray
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    notation: str


class _Fixes:
    """Known fixes in a grid of cells no smaller than the tolerance: what is near is a neighbour."""

    def __init__(self, lat: ArrayLike, lon: ArrayLike, tolerance_m: float) -> None:
        y, x = (np.atleast_1d(np.asarray(v, dtype=np.float64)) for v in (lat, lon))
        meridian, vertical = radii_m(y)
        self._tolerance_m = tolerance_m
        self._per_lat = np.radians(1.0) * meridian
        self._per_lon = np.radians(1.0) * vertical * np.maximum(np.cos(np.radians(y)), _LEAST_COSINE)
        self._cell_lat = tolerance_m / float(self._per_lat.min(initial=np.inf)) * _SLACK
        self._cell_lon = tolerance_m / float(self._per_lon.min(initial=np.inf)) * _SLACK
        reach = np.array([-1.0, 1.0])
        self._bounds = tuple(
            (np.array([v.min(initial=np.inf), v.max(initial=-np.inf)]) + reach * cell).tolist()
            for v, cell in ((y, self._cell_lat), (x, self._cell_lon))
        )
        keys = self._keys(y, x)
        order = np.argsort(keys)
        self._sorted, self._lat, self._lon = keys[order], y[order], x[order]
        self._per_lat, self._per_lon = self._per_lat[order], self._per_lon[order]

    def holds(self, lat: FloatArray, lon: FloatArray) -> NDArray[np.bool_]:
        """Whether each position is within the tolerance of a fix."""
        found = np.zeros(len(lat), dtype=bool)
        if not len(self._sorted):
            return found
        (south, north), (west, east) = self._bounds
        at = np.flatnonzero((lat >= south) & (lat <= north) & (lon >= west) & (lon <= east))
        keys = self._keys(lat[at], lon[at])
        for beside in (-_STRIDE, 0, _STRIDE):
            low = np.searchsorted(self._sorted, keys + beside - 1)
            high = np.searchsorted(self._sorted, keys + beside + 1, side="right")
            for i in np.flatnonzero((low < high) & ~found[at]).tolist():
                near, where = slice(int(low[i]), int(high[i])), at[i]
                along = (self._lat[near] - lat[where]) * self._per_lat[near]
                across = wrap_degrees(self._lon[near] - lon[where]) * self._per_lon[near]
                found[where] |= bool((np.hypot(across, along) <= self._tolerance_m).any())
        return found

    def _keys(self, lat: FloatArray, lon: FloatArray) -> NDArray[np.int64]:
        row, column = np.floor(lat / self._cell_lat), np.floor(lon / self._cell_lon)
        return row.astype(np.int64) * _STRIDE + column.astype(np.int64)


def find_positions(
    content: bytes, *, lat: ArrayLike, lon: ArrayLike, tolerance_m: float = 15.0
) -> tuple[Finding, ...]:
    """Search content for positions near known fixes.

    Args:
        content: Text in UTF-8, or anything else.
        lat: Latitudes of the fixes in degrees, EPSG:4326.
        lon: Longitudes in degrees.
        tolerance_m: How near in metres a position must be to count.

    Returns:
        At most 1000 findings: text spans in code points (bytes where the content is not UTF-8), index spans
        in bytes for binary numbers. The notation is the label.
    """
    fixes = _Fixes(lat, lon, tolerance_m)
    try:
        text = content.decode("utf-8")
        binary = "\x00" in text
    except UnicodeDecodeError:
        text, binary = content.decode("latin-1"), True
    written = (_near(numbers, fixes, textual=True) for numbers in _written(text))
    stored = (_near(numbers, fixes, textual=False) for numbers in _stored(content)) if binary else iter(())
    found = itertools.chain.from_iterable(itertools.chain(written, stored))
    return tuple(itertools.islice(found, _MOST_FINDINGS))


def _near(numbers: _Numbers, fixes: _Fixes, *, textual: bool) -> Iterator[Finding]:
    count = len(numbers.value)
    for block in range(0, count, _AT_ONCE):
        ends: dict[int, int] = {}
        for apart in range(1, _NEIGHBOURS + 1 if textual else 2):
            first = numbers.value[block : min(block + _AT_ONCE, count - apart)]
            second = numbers.value[block + apart : block + apart + len(first)]
            for index in np.flatnonzero(fixes.holds(first, second) | fixes.holds(second, first)).tolist():
                ends.setdefault(block + index, block + index + apart)
        for begin, last in sorted(ends.items()):
            start, end = int(numbers.start[begin]), int(numbers.end[last])
            yield Finding(
                kind=FindingKind.POSITION,
                where=TextSpan(start=start, end=end) if textual else IndexSpan(start=start, end=end),
                confidence=1.0,
                detector=_DETECTOR,
                label=numbers.notation,
            )


def _written(text: str) -> Iterator[_Numbers]:
    yield _matches(_NUMBER, text, "decimal", lambda m: float(m[0]))
    for pattern in (_SYMBOLS, _SPACED):
        yield _matches(pattern, text, "degrees minutes seconds", _sexagesimal)
    yield _matches(_NMEA, text, "nmea", lambda m: _signed(int(m[1]) + float(m[2]) / 60.0, m[3]))
    for notation, scale in _SCALES:
        yield _matches(_INTEGER, text, notation, functools.partial(_scaled, scale))


def _matches(
    pattern: re.Pattern[str], text: str, notation: str, value: Callable[[re.Match[str]], float]
) -> _Numbers:
    found = list(pattern.finditer(text))
    return _Numbers(
        value=np.array([value(m) for m in found], dtype=np.float64),
        start=np.array([m.start() for m in found], dtype=np.int64),
        end=np.array([max(m.end(g) for g in range(m.re.groups + 1)) for m in found], dtype=np.int64),
        notation=notation,
    )


def _sexagesimal(match: re.Match[str]) -> float:
    degrees = int(match["deg"]) + float(match["min"]) / 60.0 + float(match["sec"] or 0.0) / 3600.0
    return _signed(degrees, match["before"] or match["after"] or "")


def _scaled(scale: float, match: re.Match[str]) -> float:
    return int(match[0]) / scale


def _signed(degrees: float, hemisphere: str) -> float:
    return -degrees if hemisphere in _NEGATIVE else degrees


def _stored(content: bytes) -> Iterator[_Numbers]:
    for (name, code, scale), order in itertools.product(_BINARY, "<>"):
        kind = np.dtype(order + code)
        for offset in range(kind.itemsize):
            count = (len(content) - offset) // kind.itemsize
            if count > 1:
                with np.errstate(invalid="ignore"):
                    value = np.frombuffer(content, kind, count, offset).astype(np.float64) / scale
                start = np.arange(count, dtype=np.int64) * kind.itemsize + offset
                yield _Numbers(value=value, start=start, end=start + kind.itemsize, notation=name)
