"""A track: fixes of one recording in the order of the file, independent of the format they came in.

Rule for timestamps: the order of the file is the order of the drive. Equal timestamps are kept as they are; a
timestamp before its predecessor's in the same segment starts a new segment; a fix without a timestamp stays
where it is.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import LimitExceededError, MalformedItemError, UnknownCrsError
from anonymize.geo.crs import geodesic_m, kind_of, require_crs, steps_m, to_wgs84
from anonymize.geo.ellipsoid import FloatArray, wrap_degrees

_NO_FIX_DEG = 1e-6
_EARLIEST_S = -59e9
_LATEST_S = 250e9
_AGREEMENT_M = 5.0
_LEAST_COURSE_M = 1.0
_COURSE_WITHIN_S = 2.0
_EPOCH_UNITS = ((1e8, 1e11, 1.0), (1e11, 1e14, 1e3), (1e14, 1e17, 1e6), (1e17, 1e20, 1e9))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """Fixes as parallel, read-only arrays.

    Attributes:
        lat: Latitude in degrees, EPSG:4326.
        lon: Longitude in degrees, EPSG:4326.
        time_s: POSIX seconds UTC; NaN where absent.
        elevation_m: Metres; NaN where absent.
        speed_mps: Metres per second; NaN where absent.
        segment: Non-decreasing segment number; consecutive fixes of one number are connected.
        crs: The reference system the coordinates were declared in before they were brought to EPSG:4326.
        dropped: Columns, elements or properties of the source that are not carried here.
    """

    lat: FloatArray
    lon: FloatArray
    time_s: FloatArray
    elevation_m: FloatArray
    speed_mps: FloatArray
    segment: NDArray[np.int32]
    crs: str
    dropped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        lengths = {name: len(getattr(self, name)) for name in _ARRAYS}
        if len(set(lengths.values())) != 1:
            raise MalformedItemError(f"a track's arrays have one length (got {lengths})")
        if not len(self.lat):
            raise MalformedItemError("a track has at least one fix (got 0)")
        check_positions(self.lat, self.lon)
        _check_optional("time", self.time_s, _EARLIEST_S, _LATEST_S)
        _check_optional("elevation", self.elevation_m, -1e5, 1e6)
        _check_optional("speed", self.speed_mps, -1e5, 1e5)
        if np.any(np.diff(self.segment) < 0):
            raise MalformedItemError("segment numbers do not decrease (got a decrease)")
        for name in _ARRAYS:
            frozen = getattr(self, name).view()
            frozen.flags.writeable = False
            object.__setattr__(self, name, frozen)

    def __len__(self) -> int:
        return len(self.lat)

    def segments(self) -> Iterator[slice]:
        """The half-open index range of each segment."""
        cuts = np.flatnonzero(np.diff(self.segment)) + 1
        bounds = [0, *cuts.tolist(), len(self)]
        return (slice(a, b) for a, b in itertools.pairwise(bounds))

    def take(self, index: NDArray[np.intp], segment: NDArray[np.int32]) -> "Track":
        """The fixes at ``index`` under new segment numbers."""
        arrays = {name: getattr(self, name)[index] for name in _ARRAYS if name != "segment"}
        return replace(self, **arrays, segment=segment.astype(np.int32))

    def path_length_m(self) -> float:
        """Geodesic length in metres of all segments together."""
        return float(np.sum(steps_m(self.lat, self.lon)[np.diff(self.segment) == 0]))

    def time_span(self) -> tuple[float, float] | None:
        """Earliest and latest time in POSIX seconds; None when no fix has a time."""
        known = self.time_s[np.isfinite(self.time_s)]
        return (float(known.min()), float(known.max())) if len(known) else None

    def position_at(
        self, time_s: float, *, max_gap_s: float = 30.0
    ) -> tuple[float, float, float | None] | None:
        """Interpolate the position at a time.

        Args:
            time_s: POSIX seconds UTC.
            max_gap_s: Longest pause between the two fixes in seconds across which the position is
                interpolated.

        Returns:
            Latitude, longitude and course in degrees clockwise from north; None when no segment covers the time,
            the pause is longer, or two segments answer with different places. The course is that between the
            fixes before and after; where these are not 1 m apart, between the nearest around them within 2 s
            that are; None where there are none: what stands has no course.
        """
        answers = [p for p in (self._within(part, time_s, max_gap_s) for part in self.segments()) if p]
        if not answers:
            return None
        lat, lon, _ = answers[0]
        apart = geodesic_m(
            [lat] * len(answers), [lon] * len(answers), [a[0] for a in answers], [a[1] for a in answers]
        )
        return answers[0] if apart[0].max() <= _AGREEMENT_M else None

    def _within(
        self, part: slice, time_s: float, max_gap_s: float
    ) -> tuple[float, float, float | None] | None:
        known = np.flatnonzero(np.isfinite(self.time_s[part])) + part.start
        times = self.time_s[known]
        if not len(known) or not times[0] <= time_s <= times[-1]:
            return None
        after = min(max(int(np.searchsorted(times, time_s, side="left")), 1), len(known) - 1)
        a, b = known[max(after - 1, 0)], known[after]
        pause = self.time_s[b] - self.time_s[a]
        if pause > max_gap_s:
            return None
        share = (time_s - self.time_s[a]) / pause if pause > 0 else 0.0
        lat = self.lat[a] + share * (self.lat[b] - self.lat[a])
        lon = self.lon[a] + share * wrap_degrees(self.lon[b] - self.lon[a])
        return float(lat), float(wrap_degrees(lon)), self._course(known, after)

    def _course(self, known: NDArray[np.intp], after: int) -> float | None:
        """The course over the fixes before and after, or the next ones around them that lie far enough apart."""
        times, before = self.time_s[known], max(after - 1, 0)
        first = int(np.searchsorted(times, times[after] - _COURSE_WITHIN_S, side="left"))
        last = int(np.searchsorted(times, times[before] + _COURSE_WITHIN_S, side="right")) - 1
        step = np.arange(max(before - first, last - after, 0) + 1)
        a = known[np.maximum(before - step, min(first, before))]
        b = known[np.minimum(after + step, max(last, after))]
        near = (step == 0) | (self.time_s[b] - self.time_s[a] <= _COURSE_WITHIN_S)
        a, b = a[near], b[near]
        moved, course = geodesic_m(self.lat[a], self.lon[a], self.lat[b], self.lon[b])
        apart = np.flatnonzero(moved >= _LEAST_COURSE_M)
        return float(course[apart[0]]) if len(apart) else None


_ARRAYS = ("lat", "lon", "time_s", "elevation_m", "speed_mps", "segment")


def list_dropped(names: Iterable[str]) -> tuple[str, ...]:
    """Names of what was not carried, sorted and bounded, because the item chose them."""
    return tuple(sorted({name[:64] for name in names})[:64])


def check_positions(lat: FloatArray, lon: FloatArray, place: Callable[[int], str] = "fix {}".format) -> None:
    """Require finite coordinates in range.

    Raises:
        MalformedItemError: Names the first offending fix and its value.
    """
    for name, values, limit in (("latitude", lat, 90.0), ("longitude", lon, 180.0)):
        bad = np.flatnonzero(~(np.abs(values) <= limit))
        if len(bad):
            first = int(bad[0])
            raise MalformedItemError(
                f"{place(first)}: {name} is impossible "
                f"(got {float(values[first])!r}, expected -{limit} to {limit})"
            )


def check_fixes(lat: FloatArray, lon: FloatArray, place: Callable[[int], str] = "fix {}".format) -> None:
    """Refuse 0, 0, which receivers write while they have no fix: nothing says where the vehicle was.

    Raises:
        MalformedItemError: Names the first such fix.
    """
    bad = np.flatnonzero((np.abs(lat) < _NO_FIX_DEG) & (np.abs(lon) < _NO_FIX_DEG))
    if len(bad):
        raise MalformedItemError(
            f"{place(int(bad[0]))}: no fix (got latitude 0, longitude 0, expected a position or no row)"
        )


def to_positions(
    first: FloatArray, second: FloatArray, third: FloatArray, *, crs: str, place: Callable[[int], str]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Latitude, longitude and elevation of fixes that were read in ``crs``, as ``anonymize.geo.crs`` takes them.

    Args:
        first: Latitude in degrees, easting or geocentric X.
        second: Longitude in degrees, northing or geocentric Y.
        third: Elevation, NaN where absent, or geocentric Z.
        crs: The system, as :func:`anonymize.geo.crs.require_crs` returns it.
        place: How errors name a fix.

    Raises:
        MalformedItemError: A coordinate is not finite, out of range or outside the system's area, or 0, 0.
    """
    if kind_of(crs) == "geographic":
        check_positions(first, second, place)
    lat, lon, elevation = to_wgs84(first, second, crs, third)
    check_fixes(lat, lon, place)
    return lat, lon, elevation


