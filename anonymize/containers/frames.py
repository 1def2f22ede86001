"""The frames that a recording's poses are in: which lie where on the ground, and how they hang together."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite

import numpy as np

from anonymize.containers.alignment import Alignment, Samples, align
from anonymize.containers.codec import Codec, codec_of
from anonymize.containers.messages.poses import Pose, poses_of
from anonymize.containers.messages.transforms import edges_of
from anonymize.containers.outline import Placed
from anonymize.containers.stream import Container, Message
from anonymize.containers.tree import Fields
from anonymize.errors import LimitExceededError
from anonymize.formats.track import Track
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.rotation import multiply_quaternions
from anonymize.profile import ChannelTreatment

BODIES = frozenset({"base_link", "base_footprint", "vehicle", "ego", "ego_vehicle", "rear_axle", "imu_link"})
"""Frames that are the vehicle itself."""

_MOST_SAMPLES = 4096
_MOST_SOURCES = 1024
_MOVES_M = 20.0
_MOST_STATIC = 1024
_NS = 1e-9
_HOUR_NS = 3_600_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frames:
    """What is known of frames.

    Attributes:
        absolute: Frames of the map: those that the profile names, and any other in which something moves by 20 m
            and that is not mounted on the vehicle.
        aligned: Those of them that lie on the ground.
        links: Edges between two frames of the map, by parent and child: times in POSIX seconds and poses.
        static: Edges of ``tf_static`` between other frames.
    """

    absolute: frozenset[str]
    aligned: Mapping[str, Alignment] = field(repr=False)
    links: Mapping[tuple[str, str], "Links"] = field(repr=False)
    static: tuple[Pose, ...] = field(repr=False)

    def mount(self, frame: str, bodies: frozenset[str]) -> tuple[FloatArray, FloatArray] | None:
        """Place and orientation (quaternion) of a sensor on a body; None where they are unknown.

        Static edges are followed upwards to the first of ``bodies``.
        """
        above = {edge.child: edge for edge in self.static}
        xyz, turn, at = np.zeros(3), np.array([0.0, 0.0, 0.0, 1.0]), frame
        for _ in range(len(above) + 1):
            if at in bodies:
                return xyz, turn
            if at not in above:
                return None
            edge = above[at]
            xyz = apply(edge.xyz, edge.xyzw, xyz[None])[0]
            turn, at = multiply_quaternions(edge.xyzw, turn), edge.frame
        return None

    def yaw_to(self, frame: str, bodies: frozenset[str]) -> float | None:
        """Angle in radians by which the x axis of a sensor is turned to the left from a body's; None: unknown."""
        mounted = self.mount(frame, bodies)
        return None if mounted is None else yaw_of(mounted[1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Links:
    """An edge between two frames of the map over time, shapes (N,), (N, 3) and (N, 4)."""

    time_s: FloatArray
    xyz: FloatArray
    xyzw: FloatArray

    def at(self, time_s: float) -> tuple[FloatArray, FloatArray]:
        """The last one known at a time, or the first."""
        index = max(int(np.searchsorted(self.time_s, time_s, side="right")) - 1, 0)
        return self.xyz[index], self.xyzw[index]


def is_static(topic: str) -> bool:
    """Whether a topic carries edges that hold for the whole recording."""
    return topic.rstrip("/").endswith("tf_static")


def own_time_ns(stamp_ns: int, log_time_ns: int) -> int:
    """The time of a value: its stamp, or the log's where the stamp is not set or of another clock (1 h off)."""
    return stamp_ns if stamp_ns and abs(stamp_ns - log_time_ns) <= _HOUR_NS else log_time_ns


def frames_of(
    container: Container,
    treatments: Mapping[int, ChannelTreatment],
    *,
    map_frames: frozenset[str],
    reference: Track | None,
    observe: Callable[[Message], None] | None = None,
) -> Frames:
    """Read all poses and edges once and lay them on the reference track; keeps a bounded number of them.

    ``observe`` is shown every message on the way.

    A frame without poses of its own is aligned by those of a frame that hangs in it.
    """
    thinned: dict[tuple[str, str, str], _Thinned] = {}
    links: dict[tuple[str, str], _Thinned] = {}
    static: dict[tuple[str, str], Pose] = {}
    for message, pose, edge in _placed(container, treatments, observe):
        if edge and pose.frame not in map_frames and pose.child not in map_frames:
            if is_static(message.channel.topic) and len(static) < _MOST_STATIC:
                static[pose.frame, pose.child] = _pose(pose)
        elif pose.frame and not pose.listed and all(map(isfinite, pose.values[:3])):
            time_s = own_time_ns(pose.stamp_ns, message.log_time_ns) * _NS
            if edge and pose.frame in map_frames and pose.child in map_frames:
                links.setdefault((pose.frame, pose.child), _Thinned()).add(time_s, pose.values)
                continue
            key = (pose.frame, message.channel.topic, pose.child)
            kept = thinned.get(key)
            if kept is None:
                if len(thinned) >= _MOST_SOURCES:
                    raise LimitExceededError(
                        f"the container places too many bodies in frames (expected at most {_MOST_SOURCES})"
                    )
                kept = thinned[key] = _Thinned()
            kept.add(time_s, pose.values)
    known = {key: kept.links() for key, kept in links.items()}
    places: dict[str, list[Samples]] = {}
    for (frame, _, _), kept in thinned.items():
        places.setdefault(frame, []).append(kept.samples())
    mounts = Frames(absolute=map_frames, aligned={}, links=known, static=tuple(static.values()))
    absolute = map_frames | {
        frame
        for frame, sources in places.items()
        if any(_moves(samples) for samples in sources) and mounts.mount(frame, BODIES) is None
    }
    places = {frame: sources for frame, sources in places.items() if frame in absolute}
    _hand_up(places, known)
    return replace(
        mounts,
        absolute=absolute,
        aligned=_aligned(places, reference) if reference is not None else {},
    )


def yaw_of(xyzw: FloatArray) -> float:
    """Angle in radians by which a rotation turns the x axis to the left, seen from above."""
    x, y, z, w = xyzw.tolist()
    return float(np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z)))


