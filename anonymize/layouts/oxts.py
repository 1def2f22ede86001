"""GPS/IMU records of KITTI's raw recordings: cleansed on true coordinates, then brought to clips or displaced.

A record is 30 numbers: latitude, longitude (degrees), altitude (m), roll, pitch, yaw (rad; yaw 0 is east, to the
left), velocities to north, east, forward, left, up (m/s), accelerations along x, y, z and forward, left, up
(m/s²), rates of turn about the same six axes (rad/s), accuracies of position and velocity, and five numbers of
the receiver. A file holds one record, or several; times are in other files or in the manifest.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymize.errors import MalformedItemError, OutsideReleaseError
from anonymize.finding import Treated
from anonymize.formats.track import Track, check_count, check_fixes, check_positions, number_segments
from anonymize.geo.approved_displacement import measured
from anonymize.geo.clips import ClipPlan, check_clip_paths
from anonymize.geo.cut import cut_track
from anonymize.geo.distortion import turns_rad
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.offset import OffsetEvidence
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.geo.zones import ZoneSet
from anonymize.layouts.kitti import NUMBER, OXTS_NUMBERS, lines_of
from anonymize.profile import TrackProfile

STORED_COLUMNS = (
    "time_s", "lat", "lon", "alt", "roll", "pitch", "yaw", "vn", "ve", "vf", "vl", "vu", "ax", "ay", "az", "af",
    "al", "au", "wx", "wy", "wz", "wf", "wl", "wu", "pos_accuracy", "vel_accuracy", "navstat", "numsats",
    "posmode", "velmode", "orimode",
)  # fmt: skip
LOCAL_COLUMNS = (
    "clip", "t_s", "x_m", "y_m", "z_m", "roll", "pitch", "yaw", "vx", "vy", "vf", "vl", "vu", "ax", "ay", "az",
    "af", "al", "au", "wx", "wy", "wz", "wf", "wl", "wu",
)  # fmt: skip
MEDIA_TYPE_STORED = MEDIA_TYPE_LOCAL = "text/csv"
MEDIA_TYPE_OFFSET = "text/plain"

_LAT, _LON, _ALT, _ROLL, _PITCH, _YAW, _VN, _VE, _VF, _VL, _VU = range(11)
_BODY = slice(11, 23)
_RECEIVER = slice(23, 30)
_INTEGERS = 25
_FASTEST = 1e4
_TURNS = 4 * np.pi


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Oxts:
    """Records in the order of the file.

    Attributes:
        values: Shape (n, 30), as the file has them. True positions.
        time_s: POSIX seconds of each record; NaN where unknown.
    """

    values: FloatArray = field(repr=False)
    time_s: FloatArray = field(repr=False)

    def track(self) -> Track:
        """The fixes; speed is that over the ground."""
        speed = np.hypot(self.values[:, _VN], self.values[:, _VE])
        return Track(
            lat=self.values[:, _LAT].copy(),
            lon=self.values[:, _LON].copy(),
            time_s=self.time_s.copy(),
            elevation_m=self.values[:, _ALT].copy(),
            speed_mps=speed,
            segment=number_segments(np.zeros(len(speed), dtype=bool), self.time_s),
            crs="EPSG:4326",
        )

    def take(self, index: NDArray[np.intp]) -> "Oxts":
        """The records at ``index``."""
        return Oxts(values=self.values[index], time_s=self.time_s[index])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnlinkedOxts:
    """Records as they leave.

    Attributes:
        content: The bytes.
        source: The true records behind them, index by index; for the residual scan.
        time_s: Shifted times of OFFSET, which the file itself does not hold; empty in LOCAL.
        evidence: What an offset did; None in LOCAL and in APPROVED.
    """

    content: bytes
    source: Oxts = field(repr=False)
    time_s: FloatArray
    evidence: OffsetEvidence | None = None


def read_oxts(content: bytes, *, time_s: ArrayLike | None, profile: TrackProfile) -> Oxts:
    """Read records.

    Args:
        content: Lines of 30 numbers.
        time_s: POSIX seconds of each record, or one for a file of one record (the manifest's ``captured_at``);
            None where unknown.
        profile: Limits.

    Raises:
        MalformedItemError: A line has no 30 numbers, a value is impossible, the fix is 0, 0, or there is another
            number of times than of records.
        LimitExceededError: There are more records than the profile permits.
        UnknownFormatError: It is no text.
    """
    rows = lines_of(content)
    check_count(len(rows), profile.max_points)
    for number, row in enumerate(rows):
        if len(row) != OXTS_NUMBERS or not all(NUMBER.fullmatch(cell) for cell in row):
            raise MalformedItemError(
                f"record {number}: no GPS/IMU record (got {len(row)} cells, expected {OXTS_NUMBERS} numbers)"
            )
    values = np.array(rows, dtype=np.float64)
    times = np.full(len(values), np.nan) if time_s is None else np.atleast_1d(np.asarray(time_s, np.float64))
    if times.shape != (len(values),):
        raise MalformedItemError(f"one time per record (got {times.size} times for {len(values)} records)")
    return _checked(Oxts(values=values, time_s=times))


def cleanse_oxts(oxts: Oxts, *, zones: ZoneSet, profile: TrackProfile) -> Treated:
    """First pass: records in zones go, heights and vertical speeds go unless the profile keeps elevations.

    The result is an intermediate form of ours that holds the times too (:func:`read_stored_oxts`). It still holds
    true positions.
    """
    cut = cut_track(oxts.track(), zones, profile=profile)
    inside = zones.test(oxts.values[:, _LAT], oxts.values[:, _LON]).inside
    kept = oxts.take(np.flatnonzero(~inside))
    if not profile.keep_elevation:
        flat = kept.values.copy()
        flat[:, [_ALT, _VU]] = 0.0
        kept = replace(kept, values=flat)
    return Treated(
        content=write_stored_oxts(kept) if len(kept.values) else b"",
        media_type=MEDIA_TYPE_STORED,
        findings=tuple(cut.findings),
        treatments=tuple(cut.treatments),
        facts={"fixes_in": len(oxts.values), "fixes_out": len(kept.values)},
        dropped=not len(kept.values),
    )


def write_stored_oxts(oxts: Oxts) -> bytes:
    """The intermediate form: a header, and a line of a time and 30 numbers per record."""
    lines = [",".join(STORED_COLUMNS)]
    for time, row in zip(oxts.time_s.tolist(), oxts.values.tolist(), strict=True):
        stamp = "" if np.isnan(time) else repr(time)
        lines.append(",".join([stamp, *map(repr, row[:_INTEGERS]), *(str(int(v)) for v in row[_INTEGERS:])]))
    return "\n".join([*lines, ""]).encode()


def read_stored_oxts(content: bytes, *, profile: TrackProfile) -> Oxts:
    """The inverse of :func:`write_stored_oxts`.

    Raises:
        MalformedItemError: It is not of that form.
    """
    header, *rows = content.decode("ascii", "replace").splitlines()
    cells = [row.split(",") for row in rows]
    width = len(STORED_COLUMNS)
    if header != ",".join(STORED_COLUMNS) or any(len(row) != width for row in cells):
        raise MalformedItemError(f"stored records have {width} columns (got another form)")
    check_count(len(cells), profile.max_points)
    try:
        numbers = np.array([[cell or "nan" for cell in row] for row in cells], dtype=np.float64)
    except ValueError as error:
        raise MalformedItemError("stored records are numbers (got others)") from error
    return _checked(Oxts(values=numbers[:, 1:], time_s=numbers[:, 0]))


def local_oxts(oxts: Oxts, plan: ClipPlan, *, profile: TrackProfile) -> UnlinkedOxts:
    """LOCAL: the records of each clip in its frame, with time from its begin and nothing of the receiver.

    Columns are those of ``LOCAL_COLUMNS``: metres and radians in the clip's frame, velocities ``vx`` and ``vy``
    along its axes, the rest in the vehicle's axes as recorded.

    Raises:
        OutsideReleaseError: No record lies in a clip; records without a time are in none.
        LimitExceededError: The path within a clip is longer than the profile permits.
    """
    number = plan.clip_of(oxts.time_s)
    order = np.lexsort((oxts.time_s, number))
    order = order[number[order] >= 0]
    if not len(order):
        raise OutsideReleaseError("no record lies in a clip (expected a time within one)")
    source, clips = oxts.take(order), number[order]
    rows = np.empty((len(order), len(LOCAL_COLUMNS)))
    for clip in np.unique(clips).tolist():
        of = clips == clip
        rows[of] = _in_clip(source.take(np.flatnonzero(of)), plan, clip)
    check_clip_paths(clips, rows[:, 2], rows[:, 3], profile=profile)
    lines = [",".join(LOCAL_COLUMNS)]
    lines += [
        ",".join([str(int(row[0])), *(f"{v + 0.0:.3f}" for v in row[1:5]), *(f"{v:.6f}" for v in row[5:])])
        for row in rows.tolist()
    ]
    return UnlinkedOxts(content="\n".join([*lines, ""]).encode(), source=source, time_s=np.empty(0))


def _in_clip(oxts: Oxts, plan: ClipPlan, clip: int) -> FloatArray:
    frame, v = plan.clips[clip], oxts.values
    x, y, z = frame.positions(v[:, _LAT], v[:, _LON], v[:, _ALT])
    up = v[:, _VU] if frame.keep_elevation else np.zeros(len(v))
    velocity = frame.vectors(np.stack([v[:, _VE], v[:, _VN], up], axis=1))
    yaw = _wrapped(v[:, _YAW] + frame.turn_rad)
    number = np.full(len(v), float(clip))
    ground = [number, frame.times(oxts.time_s), x, y, z, v[:, _ROLL], v[:, _PITCH], yaw]
    return np.column_stack([*ground, *velocity[:, :2].T, v[:, _VF], v[:, _VL], up, v[:, _BODY]])


def offset_oxts(oxts: Oxts, plan: OffsetPlan, *, profile: TrackProfile) -> UnlinkedOxts:
    """OFFSET: the records of kept spans, displaced, in KITTI's own form; nothing of the receiver is left.

    Yaw and the velocities to north and east turn as the displacement turns directions there. Accuracies and the
    five numbers of the receiver are 0; altitude and vertical speed are, unless the profile keeps elevations.

    Raises:
        OutsideReleaseError: No record lies in a kept span; records without a time are in none.
        LimitExceededError: A limit of the profile is missed.
    """
    kept = np.flatnonzero(plan.span_of(oxts.time_s) >= 0)
    if not len(kept):
        raise OutsideReleaseError("no record lies in a kept span (expected a time within one)")
    source = oxts.take(kept)
    lat, lon = source.values[:, _LAT], source.values[:, _LON]
    evidence = measured(plan.offset, lat, lon, profile=profile)
    turn = turns_rad(plan.offset.jacobians(lat, lon))
    values = source.values.copy()
    values[:, _LAT], values[:, _LON] = plan.offset.displace(lat, lon)
    turned = (source.values[:, _VE] + 1j * source.values[:, _VN]) * np.exp(1j * turn)
    values[:, _VE], values[:, _VN] = turned.real, turned.imag
    values[:, _YAW] = _wrapped(values[:, _YAW] + turn)
    values[:, _RECEIVER] = 0.0
    if not profile.keep_elevation:
        values[:, [_ALT, _VU]] = 0.0
    lines = [
        " ".join([f"{r[0]:.8f}", f"{r[1]:.8f}", *(f"{v:.6f}" for v in r[2:_INTEGERS]), "0 0 0 0 0"])
        for r in values.tolist()
    ]
    return UnlinkedOxts(
        content="\n".join([*lines, ""]).encode(),
        source=source,
        time_s=plan.times(source.time_s),
        evidence=evidence,
    )


def _checked(oxts: Oxts) -> Oxts:
    values = oxts.values
    place = "record {}".format
    check_positions(values[:, _LAT], values[:, _LON], place)
    check_fixes(values[:, _LAT], values[:, _LON], place)
    bad = ~np.isfinite(values).all(axis=1)
    bad |= (np.abs(values[:, _ROLL : _YAW + 1]) > _TURNS).any(axis=1)
    bad |= (np.abs(values[:, _ALT : _RECEIVER.start]) > _FASTEST * 10).any(axis=1)
    at = np.flatnonzero(bad)
    if len(at):
        raise MalformedItemError(
            f"record {int(at[0])}: a value is impossible (expected finite numbers, angles in radians)"
        )
    return oxts


def _wrapped(angle: FloatArray) -> FloatArray:
    return np.asarray((angle + np.pi) % (2.0 * np.pi) - np.pi)
