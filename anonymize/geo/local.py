"""LOCAL mode: short clips, each in a metric frame of its own, with time from zero.

Origin and direction of the frame are keyed. A clip has no place, no date and no neighbours: clips are cut
at keyed lengths with a keyed stretch left out between them, put in a keyed order and numbered in that order.
What remains is the shape of at most ``local_clip_m`` of road.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import LimitExceededError
from anonymize.formats.track import Track
from anonymize.geo.crs import steps_m
from anonymize.geo.ellipsoid import FloatArray, to_enu, wrap_degrees
from anonymize.geo.prf import require_key, subkey, uniform
from anonymize.profile import TrackProfile

_LENGTH_SHARE = (0.7, 1.0)
_SKIPPED_M = (20.0, 60.0)
_FARTHEST_ORIGIN_SHARE = 0.5
_DRAWS = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalClip:
    """One clip.

    Attributes:
        t_s: Seconds since its first fix with a time; NaN where absent.
        x_m: Metres along the first axis of the clip's own frame.
        y_m: Metres along the second axis, 90 degrees to the left of the first.
        speed_mps: Metres per second; NaN where absent.
        height_m: Metres above the clip's first known elevation; NaN where absent or not kept by the profile.
        length_m: Geodesic length of its path in metres.
    """

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
        distortion: Greatest relative error of a clip's path length in its frame against the geodesic.
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
    own = subkey(require_key(key), "local", context)
    spans = [s for s in _spans(track, own, profile) if len(s) >= profile.local_min_fixes]
    if not spans:
        raise LimitExceededError(
            f"no clip is left "
            f"(got {len(track)} fixes, expected {profile.local_min_fixes} within {profile.local_clip_m:g} m)"
        )
    draws = uniform(own, "clips", _DRAWS * len(spans)).reshape(-1, _DRAWS)
    order = np.argsort(draws[:, 0], kind="stable")
    clips = tuple(_clip(track, spans[i], draws[i], profile) for i in order.tolist())
    distortion = max(
        (abs(_flat_length(c) / c.length_m - 1.0) for c in clips if c.length_m > 1.0), default=0.0
    )
    dropped = len(track) - sum(len(s) for s in spans)
    return LocalClips(clips=clips, distortion=distortion, fixes_dropped=dropped)


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
    columns = [[str(n) for n, c in enumerate(local.clips) for _ in range(len(c.x_m))]]
    for _, arrays in fields:
        values = (np.round(np.concatenate(arrays), 3) + 0.0).tolist()
        columns.append(["" if math.isnan(v) else f"{v:.3f}" for v in values])
    header = ",".join(["clip", *(name for name, _ in fields)])
    return "\n".join([header, *(",".join(row) for row in zip(*columns, strict=True)), ""]).encode()


def _spans(track: Track, key: bytes, profile: TrackProfile) -> Iterator[NDArray[np.intp]]:
    for number, part in enumerate(_connected(track, profile)):
        along = np.r_[0.0, np.cumsum(steps_m(track.lat[part], track.lon[part]))]
        least = _LENGTH_SHARE[0] * profile.local_clip_m + _SKIPPED_M[0]
        draws = uniform(
            subkey(key, "spans", number.to_bytes(8, "big")), "cut", 2 * (int(along[-1] / least) + 2)
        )
        at = 0.0
        for share, skip in draws.reshape(-1, 2):
            length = profile.local_clip_m * (_LENGTH_SHARE[0] + (_LENGTH_SHARE[1] - _LENGTH_SHARE[0]) * share)
            first = int(np.searchsorted(along, at))
            if first >= len(along):
                break
            last = int(np.searchsorted(along, along[first] + length, side="right"))
            yield np.arange(first, last) + part.start
            at = along[last - 1] + _SKIPPED_M[0] + (_SKIPPED_M[1] - _SKIPPED_M[0]) * skip


def _connected(track: Track, profile: TrackProfile) -> Iterator[slice]:
    for part in track.segments():
        pause = np.nan_to_num(np.diff(track.time_s[part]))
        step = steps_m(track.lat[part], track.lon[part])
        cuts = np.flatnonzero((pause > profile.local_gap_s) | (step > profile.local_clip_m)) + 1 + part.start
        bounds = [part.start, *cuts.tolist(), part.stop]
        yield from (slice(a, b) for a, b in itertools.pairwise(bounds))


def _clip(track: Track, span: NDArray[np.intp], draws: FloatArray, profile: TrackProfile) -> LocalClip:
    lat, lon = track.lat[span], track.lon[span]
    mean_lon = lon[0] + float(np.mean(wrap_degrees(lon - lon[0])))
    east, north = to_enu(lat, lon, float(lat.mean()), mean_lon)
    _, turn, bearing, share = draws
    away = profile.local_clip_m * _FARTHEST_ORIGIN_SHARE * math.sqrt(share)
    frame = np.exp(2j * math.pi * turn)
    placed = (east + 1j * north - away * np.exp(2j * math.pi * bearing)) * frame
    time_s, height = track.time_s[span], track.elevation_m[span]
    return LocalClip(
        t_s=_from_first(time_s),
        x_m=placed.real.copy(),
        y_m=placed.imag.copy(),
        speed_mps=track.speed_mps[span].copy(),
        height_m=_from_first(height) if profile.keep_elevation else np.full(len(span), np.nan),
        length_m=float(steps_m(lat, lon).sum()),
    )


def _from_first(values: FloatArray) -> FloatArray:
    known = np.flatnonzero(np.isfinite(values))
    return values - values[known[0]] if len(known) else values.copy()


def _flat_length(clip: LocalClip) -> float:
    return float(np.hypot(np.diff(clip.x_m), np.diff(clip.y_m)).sum())