def apply(xyz: FloatArray, xyzw: FloatArray, points: FloatArray) -> FloatArray:
    """Places (N, 3) of a child frame in the parent frame of an edge."""
    axis, w = xyzw[:3], float(xyzw[3])
    cross = 2.0 * np.cross(axis, points)
    return np.asarray(points + w * cross + np.cross(axis, cross) + xyz)


def _placed(
    container: Container,
    treatments: Mapping[int, ChannelTreatment],
    observe: Callable[[Message], None] | None,
) -> Iterator[tuple[Message, Placed, bool]]:
    codecs: dict[int, Codec] = {}
    wanted = frozenset(number for number, treat in treatments.items() if treat in {"pose", "transform"})
    for message in container.messages(None if observe is not None else wanted):
        if observe is not None:
            observe(message)
        number = message.channel.id
        if number not in wanted:
            continue
        codec = codecs.get(number)
        if codec is None:
            codec = codecs[number] = codec_of(message.channel)
        edge = treatments[number] == "transform"
        outline = codec.outline(message.data)
        placed = None if outline is None else outline.placed
        if placed is None or edge != codec.tells_edges:
            placed = _decoded(codec.decode(message.data), edge=edge)
        for pose in placed:
            yield message, pose, edge


def _decoded(fields: Fields, *, edge: bool) -> list[Placed]:
    return [
        Placed(pose.frame, pose.child, pose.stamp_ns, (*pose.xyz.tolist(), *pose.xyzw.tolist()), pose.listed)
        for pose in (edges_of(fields) if edge else poses_of(fields))
    ]


def _pose(placed: Placed) -> Pose:
    return Pose(
        frame=placed.frame,
        child=placed.child,
        stamp_ns=placed.stamp_ns,
        xyz=np.array(placed.values[:3]),
        xyzw=np.array(placed.values[3:]),
        listed=placed.listed,
    )


class _Thinned:
    """At most a fixed number of poses, evenly spread over all that came."""

    def __init__(self) -> None:
        self._kept: list[tuple[float, tuple[float, ...]]] = []
        self._every, self._seen = 1, 0

    def add(self, time_s: float, values: tuple[float, ...]) -> None:
        if self._seen % self._every == 0:
            self._kept.append((time_s, values))
            if len(self._kept) >= _MOST_SAMPLES:
                self._kept, self._every = self._kept[::2], self._every * 2
        self._seen += 1

    def samples(self) -> Samples:
        links = self.links()
        return Samples(time_s=links.time_s, x_m=links.xyz[:, 0], y_m=links.xyz[:, 1])

    def links(self) -> Links:
        times = np.array([t for t, _ in self._kept])
        order = np.argsort(times, kind="stable")
        order = order[np.r_[True, np.diff(times[order]) > 0]]
        poses = np.array([values for _, values in self._kept])[order]
        return Links(time_s=times[order], xyz=poses[:, :3].copy(), xyzw=poses[:, 3:].copy())


def _moves(samples: Samples) -> bool:
    x, y = samples.x_m, samples.y_m
    return bool(len(x)) and float(np.hypot(x - x[0], y - y[0]).max()) >= _MOVES_M


def _hand_up(places: dict[str, list[Samples]], links: Mapping[tuple[str, str], Links]) -> None:
    """Give frames without places of their own those of the frames that hang in them."""
    for _ in range(len(links)):
        for (parent, child), link in links.items():
            if parent in places or child not in places:
                continue
            places[parent] = [_carried(samples, link) for samples in places[child]]


def _carried(samples: Samples, link: Links) -> Samples:
    flat = np.column_stack([samples.x_m, samples.y_m, np.zeros(len(samples.x_m))])
    made = np.stack([apply(*link.at(t), p) for t, p in zip(samples.time_s.tolist(), flat, strict=True)])
    return Samples(time_s=samples.time_s, x_m=made[:, 0], y_m=made[:, 1])


def _aligned(places: Mapping[str, list[Samples]], reference: Track) -> dict[str, Alignment]:
    found: dict[str, Alignment] = {}
    for frame, sources in places.items():
        fits = [fit for fit in (align(samples, reference) for samples in sources) if fit is not None]
        if fits:
            found[frame] = min(fits, key=lambda fit: fit.residual_m)
    return found
