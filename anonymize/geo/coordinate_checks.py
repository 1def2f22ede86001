"""Checks of coordinates before and after they change their reference system; no message holds a true place."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymize.errors import MalformedItemError
from anonymize.geo.ellipsoid import FloatArray

Bounds = tuple[float, float, float, float]

_AREA_MARGIN_DEG = 1.0
_DEEPEST_M, _HIGHEST_M = -12_000.0, 100_000.0
_LAT_LIMIT, _LON_LIMIT = 90.0, 180.0


def coordinate_arrays(
    first: ArrayLike, second: ArrayLike, third: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Two or three coordinates as arrays of one shape.

    Raises:
        MalformedItemError: Their shapes differ.
    """
    x, y = (np.asarray(v, dtype=np.float64) for v in (first, second))
    z = None if third is None else np.asarray(third, dtype=np.float64)
    if x.shape != y.shape or (z is not None and z.shape != x.shape):
        raise MalformedItemError(
            f"coordinates have one shape (got {x.shape}, {y.shape}{'' if z is None else f' and {z.shape}'})"
        )
    return x, y, z


def require_finite(system: str, *axes: FloatArray) -> None:
    """Require finite coordinates.

    Raises:
        MalformedItemError: Names the first position and axis that is not.
    """
    for number, values in enumerate(axes):
        at = _first(~np.isfinite(values))
        if at is not None:
            raise MalformedItemError(
                f"position {at}: coordinate {number + 1} in {system} is not finite "
                f"(got {float(values.flat[at])!r})"
            )


def require_degrees(system: str, lat: FloatArray, lon: FloatArray) -> None:
    """Require finite latitudes and longitudes in range.

    Raises:
        MalformedItemError: Names the first offending position and its value.
    """
    for name, values, limit in (("latitude", lat, _LAT_LIMIT), ("longitude", lon, _LON_LIMIT)):
        at = _first(~(np.abs(values) <= limit))
        if at is not None:
            raise MalformedItemError(
                f"position {at}: {name} in {system} is impossible "
                f"(got {float(values.flat[at])!r}, expected -{limit:g} to {limit:g})"
            )


def require_area(system: str, bounds: Bounds | None, lat: FloatArray, lon: FloatArray) -> None:
    """Require positions in degrees, EPSG:4326, within a system's area of use or a degree around it.

    Args:
        system: Its name for messages.
        bounds: West, south, east and north in degrees; west lies east of east where the area crosses the
            antimeridian. None: anywhere.
        lat: Latitudes.
        lon: Longitudes.

    Raises:
        MalformedItemError: Names the first position outside, and the area.
    """
    require_finite(system, lat, lon)
    if bounds is None:
        return
    west, south, east, north = bounds
    margin = _AREA_MARGIN_DEG
    after, before = lon >= west - margin, lon <= east + margin
    across = (after | before) if west > east else (after & before)
    at = _first(~(across & (lat >= south - margin) & (lat <= north + margin)))
    if at is not None:
        raise MalformedItemError(
            f"position {at}: outside the area of {system} (got one elsewhere, "
            f"expected longitude {west:g} to {east:g} and latitude {south:g} to {north:g})"
        )


def require_height(system: str, height_m: FloatArray) -> None:
    """Require heights between the deepest sea and space.

    Raises:
        MalformedItemError: Names the first position that is no place on Earth.
    """
    at = _first(~((height_m >= _DEEPEST_M) & (height_m <= _HIGHEST_M)))
    if at is not None:
        raise MalformedItemError(
            f"position {at}: no place on Earth in {system} "
            f"(got another height, expected {_DEEPEST_M:g} to {_HIGHEST_M:g} m)"
        )


def _first(bad: NDArray[np.bool_]) -> int | None:
    at = np.flatnonzero(bad)
    return int(at[0]) if len(at) else None
