"""Checks of a secrecy processor about given positions: small steps stay small, and directions turn one way.

Poses are turned as the processor turns directions at their place, found by finite differences. That says something
only where the transform is smooth; points of clouds and vertices of maps have no neighbours of their own to tell.
"""

import numpy as np

from anonymize.geo.approved_checks import Check, Sample, ask, continuous, displacements_m
from anonymize.geo.distortion import turns_rad
from anonymize.geo.ellipsoid import FloatArray, radii_m
from anonymize.geo.secrecy_processor import SecrecyProcessor

MAX_TURN_DIFFERENCE_DEG = 1.0
"""Greatest difference of the turns of directions over 20 m and over 200 m, in degrees."""

_NEAR_M, _FAR_M = 10.0, 100.0
_MOST = 256


def gradient_checks(processor: SecrecyProcessor, sample: Sample) -> tuple[Check, ...]:
    """What happens 10 m and 100 m east, west, north and south of at most 256 of the positions.

    Raises:
        ProcessorError: The processor does not answer as it has to.
    """
    index = np.unique(np.linspace(0, len(sample.lat) - 1, _MOST).astype(np.intp))
    lat, lon = sample.lat[index], sample.lon[index]
    near = _crosses(lat, lon, _NEAR_M)
    out = ask(processor, near)
    steps = continuous(near, out)
    wide = _crosses(lat, lon, _FAR_M)
    apart = _turns(near, displacements_m(near, out), _NEAR_M) - _turns(
        wide, displacements_m(wide, ask(processor, wide)), _FAR_M
    )
    figure = float(np.degrees(np.abs(np.arctan2(np.sin(apart), np.cos(apart)))).max(initial=0.0))
    return (
        Check(
            name="continuous about each position",
            passed=steps.passed,
            figure=steps.figure,
            limit=steps.limit,
            unit=steps.unit,
        ),
        Check(
            name="turns directions alike",
            passed=figure <= MAX_TURN_DIFFERENCE_DEG,
            figure=figure,
            limit=MAX_TURN_DIFFERENCE_DEG,
            unit="degrees",
        ),
    )


def _crosses(lat: FloatArray, lon: FloatArray, step_m: float) -> Sample:
    """West, east, south and north of each position; west and east are neighbours, and south and north."""
    meridian, vertical = radii_m(lat)
    d_lat = np.degrees(step_m / meridian)
    d_lon = np.degrees(step_m / (vertical * np.cos(np.radians(lat))))
    none = np.zeros(len(lat))
    joined = np.zeros(4 * len(lat) - 1, dtype=bool)
    joined[::2] = True
    return Sample(
        lat=np.stack([lat, lat, lat - d_lat, lat + d_lat], axis=1).ravel(),
        lon=np.stack([lon - d_lon, lon + d_lon, lon + none, lon + none], axis=1).ravel(),
        height_m=None,
        joined=joined,
    )


def _turns(crosses: Sample, moved: tuple[FloatArray, FloatArray], step_m: float) -> FloatArray:
    """By which angle in radians directions turn at the middle of each cross."""
    jacobian = np.empty((len(crosses.lat) // 4, 2, 2))
    for row, metres in enumerate(moved):
        west, east, south, north = metres.reshape(-1, 4).T
        jacobian[:, row, 0] = (east - west) / (2.0 * step_m) + (row == 0)
        jacobian[:, row, 1] = (north - south) / (2.0 * step_m) + (row == 1)
    return turns_rad(jacobian)
