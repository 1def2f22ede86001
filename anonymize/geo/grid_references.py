"""Positions written as one word: geohash, Open Location Code, MGRS."""

import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from anonymize.geo.chance import PROSE_LIMIT, Sightings
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.position_index import PositionIndex

Bytes = NDArray[np.uint8]
Places = NDArray[np.intp]

_PAD = 32
_GEOHASH, _LONGEST_GEOHASH = 8, 12
_CODE, _GRID_DIGITS = 8, 2
_COLUMNS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_HUNDRED_KM, _ROW_CYCLE_M, _ROW_CYCLES, _EVEN_ZONE_ROWS = 1e5, 2e6, 5, 5
_MGRS = re.compile(
    rb"([1-9]|[1-5]\d|60) ?[C-HJ-NP-X] ?([A-HJ-NP-Z])([A-HJ-NP-V]) ?"
    rb"(?:(\d{5}) ?(\d{5})|(\d{4}) ?(\d{4}))(?![0-9A-Za-z])"
)


def _values(alphabet: str) -> NDArray[np.int64]:
    """Value of each byte as a digit of an alphabet, -1 for other bytes."""
    table = np.full(256, -1, np.int64)
    table[[ord(c) for c in alphabet]] = np.arange(len(alphabet))
    return table


_BASE32 = _values("0123456789bcdefghjkmnpqrstuvwxyz")
_CODE20 = _values("23456789CFGHJMPQRVWX")
_DIGIT, _CAPITAL = (_values(a) >= 0 for a in ("0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
_ALNUM = _DIGIT | _CAPITAL | (_values("abcdefghijklmnopqrstuvwxyz") >= 0)


class GridReferences:
    """A search of text for words that name a cell near a fix of an index.

    Geohashes from 8 characters (38 m by 19 m), codes from 10 digits (14 m), references from four digits for
    each coordinate (10 m): coarser ones name no place near a fix.
    """

    def __init__(self, index: PositionIndex) -> None:
        self._globe = index.globe
        self._utm = next(notation.space for notation in index.metres if notation.label == "utm")

    def search(self, content: Bytes) -> Iterator[Sightings]:
        """Everything in the text that could be a position; places are bytes."""
        text = np.zeros(len(content) + 2 * _PAD, np.uint8)
        text[_PAD:-_PAD] = content
        yield from self._geohashes(text)
        yield from self._codes(text)
        yield from self._references(text)

    def _geohashes(self, text: Bytes) -> Iterator[Sightings]:
        edges = np.flatnonzero(np.diff(_ALNUM[text])) + 1
        start, end = edges[0::2], edges[1::2]
        long = (end - start >= _GEOHASH) & (end - start <= _LONGEST_GEOHASH)
        start, end = start[long], end[long]
        digits = _BASE32[text[start[:, None] + np.arange(_LONGEST_GEOHASH)]]
        outside = np.arange(_LONGEST_GEOHASH) >= (end - start)[:, None]
        fits = (digits >= 0) | outside
        # A number is no geohash, though one in 10,000 geohashes looks like one.
        word = fits.all(axis=1) & (~_DIGIT[text[start[:, None] + np.arange(_GEOHASH)]]).any(axis=1)
        start, end = start[word], end[word]
        digits = np.where(outside[word], 0, digits[word])
        if len(start):
            # An eight-character cell is wider than the tolerance: the middles of its quarters count.
            short = np.flatnonzero(end - start == _GEOHASH)
            extra = np.repeat(short, 4)
            quarters = digits[extra]
            quarters[:, _GEOHASH] = np.tile([4, 12, 20, 28], len(short))
            size = np.concatenate((np.maximum(end - start, _GEOHASH + 1), np.full(len(extra), _GEOHASH + 1)))
            lat, lon = _geohash(np.concatenate((digits, quarters)), size)
            at = np.concatenate((np.arange(len(start)), extra))
            yield self._on_globe("geohash", lat, lon, start[at], end[at])

    def _codes(self, text: Bytes) -> Iterator[Sightings]:
        """Open Location Codes: five pairs of digits, then digits on grids of five rows and four columns."""
        plus = np.flatnonzero(text == ord("+"))
        before = _CODE20[text[plus[:, None] + np.arange(-_CODE, 0)]]
        after = _CODE20[text[plus[:, None] + np.arange(1, 1 + _GRID_DIGITS)]]
        whole = (before >= 0).all(axis=1) & (after >= 0).all(axis=1) & ~_ALNUM[text[plus - _CODE - 1]]
        plus = plus[whole]
        if not len(plus):
            return
        digits = np.concatenate((before, after), axis=1)[whole]
        weights = 400.0 / 20.0 ** np.arange(1, 6)
        lat, lon = digits[:, 0::2] @ weights, digits[:, 1::2] @ weights
        half = weights[-1] / 2.0
        end = plus + 1 + _GRID_DIGITS
        further = _CODE20[text[end]]
        lat += np.where(further < 0, half, (further // 4 + 0.5) * weights[-1] / 5.0)
        lon += np.where(further < 0, half, (further % 4 + 0.5) * weights[-1] / 4.0)
        yield self._on_globe("open location code", lat - 90.0, lon - 180.0, plus - _CODE, end)

    def _references(self, text: Bytes) -> Iterator[Sightings]:
        """MGRS: rows of letters repeat every 2,000 km; the one within the vicinity is meant."""
        matches = list(_matches(text))
        if not matches:
            return
        places = np.array([_reference(m) for m in matches])
        cycles = np.arange(_ROW_CYCLES) * _ROW_CYCLE_M
        yield Sightings(
            label="mgrs",
            space=self._utm,
            first=np.repeat(places[:, 0], _ROW_CYCLES),
            second=(places[:, 1:] + cycles).ravel(),
            start=np.repeat([m.start() - _PAD for m in matches], _ROW_CYCLES),
            end=np.repeat([m.end() - _PAD for m in matches], _ROW_CYCLES),
            limit=PROSE_LIMIT,
        )

    def _on_globe(
        self, label: str, lat: FloatArray, lon: FloatArray, start: Places, end: Places
    ) -> Sightings:
        return Sightings(
            label=label,
            space=self._globe,
            first=lat,
            second=lon,
            start=start - _PAD,
            end=end - _PAD,
            limit=PROSE_LIMIT,
        )


def _geohash(digits: NDArray[np.int64], size: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Middles of the cells that the first ``size`` characters name: bits of longitude and latitude in turn."""
    lat, lon = np.zeros(len(digits)), np.zeros(len(digits))
    height, width = np.full(len(digits), 180.0), np.full(len(digits), 360.0)
    for place in range(5 * digits.shape[1]):
        used = place < 5 * size
        high = (digits[:, place // 5] >> (4 - place % 5)) & 1
        value, span = (lon, width) if place % 2 == 0 else (lat, height)
        span[used] /= 2.0
        value += np.where(used, high * span, 0.0)
    return lat + height / 2.0 - 90.0, lon + width / 2.0 - 180.0


def _matches(text: Bytes) -> Iterator[re.Match[bytes]]:
    """Words of a zone's number, its letter and two letters of a square, with or without blanks between."""
    digit, capital, blank = _DIGIT[text], _CAPITAL[text], text == ord(" ")
    square = capital[:-1] & capital[1:]
    after_zone = digit[:-5] & (
        (capital[1:-4] & (square[2:-2] | (blank[2:-3] & square[3:-1])))
        | (blank[1:-4] & capital[2:-3] & (square[3:-1] | (blank[3:-2] & square[4:])))
    )
    content = text.tobytes()
    for last in np.flatnonzero(after_zone).tolist():
        start = last - 1 if digit[last - 1] else last
        if not _ALNUM[text[start - 1]] and (match := _MGRS.match(content, start)):
            yield match


def _reference(match: re.Match[bytes]) -> tuple[float, float]:
    """Easting and northing in metres of the middle of a reference, the northing up to whole cycles of rows."""
    zone, column, row = int(match[1]), match[2].decode(), match[3].decode()
    columns = _COLUMNS[(zone - 1) % 3]
    if column not in columns:
        return np.nan, np.nan
    digits = (match[4] or match[6], match[5] or match[7])
    unit = 10.0 ** (5 - len(digits[0]))
    easting, northing = ((int(d) + 0.5) * unit for d in digits)
    rows = (_ROWS.index(row) - (_EVEN_ZONE_ROWS if zone % 2 == 0 else 0)) % len(_ROWS)
    return (columns.index(column) + 1) * _HUNDRED_KM + easting, rows * _HUNDRED_KM + northing
