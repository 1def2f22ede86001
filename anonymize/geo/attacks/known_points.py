"""Undo an offset from a few true positions: a photograph with a place, a charging bill, an accident report.

The attacker knows k pairs of a true and a released position, fits what an offset of this kind can be, removes it
from everything else, and is judged by the distance that is left. Which fit is best depends on k and on how the
pairs lie; the attacker is given the choice.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator  # type: ignore[import-untyped]

from anonymize.errors import MalformedItemError
from anonymize.geo.attacks.road_network import ComplexArray
from anonymize.geo.ellipsoid import FloatArray, to_enu

COUNTS = (1, 2, 3, 5, 10)
_ROUNDS = 50
_MOST_FIXES = 2000
_UNIT_M = 1e4
_NUGGET_M = 0.05

Fit = Callable[[ComplexArray, ComplexArray, ComplexArray], ComplexArray]
"""From known released places, their displacements and further released places to the displacements there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPointFigure:
    """What is left of an offset for somebody who knows some pairs.

    Attributes:
        known: How many pairs.
        fit: What was fitted: ``constant``, ``similarity``, ``affine``, ``thin_plate`` or ``kriging``.
        median_m: Median distance in metres between where the attacker puts the other fixes and where they were.
        p95_m: 95th percentile of that distance.
        best: Whether this fit left the smallest median of those for this number of pairs.
    """

    known: int
    fit: str
    median_m: float
    p95_m: float
    best: bool


def known_point_attack(
    true: tuple[FloatArray, FloatArray],
    shown: tuple[FloatArray, FloatArray],
    *,
    octaves: Sequence[tuple[float, float]],
    counts: Sequence[int] = COUNTS,
    rounds: int = _ROUNDS,
    seed: int = 1,
) -> tuple[KnownPointFigure, ...]:
    """Attack displaced fixes with random sets of known pairs.

    Args:
        true: True latitudes and longitudes in degrees, EPSG:4326.
        shown: Released ones, index by index.
        octaves: Spacing and amplitude in metres of the offset's lattices: they are published with the profile.
        counts: Numbers of known pairs; those that leave no fix to judge by are passed over.
        rounds: Random sets of pairs for each number.
        seed: Of the choice of pairs.

    Returns:
        One figure for each number and each fit that its pairs determine.

    Raises:
        MalformedItemError: The arrays differ in length, or a number of pairs is not positive.
    """
    if len({len(a) for a in (*true, *shown)}) != 1:
        raise MalformedItemError(f"pairs have one length (got {[len(a) for a in (*true, *shown)]})")
    if any(count < 1 for count in counts):
        raise MalformedItemError(f"an attacker knows at least one pair (got {list(counts)})")
    if not len(true[0]):
        return ()
    at, moved = _places(true, shown)
    rng = np.random.default_rng(seed)
    figures: list[KnownPointFigure] = []
    for count in sorted(set(counts)):
        if count < len(at):
            figures += _figures(at, moved, count, fits(octaves), rounds=rounds, rng=rng)
    return tuple(figures)


def fits(octaves: Sequence[tuple[float, float]]) -> Mapping[str, tuple[int, Fit]]:
    """The fits by name, each with the least number of pairs that determines it."""

    def kriging(known: ComplexArray, moved: ComplexArray, where: ComplexArray) -> ComplexArray:
        return _kriging(known, moved, where, octaves)

    return {
        "constant": (1, _constant),
        "similarity": (2, _similarity),
        "affine": (3, _affine),
        "thin_plate": (4, _thin_plate),
        "kriging": (2, kriging),
    }


def _places(
    true: tuple[FloatArray, FloatArray], shown: tuple[FloatArray, FloatArray]
) -> tuple[ComplexArray, ComplexArray]:
    """Released places and their displacements in metres, evenly thinned, in one tangent frame."""
    index = np.unique(np.linspace(0, len(true[0]) - 1, _MOST_FIXES).astype(np.intp))
    origin = float(np.mean(shown[0])), float(shown[1][0])
    east, north = to_enu(shown[0][index], shown[1][index], *origin)
    true_east, true_north = to_enu(true[0][index], true[1][index], *origin)
    at = np.asarray(east + 1j * north)
    return at, np.asarray(at - (true_east + 1j * true_north))


