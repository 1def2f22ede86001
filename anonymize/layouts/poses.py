"""Poses of the KITTI odometry benchmark, laid on the recording's track, then brought to clips or displaced.

A line is the 3 by 4 matrix, row by row, that takes points of the left camera (x right, y down, z forward, metres)
into the camera's place at the first line. Nothing in it says where that is; the shape of the path does. Poses are
therefore treated as absolute: they are laid on the track by their times, and only what follows it is released.
"""

import itertools
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from anonymize.errors import MalformedItemError, OutsideReleaseError
from anonymize.finding import Finding, FindingKind, IndexSpan, Treated, Treatment, TreatmentKind
from anonymize.formats.track import Track, check_count
from anonymize.geo.approved_displacement import measured
from anonymize.geo.clips import ClipPlan, check_clip_paths
from anonymize.geo.crs import from_wgs84, to_wgs84
from anonymize.geo.cut import zone_findings
from anonymize.geo.ellipsoid import FloatArray, wrap_degrees
from anonymize.geo.enu_frame import EnuFrame
from anonymize.geo.offset import OffsetEvidence
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.geo.zones import ZoneSet
from anonymize.layouts.kitti import NUMBER, POSE_NUMBERS, lines_of
from anonymize.profile import TrackProfile

MATRIX = ("r00", "r01", "r02", "tx", "r10", "r11", "r12", "ty", "r20", "r21", "r22", "tz")
STORED_COLUMNS = ("time_s", "lat", "lon", "height_m", *(f"r{i}{j}" for i in range(3) for j in range(3)))
LOCAL_COLUMNS = ("clip", "t_s", *MATRIX)
OFFSET_COLUMNS = ("span", "t_s", *MATRIX)
MEDIA_TYPE = "text/csv"

MAX_MISFIT_M = 10.0
"""Greatest root mean square distance of poses from the track that they are laid on."""

_MAX_GAP_S = 5.0
_ROTATION_ERROR = 0.02
_FARTHEST_M = 1e6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedPoses:
    """Poses on the ground.

    Attributes:
        lat: Latitudes in degrees, EPSG:4326.
        lon: Longitudes in degrees.
        height_m: Metres above the first pose; 0 where the profile keeps no elevation.
        rotation: Shape (n, 3, 3): from the camera into east, north, up at the pose.
        time_s: POSIX seconds.
    """

    lat: FloatArray = field(repr=False)
    lon: FloatArray = field(repr=False)
    height_m: FloatArray = field(repr=False)
    rotation: FloatArray = field(repr=False)
    time_s: FloatArray = field(repr=False)

    def __len__(self) -> int:
        return len(self.lat)

    def take(self, index: NDArray[np.intp]) -> "PlacedPoses":
        """The poses at ``index``."""
        return PlacedPoses(**{name: getattr(self, name)[index] for name in _ARRAYS})


_ARRAYS = ("lat", "lon", "height_m", "rotation", "time_s")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnlinkedPoses:
    """Poses as they leave; ``source`` are the true ones behind them, line by line."""

    content: bytes
    source: PlacedPoses = field(repr=False)
    evidence: OffsetEvidence | None = None


def read_poses(content: bytes, *, profile: TrackProfile) -> FloatArray:
    """Read matrices, shape (n, 3, 4).

    Raises:
        MalformedItemError: A line has no 12 finite numbers, or its left part is no rotation.
        LimitExceededError: There are more lines than the profile permits.
        UnknownFormatError: It is no text.
    """
    rows = lines_of(content)
    check_count(len(rows), profile.max_points)
    for number, row in enumerate(rows):
        if len(row) != POSE_NUMBERS or not all(NUMBER.fullmatch(cell) for cell in row):
            raise MalformedItemError(
                f"pose {number}: no matrix (got {len(row)} cells, expected {POSE_NUMBERS} numbers)"
            )
    poses = np.array(rows, dtype=np.float64).reshape(-1, 3, 4)
    turns = poses[:, :, :3]
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(turns @ turns.swapaxes(1, 2) - np.eye(3)).max(axis=(1, 2))
        sound = (error <= _ROTATION_ERROR) & (np.abs(poses[:, :, 3]) <= _FARTHEST_M).all(axis=1)
        sound &= np.linalg.det(np.where(np.isfinite(turns), turns, 0.0)) > 0.0
    at = np.flatnonzero(~sound)
    if len(at):
        raise MalformedItemError(
            f"pose {int(at[0])}: no rigid motion (expected a rotation and metres within {_FARTHEST_M:g})"
        )
    return poses


