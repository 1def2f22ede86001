# ruff: noqa: PLR2004 - zone widths and false offsets are those of the notations
"""Transverse Mercator zones in which a drive may have been written: UTM and Gauss-Krueger."""

from collections.abc import Callable, Iterator

import numpy as np

from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.public_formulas import transverse_mercator

Projection = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]

_FALSE_EASTING_M = 500_000.0
_FALSE_NORTHING_M = 10_000_000.0
_PREFIX_M = 1_000_000.0


def projections() -> dict[str, Projection]:
    """Projections by name, each to eastings and northings in metres of every zone that is used for a position.

    A position is projected in its own zone and in the nearest neighbour, since a drive across a border is
    kept in one zone. Southern positions come with the false northing and without. Gauss-Krueger zones are
    those of CGCS2000 (GB/T 17798): 3 degrees wide with the number of the central meridian over 3, or 6
    degrees wide, scale 1. Xi'an 80 and Beijing 54 differ by parameters that are not public and are not
    searched.
    """
    found: dict[str, Projection] = {}
    for name, width, scale, first_number in (
        ("utm", 6.0, 0.9996, 31),
        ("gauss-kruger 6", 6.0, 1.0, 1),
        ("gauss-kruger 3", 3.0, 1.0, 1),
    ):
        for prefixed in (False, True):
            label = f"{name} with zone" if prefixed else name
            found[label] = _projection(width, scale, first_number if prefixed else None)
    return found


def _projection(width: float, scale: float, first_number: int | None) -> Projection:
    def project(lat: FloatArray, lon: FloatArray) -> tuple[FloatArray, FloatArray]:
        parts = list(_zones(lat, lon, width, scale, first_number))
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    return project


def _zones(
    lat: FloatArray, lon: FloatArray, width: float, scale: float, first_number: int | None
) -> Iterator[tuple[FloatArray, FloatArray]]:
    # Zones of 6 degrees begin at 0, those of 3 degrees are centred on multiples of 3.
    centre = width / 2.0 if width == 6.0 else 0.0
    number = np.round((lon - centre) / width)
    beside = np.where(lon - centre >= number * width, 1.0, -1.0)
    for zone in (number, number + beside):
        central = zone * width + centre
        east, north = transverse_mercator(lat, lon, central, scale=scale)
        prefix = np.zeros(len(lat))
        if first_number is not None:
            zones = 360.0 / width
            base = first_number if width == 6.0 else 0
            prefix = ((zone + base - 1.0) % zones + 1.0) * _PREFIX_M
        east = east + _FALSE_EASTING_M + prefix
        yield east, north
        south = lat < 0.0
        if south.any():
            yield east[south], north[south] + _FALSE_NORTHING_M
