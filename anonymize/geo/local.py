"""LOCAL mode: short clips of a track, each in a metric frame of its own, with time from zero.

A clip has no place, no date and no neighbours; ``anonymize.geo.clips`` plans them for all channels of a
recording. What remains is the shape of at most ``local_clip_m`` of road.
"""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import LimitExceededError
from anonymize.formats.track import Track
from anonymize.geo.clips import ClipFrame, ClipPlan, plan_clips
from anonymize.geo.crs import steps_m
from anonymize.geo.ellipsoid import FloatArray, radii_m
from anonymize.profile import TrackProfile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalClip:
    """One clip.

    Attributes:
        number: Its number in the release, the same in every channel of the recording.
        t_s: Seconds since the clip's begin; NaN where absent.
        x_m: Metres along the first axis of the clip's own frame.
        y_m: Metres along the second axis, 90 degrees to the left of the first.
        speed_mps: Metres per second; NaN where absent.
        height_m: Metres along the third axis; NaN where absent or not kept by the profile.
        length_m: Geodesic length of its path in metres.
    """

    number: int
    t_s: FloatArray
    x_m: FloatArray
    y_m: FloatArray
    speed_mps: FloatArray
    height_m: FloatArray
    length_m: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalClips:
    """The clips of one recording in keyed order.

    Attributes:
        clips: At least one.
        distortion: Greatest relative error of a clip's path length in its frame against the geodesic at the
            frame's height.
        fixes_dropped: Fixes between clips and in clips that were too short.
    """

    clips: tuple[LocalClip, ...]
    distortion: float
    fixes_dropped: int

    @property
    def lengths_m(self) -> tuple[float, ...]:
        """Geodesic path length of each clip in metres."""
        return tuple(clip.length_m for clip in self.clips)


def to_local(track: Track, *, key: bytes, context: bytes, profile: TrackProfile) -> LocalClips:
    """Cut a track into clips without place or date.

    Args:
        track: The cleansed track.
        key: The release's key, 32 bytes.
        context: Names the recording within the release.
        profile: Parameters and limits.

    Raises:
        LimitExceededError: No clip has ``local_min_fixes`` fixes.
        ProfileError: The key has another length.
    """
    plan = plan_clips(track, key=key, context=context, profile=profile)
    return _clips(track, plan, [clip.fixes for clip in plan.clips])


def to_clips(track: Track, plan: ClipPlan) -> LocalClips:
    """Cut another track of a recording into the clips that were planned on its first, by time.

    Clips that hold none of its fixes are left out; fixes without a time are in none.

    Raises:
        LimitExceededError: No clip holds a fix.
    """
    number = plan.clip_of(track.time_s)
    order = np.argsort(number, kind="stable")
    bounds = np.searchsorted(number[order], np.arange(len(plan.clips) + 1))
    return _clips(track, plan, [order[a:b] for a, b in itertools.pairwise(bounds)])


def write_local_csv(local: LocalClips) -> bytes:
    """Write ``clip,t_s,x_m,y_m`` and, where any clip has them, ``speed_mps`` and ``height_m``."""
    fields: list[tuple[str, list[FloatArray]]] = [
        ("t_s", [c.t_s for c in local.clips]),
        ("x_m", [c.x_m for c in local.clips]),
        ("y_m", [c.y_m for c in local.clips]),
    ]
    for name, arrays in (
        ("speed_mps", [c.speed_mps for c in local.clips]),
        ("height_m", [c.height_m for c in local.clips]),
    ):
        if any(np.isfinite(a).any() for a in arrays):
            fields.append((name, arrays))
    columns = [[str(c.number) for c in local.clips for _ in range(len(c.x_m))]]
    for _, arrays in fields:
        values = (np.round(np.concatenate(arrays), 3) + 0.0).tolist()
        columns.append(["" if math.isnan(v) else f"{v:.3f}" for v in values])
    header = ",".join(["clip", *(name for name, _ in fields)])
    return "\n".join([header, *(",".join(row) for row in zip(*columns, strict=True)), ""]).encode()


def _clips(track: Track, plan: ClipPlan, fixes: list[NDArray[np.intp]]) -> LocalClips:
    made = [_clip(track, clip, of) for clip, of in zip(plan.clips, fixes, strict=True) if len(of)]
    if not made:
        raise LimitExceededError(f"no clip holds a fix (got {len(track)} fixes, expected some in a clip)")
    return LocalClips(
        clips=tuple(clip for clip, _ in made),
        distortion=max(error for _, error in made),
        fixes_dropped=len(track) - sum(len(of) for of in fixes),
    )


def _clip(track: Track, frame: ClipFrame, fixes: NDArray[np.intp]) -> tuple[LocalClip, float]:
    lat, lon, height = track.lat[fixes], track.lon[fixes], track.elevation_m[fixes]
    known = np.isfinite(height) & frame.keep_elevation
    x, y, z = frame.positions(lat, lon, np.where(known, height, frame.height0_m))
    length = float(steps_m(lat, lon).sum())
    clip = LocalClip(
        number=frame.number,
        t_s=frame.times(track.time_s[fixes]),
        x_m=x,
        y_m=y,
        speed_mps=track.speed_mps[fixes].copy(),
        height_m=np.where(known, z, np.nan),
        length_m=length,
    )
    at_height = length * (1.0 + frame.height0_m / float(radii_m(frame.lat0)[1]))
    flat = float(np.hypot(np.diff(x), np.diff(y)).sum())
    return clip, abs(flat / at_height - 1.0) if length > 1.0 else 0.0