def place_poses(poses: FloatArray, *, time_s: ArrayLike, track: Track) -> PlacedPoses:
    """Lay poses on the track of their recording: turned about up and moved so that they follow it best.

    Args:
        poses: Matrices, shape (n, 3, 4).
        time_s: POSIX seconds of each.
        track: The recording's track; poses at times that it does not cover are left out.

    Raises:
        MalformedItemError: There is another number of times, fewer than two poses lie on the track or do not move,
            or they do not follow it to within 10 m.
    """
    times = np.atleast_1d(np.asarray(time_s, dtype=np.float64))
    if times.shape != (len(poses),):
        raise MalformedItemError(f"one time per pose (got {times.size} times for {len(poses)} poses)")
    lat, lon = on_track(track, times)
    known = np.flatnonzero(np.isfinite(lat))
    if len(known) < 2:  # noqa: PLR2004 - a direction needs two places
        raise MalformedItemError(f"poses do not lie on the track (got {len(known)} within it, expected 2)")
    lat, lon = lat[known], lon[known]
    frame = EnuFrame(lat0=float(lat[0]), lon0=float(lon[0]))
    east, north = from_wgs84(lat, lon, frame)
    ground = poses[known, 0, 3] + 1j * poses[known, 2, 3]
    turn, shift, misfit = _fitted(ground, east + 1j * north)
    if not misfit <= MAX_MISFIT_M:
        raise MalformedItemError(
            f"poses do not follow the track (got {misfit:.1f} m, expected at most {MAX_MISFIT_M:g} m)"
        )
    at = ground * turn + shift
    cosine, sine = turn.real, turn.imag
    axes = np.array([[cosine, 0.0, -sine], [sine, 0.0, cosine], [0.0, -1.0, 0.0]])
    placed_lat, placed_lon = to_wgs84(at.real, at.imag, frame)
    return PlacedPoses(
        lat=placed_lat,
        lon=placed_lon,
        height_m=-poses[known, 1, 3],
        rotation=axes @ poses[known, :, :3],
        time_s=times[known],
    )


def cleanse_poses(poses: PlacedPoses, *, zones: ZoneSet, profile: TrackProfile) -> Treated:
    """First pass: poses in zones go, and heights unless the profile keeps elevations.

    A pose may lie off the track that it was laid on: ``MAX_MISFIT_M`` are added to the margin of every zone. The
    result is an intermediate form of ours (:func:`read_stored_poses`). It still holds true positions.
    """
    hits = zones.test(poses.lat, poses.lon, extra_margin_m=MAX_MISFIT_M)
    kept = poses.take(np.flatnonzero(~hits.inside))
    findings, treatments = list(zone_findings(hits, zones)), []
    if cut := int(hits.inside.sum()):
        treatments.append(
            Treatment(
                kind=TreatmentKind.CUT,
                of=FindingKind.RESTRICTED_ZONE,
                count=cut,
                parameters={"zone_file": zones.digest, "zone_file_version": zones.version},
            )
        )
    heights = np.flatnonzero(poses.height_m)
    if len(heights) and not profile.keep_elevation:
        kept = replace(kept, height_m=np.zeros(len(kept)))
        span = IndexSpan(start=int(heights[0]), end=int(heights[-1]) + 1)
        findings.append(Finding(kind=FindingKind.ELEVATION, where=span, confidence=1.0, detector="poses"))
        treatments.append(Treatment(kind=TreatmentKind.DROP, of=FindingKind.ELEVATION, count=len(heights)))
    return Treated(
        content=write_stored_poses(kept) if len(kept) else b"",
        media_type=MEDIA_TYPE,
        findings=tuple(findings),
        treatments=tuple(treatments),
        facts={"poses_in": len(poses), "poses_out": len(kept)},
        dropped=not len(kept),
    )