def require_degrees_crs(crs: str | None, what: str) -> str:
    """The declared system, for formats that hold degrees only.

    Raises:
        UnknownCrsError: It is missing or unknown, or its coordinates are no degrees.
    """
    known = require_crs(crs)
    if kind_of(known) != "geographic":
        raise UnknownCrsError(f"{what} holds degrees (got {known!r}, expected a geographic reference system)")
    return known


def check_count(count: int, max_points: int) -> None:
    """Require at least one fix and no more than the profile permits.

    Raises:
        MalformedItemError: There is none.
        LimitExceededError: There are too many.
    """
    if count == 0:
        raise MalformedItemError("the track holds no fixes (got 0, expected at least 1)")
    if count > max_points:
        raise LimitExceededError(
            f"the track holds too many fixes (got {count}, expected at most {max_points})"
        )


def number_segments(breaks: NDArray[np.bool_], time_s: FloatArray) -> NDArray[np.int32]:
    """Number the segments of fixes in file order.

    Args:
        breaks: Whether a segment of the source begins at this fix.
        time_s: POSIX seconds, NaN where absent; a step back in time begins a segment too.
    """
    index = np.arange(len(time_s))
    last_known = np.maximum.accumulate(np.where(np.isfinite(time_s), index, 0))
    group = np.cumsum(breaks)
    before = last_known[:-1]
    back = (time_s[1:] < time_s[before]) & (group[1:] == group[before])
    starts = breaks.copy()
    starts[1:] |= back
    starts[0] = False
    return np.cumsum(starts).astype(np.int32)


