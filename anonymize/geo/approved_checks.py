"""Checks of a secrecy processor by what it does to given positions; they need no knowledge of its transform.

The same checks run on every release that goes through a processor and in the test kit of its author
(``anonymize.geo.processor_conformance``). No message holds a position, before or after.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import MalformedItemError, ProcessorError
from anonymize.geo.crs import from_wgs84, geodesic_m, to_wgs84
from anonymize.geo.crs_names import BD09, GCJ02
from anonymize.geo.ellipsoid import FloatArray, radii_m, wrap_degrees
from anonymize.geo.secrecy_processor import SecrecyProcessor

SAME_M = 0.001
"""Greatest difference in metres between two answers for one position that were asked for in different ways."""

EQUAL_M = 1.0
"""A processed position within so many metres of what a public formula gives is that formula's."""

MAX_EQUAL_SHARE = 0.1
"""Greatest share of positions that may be those of one public formula."""

MAX_STEP_CHANGE = 0.5
"""Greatest difference of the displacements of two neighbours, as a share of their distance."""

STEP_ALLOWANCE_M = 0.5
"""What is allowed beside that: a processor may round to a few decimals."""

_SAMPLE = 4096
_SINGLE = 16
_LAT_LIMIT, _LON_LIMIT = 90.0, 180.0