def write_stored_poses(poses: PlacedPoses) -> bytes:
    """The intermediate form: a header, and a time, a place and a rotation per line."""
    values = np.column_stack(
        [poses.time_s, poses.lat, poses.lon, poses.height_m, poses.rotation.reshape(-1, 9)]
    )
    return "\n".join(
        [",".join(STORED_COLUMNS), *(",".join(map(repr, r)) for r in values.tolist()), ""]
    ).encode()


def read_stored_poses(content: bytes, *, profile: TrackProfile) -> PlacedPoses:
    """The inverse of :func:`write_stored_poses`.

    Raises:
        MalformedItemError: It is not of that form.
    """
    header, *rows = content.decode("ascii", "replace").splitlines()
    cells = [row.split(",") for row in rows]
    if header != ",".join(STORED_COLUMNS) or any(len(row) != len(STORED_COLUMNS) for row in cells):
        raise MalformedItemError(f"stored poses have {len(STORED_COLUMNS)} columns (got another form)")
    check_count(len(cells), profile.max_points)
    try:
        v = np.array(cells, dtype=np.float64)
    except ValueError as error:
        raise MalformedItemError("stored poses are numbers (got others)") from error
    return PlacedPoses(
        time_s=v[:, 0], lat=v[:, 1], lon=v[:, 2], height_m=v[:, 3], rotation=v[:, 4:].reshape(-1, 3, 3)
    )


def local_poses(poses: PlacedPoses, plan: ClipPlan, *, profile: TrackProfile) -> UnlinkedPoses:
    """LOCAL: per clip, 3 by 4 matrices from the camera into the clip's frame, with time from the clip's begin.

    Raises:
        OutsideReleaseError: No pose lies in a clip.
        LimitExceededError: The path within a clip is longer than the profile permits.
    """
    number = plan.clip_of(poses.time_s)
    order = np.lexsort((poses.time_s, number))
    order = order[number[order] >= 0]
    if not len(order):
        raise OutsideReleaseError("no pose lies in a clip (expected some)")
    source, clips = poses.take(order), number[order]
    matrices, times = np.empty((len(order), 3, 4)), np.empty(len(order))
    for clip in np.unique(clips).tolist():
        frame, of = plan.clips[clip], clips == clip
        lat, lon = source.lat[of], source.lon[of]
        x, y, z = frame.positions(lat, lon, source.height_m[of] + frame.height0_m)
        matrices[of, :, :3] = frame.rotations(source.rotation[of], lat, lon)
        matrices[of, :, 3] = np.stack([x, y, z], axis=1)
        times[of] = frame.times(source.time_s[of])
    check_clip_paths(clips, matrices[:, 0, 3], matrices[:, 1, 3], profile=profile)
    return UnlinkedPoses(content=_written(LOCAL_COLUMNS, clips.tolist(), times, matrices), source=source)