def parse_numbers(values: Sequence[str], what: str, place: Callable[[int], str]) -> FloatArray:
    """Parse decimal numbers; an empty cell is NaN.

    Raises:
        MalformedItemError: Names the first value that is no decimal number, or is infinite.
    """
    cells = [v.strip() for v in values]
    if "_" not in "".join(cells):
        try:
            parsed = np.fromiter((float(c) if c else np.nan for c in cells), np.float64, len(cells))
        except ValueError:
            parsed = np.full(len(cells), np.inf)
        if not np.isinf(parsed).any():
            return parsed
    for index, cell in enumerate(cells):
        if cell and not _is_finite_decimal(cell):
            raise MalformedItemError(f"{place(index)}: {what} is no finite number (got {cell[:40]!r})")
    return np.fromiter((float(c) if c else np.nan for c in cells), np.float64, len(cells))


def _is_finite_decimal(cell: str) -> bool:
    try:
        return "_" not in cell and not np.isinf(float(cell))
    except ValueError:
        return False


def parse_times(values: Sequence[str], place: Callable[[int], str]) -> FloatArray:
    """Parse ISO 8601 or epoch timestamps to POSIX seconds; an empty cell is NaN.

    ISO timestamps without an offset are UTC. Epoch timestamps may count seconds, milliseconds, microseconds
    or nanoseconds, told apart by their magnitude (1973 to 5138), one unit in the whole column.

    Raises:
        MalformedItemError: Names the first value that is neither, or that has another unit than the first.
    """
    cells = [v.strip() for v in values]
    first = next((c for c in cells if c), "")
    if first and _is_finite_decimal(first):
        return _epoch_seconds(parse_numbers(cells, "time", place), place)
    return np.fromiter((_iso_seconds(c, i, place) for i, c in enumerate(cells)), np.float64, len(cells))


def _epoch_seconds(values: FloatArray, place: Callable[[int], str]) -> FloatArray:
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return values
    magnitude = abs(float(values[known[0]]))
    for low, high, divisor in _EPOCH_UNITS:
        if low <= magnitude < high:
            unit = divisor
            odd = known[(values[known] < low) | (values[known] >= high)]
            break
    else:
        unit, odd = 1.0, known
    if len(odd):
        value = float(values[odd[0]])
        raise MalformedItemError(
            f"{place(int(odd[0]))}: time is no epoch of the column's unit "
            f"(got {value!r}, expected s, ms, us or ns)"
        )
    return values / unit


def _iso_seconds(cell: str, index: int, place: Callable[[int], str]) -> float:
    if not cell:
        return float("nan")
    try:
        moment = datetime.fromisoformat(cell)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise MalformedItemError(
            f"{place(index)}: time is no ISO 8601 timestamp (got {cell[:40]!r})"
        ) from error


def format_times(time_s: FloatArray) -> list[str]:
    """ISO 8601 UTC with milliseconds; an empty string where the time is absent."""
    known = np.isfinite(time_s)
    stamps = np.round(np.where(known, time_s, 0.0) * 1000.0).astype("datetime64[ms]")
    text = np.datetime_as_string(stamps, unit="ms").tolist()
    return [f"{t}Z" if k else "" for t, k in zip(text, known.tolist(), strict=True)]


def _check_optional(name: str, values: FloatArray, low: float, high: float) -> None:
    bad = np.flatnonzero(~np.isnan(values) & ~((values >= low) & (values <= high)))
    if len(bad):
        first = int(bad[0])
        raise MalformedItemError(
            f"fix {first}: {name} is impossible (got {float(values[first])!r}, expected {low:g} to {high:g})"
        )
