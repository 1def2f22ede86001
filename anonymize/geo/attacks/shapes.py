"""The shape of a drive as an attacker sees it: places at even distances along the way, noise smoothed."""

import numpy as np
from scipy.ndimage import gaussian_filter1d  # type: ignore[import-untyped]

from anonymize.geo.attacks.road_network import ComplexArray
from anonymize.geo.ellipsoid import FloatArray

_FINE_M = 2.0
_SMOOTH_M = 6.0
_STILL_M = 3.0


def moving(at: ComplexArray) -> ComplexArray:
    """Without fixes that lie within 3 m of the last one kept: noise of a standing receiver is no way."""
    kept = [0]
    for number in range(1, len(at)):
        if abs(at[number] - at[kept[-1]]) >= _STILL_M:
            kept.append(number)
    return at[kept]


def along_m(at: ComplexArray) -> FloatArray:
    """Distance along the way to each place, in metres."""
    return np.concatenate([[0.0], np.cumsum(np.abs(np.diff(at)))])


def evenly(at: ComplexArray, spacing_m: float) -> ComplexArray:
    """Places every ``spacing_m`` metres along the way, from its begin; noise shorter than 6 m is smoothed."""
    fine = _at_distances(at, np.arange(0.0, along_m(at)[-1], _FINE_M))
    sigma = _SMOOTH_M / _FINE_M
    # Odd continuation at both ends: otherwise the ends would be drawn inwards.
    reach = min(int(4 * sigma), len(fine) - 1)
    padded = np.concatenate([2 * fine[0] - fine[reach:0:-1], fine, 2 * fine[-1] - fine[-2 : -2 - reach : -1]])
    smooth = gaussian_filter1d(padded.real, sigma) + 1j * gaussian_filter1d(padded.imag, sigma)
    smooth = smooth[reach : reach + len(fine)]
    return _at_distances(smooth, np.arange(0.0, along_m(smooth)[-1], spacing_m))


def _at_distances(at: ComplexArray, where: FloatArray) -> ComplexArray:
    along = along_m(at)
    return np.asarray(np.interp(where, along, at.real) + 1j * np.interp(where, along, at.imag))