def offset_poses(poses: PlacedPoses, plan: OffsetPlan, *, profile: TrackProfile) -> UnlinkedPoses:
    """OFFSET: per kept span, matrices from the camera into east, north, up at the span's first pose, displaced.

    ``t_s`` is seconds since that pose: the file holds no date and no place.

    Raises:
        OutsideReleaseError: No pose lies in a kept span.
        LimitExceededError: A limit of the profile is missed.
    """
    number = plan.span_of(poses.time_s)
    order = np.lexsort((poses.time_s, number))
    order = order[number[order] >= 0]
    if not len(order):
        raise OutsideReleaseError("no pose lies in a kept span (expected some)")
    source, spans = poses.take(order), number[order]
    evidence = measured(plan.offset, source.lat, source.lon, profile=profile)
    lat, lon, rotation = plan.offset.displace_poses(source.lat, source.lon, source.rotation)
    matrices, times = np.empty((len(order), 3, 4)), np.empty(len(order))
    cuts = [0, *(np.flatnonzero(np.diff(spans)) + 1).tolist(), len(spans)]
    for a, b in itertools.pairwise(cuts):
        frame = EnuFrame(lat0=float(lat[a]), lon0=float(lon[a]))
        east, north = from_wgs84(lat[a:b], lon[a:b], frame)
        up = source.height_m[a:b] - source.height_m[a]
        matrices[a:b, :, :3] = rotation[a:b]
        matrices[a:b, :, 3] = np.stack([east, north, up], axis=1)
        times[a:b] = source.time_s[a:b] - source.time_s[a]
    content = _written(OFFSET_COLUMNS, spans.tolist(), times, matrices)
    return UnlinkedPoses(content=content, source=source, evidence=evidence)


def _written(columns: tuple[str, ...], numbers: list[int], times: FloatArray, matrices: FloatArray) -> bytes:
    lines = [",".join(columns)]
    for number, time, matrix in zip(numbers, times.tolist(), matrices.reshape(-1, 12).tolist(), strict=True):
        cells = [f"{v + 0.0:.3f}" if i % 4 == 3 else f"{v + 0.0:.8f}" for i, v in enumerate(matrix)]  # noqa: PLR2004
        lines.append(",".join([str(number), f"{time + 0.0:.3f}", *cells]))
    return "\n".join([*lines, ""]).encode()


def on_track(track: Track, time_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Where the recording was at each time: latitudes and longitudes in degrees, EPSG:4326.

    NaN where no segment says, where several do, and in pauses of more than 5 s.
    """
    lat, lon = np.full(len(time_s), np.nan), np.full(len(time_s), np.nan)
    answers = np.zeros(len(time_s), np.int64)
    for part in track.segments():
        fixes = np.flatnonzero(np.isfinite(track.time_s[part])) + part.start
        if len(fixes) < 2:  # noqa: PLR2004 - nothing lies between fewer
            continue
        known = track.time_s[fixes]
        within = np.flatnonzero((time_s >= known[0]) & (time_s <= known[-1]))
        after = np.clip(np.searchsorted(known, time_s[within]), 1, len(known) - 1)
        pause = known[after] - known[after - 1]
        within, after, pause = (v[pause <= _MAX_GAP_S] for v in (within, after, pause))
        share = (time_s[within] - known[after - 1]) / np.where(pause > 0.0, pause, 1.0)
        a, b = fixes[after - 1], fixes[after]
        lat[within] = track.lat[a] + share * (track.lat[b] - track.lat[a])
        lon[within] = wrap_degrees(track.lon[a] + share * wrap_degrees(track.lon[b] - track.lon[a]))
        answers[within] += 1
    lat[answers > 1] = np.nan
    return lat, lon


def _fitted(ground: NDArray[np.complex128], truth: NDArray[np.complex128]) -> tuple[complex, complex, float]:
    """The rotation, as a unit number, and the shift that bring one path onto another; what is left, in metres."""
    mean, mean_truth = ground.mean(), truth.mean()
    product = complex(np.vdot(ground - mean, truth - mean_truth))
    if abs(product) < 1.0:
        raise MalformedItemError("poses do not move (expected a path that shows its direction)")
    turn = product / abs(product)
    shift = complex(mean_truth - turn * mean)
    left = np.abs(ground * turn + shift - truth)
    return turn, shift, float(np.sqrt((left**2).mean()))
