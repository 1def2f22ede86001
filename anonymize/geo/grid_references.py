# ruff: noqa: PLR2004 - numbers are those of the notations
"""Positions written as one word: geohash, Open Location Code, MGRS."""

import re
from collections.abc import Callable, Iterator

import numpy as np

from anonymize.geo.chance import PROSE_LIMIT, Sightings
from anonymize.geo.position_index import PositionIndex

_BASE32 = "0123456789bcdefghjkmnpqrstuvwxyz"
_CODE20 = "23456789CFGHJMPQRVWX"
_COLUMNS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_GEOHASH = re.compile(rb"(?<![0-9A-Za-z])[0-9b-hjkmnp-z]{8,12}(?![0-9A-Za-z])")
_OPEN_LOCATION_CODE = re.compile(
    rb"(?<![0-9A-Za-z])[2-9CFGHJMPQRVWX]{8}\+[2-9CFGHJMPQRVWX]{2,5}(?![0-9A-Za-z])"
)
_MGRS = re.compile(
    rb"(?<![0-9A-Za-z])([1-9]|[1-5]\d|60) ?([C-HJ-NP-X]) ?([A-HJ-NP-Z])([A-HJ-NP-V]) ?"
    rb"(?:(\d{5}) ?(\d{5})|(\d{4}) ?(\d{4}))(?![0-9A-Za-z])"
)
_DIGIT = re.compile(rb"\d")


class GridReferences:
    """A search of text for words that name a cell near a fix of an index.

    Geohashes from 8 characters (38 m by 19 m), codes from 10 digits (14 m), references from four digits for each
    coordinate (10 m): coarser ones name no place near a fix. The middle of the cell counts.
    """

    def __init__(self, index: PositionIndex) -> None:
        self._index = index
        self._utm = next(n for n in index.metres if n.label == "utm")

    def search(self, content: bytes) -> Iterator[Sightings]:
        """Everything in the text that could be a position; places are bytes."""
        words = (m for m in _GEOHASH.finditer(content) if _DIGIT.search(m[0]))
        yield from self._read("geohash", words, _geohash)
        if b"+" in content:
            yield from self._read("open location code", _OPEN_LOCATION_CODE.finditer(content), _code)
        yield from self._mgrs(content)

    def _read(
        self, label: str, words: Iterator[re.Match[bytes]], read: Callable[[str], tuple[float, float]]
    ) -> Iterator[Sightings]:
        found = list(words)
        if found:
            places = np.array([read(m[0].decode()) for m in found])
            yield Sightings(
                label=label,
                space=self._index.globe,
                first=places[:, 0],
                second=places[:, 1],
                start=np.array([m.start() for m in found]),
                end=np.array([m.end() for m in found]),
                limit=PROSE_LIMIT,
            )

    def _mgrs(self, content: bytes) -> Iterator[Sightings]:
        found = list(_MGRS.finditer(content))
        eastings, northings, matches = [], [], []
        for match in found:
            zone, column, row = int(match[1]), match[3].decode(), match[4].decode()
            columns = _COLUMNS[(zone - 1) % 3]
            if column not in columns:
                continue
            digits = (match[5] or match[7], match[6] or match[8])
            unit = 10.0 ** (5 - len(digits[0]))
            easting, northing = ((int(d) + 0.5) * unit for d in digits)
            base = (_ROWS.index(row) - (5 if zone % 2 == 0 else 0)) % 20 * 1e5
            # Rows repeat every 2,000 km; those within the vicinity are meant.
            for cycle in range(5):
                eastings.append((columns.index(column) + 1) * 1e5 + easting)
                northings.append(base + northing + cycle * 2e6)
                matches.append(match)
        if matches:
            yield Sightings(
                label="mgrs",
                space=self._utm.space,
                first=np.array(eastings),
                second=np.array(northings),
                start=np.array([m.start() for m in matches]),
                end=np.array([m.end() for m in matches]),
                limit=PROSE_LIMIT,
            )


def _geohash(word: str) -> tuple[float, float]:
    """Middle of a geohash's cell."""
    bits = "".join(f"{_BASE32.index(c):05b}" for c in word)
    lon, lat = bits[0::2], bits[1::2]
    return (
        (int(lat, 2) + 0.5) / (1 << len(lat)) * 180.0 - 90.0,
        (int(lon, 2) + 0.5) / (1 << len(lon)) * 360.0 - 180.0,
    )


def _code(word: str) -> tuple[float, float]:
    """Middle of the cell of an Open Location Code: five pairs of digits, then digits on a grid of 5 rows, 4 columns."""
    digits = [_CODE20.index(c) for c in word.replace("+", "")]
    lat, lon, size = 0.0, 0.0, 400.0
    for north, east in zip(digits[0:10:2], digits[1:10:2], strict=True):
        size /= 20.0
        lat, lon = lat + north * size, lon + east * size
    height = width = size
    for digit in digits[10:]:
        height, width = height / 5.0, width / 4.0
        lat, lon = lat + digit // 4 * height, lon + digit % 4 * width
    return lat + height / 2.0 - 90.0, lon + width / 2.0 - 180.0