def _figures(
    at: ComplexArray,
    moved: ComplexArray,
    count: int,
    known_fits: Mapping[str, tuple[int, Fit]],
    *,
    rounds: int,
    rng: np.random.Generator,
) -> list[KnownPointFigure]:
    errors: dict[str, list[FloatArray]] = {}
    for _ in range(rounds):
        known = rng.choice(len(at), count, replace=False)
        rest = np.setdiff1d(np.arange(len(at)), known)
        for name, (least, fit) in known_fits.items():
            if count >= least:
                guess = fit(at[known], moved[known], at[rest])
                errors.setdefault(name, []).append(np.abs(guess - moved[rest]))
    medians = {name: float(np.median(np.concatenate(found))) for name, found in errors.items()}
    best = min(medians, key=lambda name: medians[name])
    return [
        KnownPointFigure(
            known=count,
            fit=name,
            median_m=medians[name],
            p95_m=float(np.quantile(np.concatenate(found), 0.95)),
            best=name == best,
        )
        for name, found in errors.items()
    ]


def _constant(known: ComplexArray, moved: ComplexArray, where: ComplexArray) -> ComplexArray:
    del known
    return np.full(len(where), moved.mean())


def _similarity(known: ComplexArray, moved: ComplexArray, where: ComplexArray) -> ComplexArray:
    return _linear(known, moved, where, lambda at: np.column_stack([np.ones(len(at)), at / _UNIT_M]))


def _affine(known: ComplexArray, moved: ComplexArray, where: ComplexArray) -> ComplexArray:
    return _linear(
        known,
        moved,
        where,
        lambda at: np.column_stack([np.ones(len(at)), at.real / _UNIT_M, at.imag / _UNIT_M]),
    )


def _linear(
    known: ComplexArray,
    moved: ComplexArray,
    where: ComplexArray,
    columns: Callable[[ComplexArray], NDArray[np.complex128]],
) -> ComplexArray:
    """Least squares; of what the pairs leave open, the smallest coefficients."""
    middle = known.mean()
    solved = np.linalg.lstsq(columns(known - middle), moved, rcond=1e-6)[0]
    return np.asarray(columns(where - middle) @ solved)


def _thin_plate(known: ComplexArray, moved: ComplexArray, where: ComplexArray) -> ComplexArray:
    """Thin-plate spline; a constant where the pairs lie on one line, which leaves its plane open."""
    at, to = (
        np.column_stack([v.real, v.imag]) / _UNIT_M for v in (known - known.mean(), where - known.mean())
    )
    if np.linalg.matrix_rank(np.column_stack([np.ones(len(at)), at]), tol=1e-3) < 3:  # noqa: PLR2004
        return _constant(known, moved, where)
    values = np.column_stack([moved.real, moved.imag])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = RBFInterpolator(at, values, kernel="thin_plate_spline", smoothing=1e-9)(to)
        except (np.linalg.LinAlgError, RuntimeWarning):
            return _constant(known, moved, where)
    return np.asarray(found[:, 0] + 1j * found[:, 1])


def _kriging(
    known: ComplexArray, moved: ComplexArray, where: ComplexArray, octaves: Sequence[tuple[float, float]]
) -> ComplexArray:
    """The best linear guess for whoever knows the lattices but not the key (ordinary kriging)."""
    size = len(known)
    system = np.ones((size + 1, size + 1))
    system[:size, :size] = _covariance(np.abs(known[:, None] - known[None, :]), octaves)
    system[:size, :size] += _NUGGET_M**2 * np.eye(size)
    system[size, size] = 0.0
    right = np.ones((size + 1, len(where)))
    right[:size] = _covariance(np.abs(known[:, None] - where[None, :]), octaves)
    weights = np.linalg.lstsq(system, right, rcond=None)[0][:size]
    return np.asarray(moved @ weights)


def _covariance(distance_m: FloatArray, octaves: Sequence[tuple[float, float]]) -> FloatArray:
    """Of the displacement at two places, of a cubic B-spline over vectors in discs, averaged over directions.

    A cubic B-spline on white control values correlates nearly as a Gaussian of standard deviation 0.82 lattice
    spacings; a vector in a disc of radius a has variance a²/2, of which the spline keeps (151/315)².
    """
    total = np.zeros_like(distance_m)
    for spacing, amplitude in octaves:
        variance = amplitude**2 / 2.0 * (151.0 / 315.0) ** 2
        total = total + variance * np.exp(-0.5 * (distance_m / (0.82 * spacing)) ** 2)
    return np.asarray(total)