Processed = tuple[FloatArray, FloatArray, FloatArray | None]
_Formula = Callable[[FloatArray, FloatArray], tuple[FloatArray, ...]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Positions that a processor is asked for.

    Attributes:
        lat: Latitudes in degrees, EPSG:4326.
        lon: Longitudes in degrees.
        height_m: Heights in metres, finite; None where there are none.
        joined: For each position but the last, whether the next one is its neighbour on the ground.
    """

    lat: FloatArray = field(repr=False)
    lon: FloatArray = field(repr=False)
    height_m: FloatArray | None = field(repr=False)
    joined: NDArray[np.bool_] = field(repr=False)

    def take(self, index: NDArray[np.intp]) -> "Sample":
        """The positions at ``index``, none of them neighbours."""
        height = None if self.height_m is None else self.height_m[index]
        apart = np.zeros(max(len(index) - 1, 0), dtype=bool)
        return Sample(lat=self.lat[index], lon=self.lon[index], height_m=height, joined=apart)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check and its outcome.

    Attributes:
        name: Stable name.
        passed: Whether it held.
        figure: What was measured.
        limit: Greatest figure that passes.
        unit: Of both.
        reason: Why it failed where nothing could be measured.
    """

    name: str
    passed: bool
    figure: float
    limit: float
    unit: str
    reason: str = ""


def ask(processor: SecrecyProcessor, sample: Sample) -> Processed:
    """What a processor makes of positions.

    1. It answers, and leaves its arguments alone. 2. Three values: arrays of float64 of the same shape, heights
    only where some were given. 3. All are finite, and latitudes and longitudes are possible.

    Raises:
        ProcessorError: One of these does not hold.
    """
    given = (
        sample.lat.copy(),
        sample.lon.copy(),
        None if sample.height_m is None else sample.height_m.copy(),
    )
    try:
        answer = processor.process(*given)
    except Exception as error:  # noqa: BLE001 - code of others; whatever it raises stops the item
        # Its message and its frames may hold positions.
        raise ProcessorError(f"the secrecy processor failed (got {type(error).__name__})") from None
    kept = zip(given, (sample.lat, sample.lon, sample.height_m), strict=True)
    if not all(a is b or (a is not None and b is not None and np.array_equal(a, b)) for a, b in kept):
        raise ProcessorError(
            "the secrecy processor changed its arguments (got other values, expected the same)"
        )
    if not isinstance(answer, tuple) or len(answer) != len(given):  # 2
        raise ProcessorError(f"the secrecy processor gave no triple (got {type(answer).__name__})")
    lat, lon, height = answer
    _require_array("latitudes", lat, sample.lat, _LAT_LIMIT)
    _require_array("longitudes", lon, sample.lon, _LON_LIMIT)
    if height is not None:
        if sample.height_m is None:
            raise ProcessorError(
                "the secrecy processor gave heights (got some, expected None: none were given)"
            )
        _require_array("heights", height, sample.lat, np.inf)
    return lat.copy(), lon.copy(), None if height is None else height.copy()


def _require_array(what: str, values: object, like: FloatArray, limit: float) -> None:
    if not isinstance(values, np.ndarray) or values.dtype != np.float64 or values.shape != like.shape:
        got = f"{values.dtype} {values.shape}" if isinstance(values, np.ndarray) else type(values).__name__
        raise ProcessorError(
            f"the secrecy processor gave other {what} (got {got}, expected float64 {like.shape})"
        )
    bad = np.flatnonzero(~(np.abs(values) <= limit) | ~np.isfinite(values))
    if len(bad):  # 3
        raise ProcessorError(
            f"the secrecy processor gave {what} that are not finite or not possible "
            f"(got {len(bad)} of {len(values)}, the first at {int(bad[0])})"
        )


def release_checks(processor: SecrecyProcessor, sample: Sample, out: Processed) -> tuple[Check, ...]:
    """Every check of a release; ``out`` is what :func:`ask` gave for ``sample``, at least one position.

    Raises:
        ProcessorError: The processor does not answer as it has to.
    """
    return (
        deterministic(processor, sample, out),
        independent_of_order(processor, sample, out),
        independent_of_batch(processor, sample, out),
        independent_of_heights(processor, sample, out),
        continuous(sample, out),
        *not_public(sample, out),
    )


def require_passed(checks: tuple[Check, ...]) -> None:
    """Refuse when a check failed.

    Raises:
        ProcessorError: Names the first, its figure and its limit.
    """
    for check in checks:
        if not check.passed:
            raise ProcessorError(
                f"the secrecy processor fails the check {check.name} "
                f"(got {check.figure:.4g} {check.unit}, expected at most {check.limit:g})"
            )


def deterministic(processor: SecrecyProcessor, sample: Sample, out: Processed) -> Check:
    """The same positions once more give the same numbers, to the last bit."""
    again = ask(processor, sample)
    differ = sum(
        0 if a is b else len(sample.lat) if a is None or b is None else int((a != b).sum())
        for a, b in zip(again, out, strict=True)
    )
    return _check("deterministic", float(differ), 0.0, "values")


def independent_of_order(processor: SecrecyProcessor, sample: Sample, out: Processed) -> Check:
    """Positions in another order move as they did."""
    index = np.random.default_rng(len(sample.lat)).permutation(len(sample.lat))[:_SAMPLE]
    return _check(
        "independent of order", apart_m(ask(processor, sample.take(index)), out, index), SAME_M, "m"
    )


def independent_of_batch(processor: SecrecyProcessor, sample: Sample, out: Processed) -> Check:
    """Positions alone move as they did among others."""
    singles = np.unique(np.linspace(0, len(sample.lat) - 1, _SINGLE).astype(np.intp)).reshape(-1, 1)
    far = max(apart_m(ask(processor, sample.take(one)), out, one) for one in singles)
    return _check("independent of batch", far, SAME_M, "m")


def independent_of_heights(processor: SecrecyProcessor, sample: Sample, out: Processed) -> Check:
    """The same ground moves alike in channels with heights and without (COMPLIANCE rule 10)."""
    index = np.unique(np.linspace(0, len(sample.lat) - 1, _SAMPLE).astype(np.intp))
    some = sample.take(index)
    height = None if some.height_m is not None else np.full(len(index), 100.0)
    other = ask(processor, Sample(lat=some.lat, lon=some.lon, height_m=height, joined=some.joined))
    return _check("independent of heights", apart_m((*other[:2], None), out, index), SAME_M, "m")


def continuous(sample: Sample, out: Processed) -> Check:
    """No jump: neighbours move alike, up to half their distance and half a metre.

    The figure is the greatest difference of two displacements beyond the half metre, over the distance.
    """
    east, north = displacements_m(sample, out)
    steps = geodesic_m(sample.lat[:-1], sample.lon[:-1], sample.lat[1:], sample.lon[1:])[0]
    beyond = np.maximum(np.hypot(np.diff(east), np.diff(north)) - STEP_ALLOWANCE_M, 0.0)
    # A step of nothing with a jump beyond the allowance is a jump at any factor.
    change = beyond[sample.joined] / np.maximum(steps[sample.joined], 1e-3)
    return _check("continuous", float(change.max(initial=0.0)), MAX_STEP_CHANGE, "of the distance")


def not_public(sample: Sample, out: Processed) -> tuple[Check, ...]:
    """It is none of what anybody can compute and undo (COMPLIANCE rule 9): one check per public formula."""
    made = []
    for name, formula in _PUBLIC.items():
        try:
            lat, lon, *_ = formula(sample.lat, sample.lon)
        except MalformedItemError:
            # The inverse has no answer at the border of its area: there is nothing to equal.
            continue
        equal = geodesic_m(lat, lon, out[0], out[1])[0] <= EQUAL_M
        made.append(_check(f"not {name}", float(equal.mean()), MAX_EQUAL_SHARE, "of the positions"))
    return tuple(made)


def displacements_m(sample: Sample, out: Processed) -> tuple[FloatArray, FloatArray]:
    """East and north in metres by which each position moved, by the degrees of its place."""
    meridian, vertical = radii_m(sample.lat)
    east = np.radians(wrap_degrees(out[1] - sample.lon)) * vertical * np.cos(np.radians(sample.lat))
    return np.asarray(east), np.asarray(np.radians(out[0] - sample.lat) * meridian)


def apart_m(some: Processed, out: Processed, index: NDArray[np.intp]) -> float:
    """Greatest distance in metres, on the ground or in height, from the positions of ``out`` at ``index``."""
    far = float(geodesic_m(some[0], some[1], out[0][index], out[1][index])[0].max(initial=0.0))
    if some[2] is None or out[2] is None:
        return far
    return max(far, float(np.abs(some[2] - out[2][index]).max(initial=0.0)))


def _check(name: str, figure: float, limit: float, unit: str) -> Check:
    return Check(name=name, passed=figure <= limit, figure=figure, limit=limit, unit=unit)


_PUBLIC: dict[str, _Formula] = {
    "the identity": lambda lat, lon: (lat, lon),
    "GCJ-02": lambda lat, lon: from_wgs84(lat, lon, GCJ02),
    "BD-09": lambda lat, lon: from_wgs84(lat, lon, BD09),
    "the inverse of GCJ-02": lambda lat, lon: to_wgs84(lat, lon, GCJ02),
    "the inverse of BD-09": lambda lat, lon: to_wgs84(lat, lon, BD09),
}
