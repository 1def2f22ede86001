"""Carrying poses and edges of frames into the frames of a release."""

import math
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from anonymize.containers.alignment import Way
from anonymize.containers.frames import Frames, apply, yaw_of
from anonymize.containers.messages.poses import Pose
from anonymize.formats.track import Track
from anonymize.geo.approved_displacement import ApprovedDisplacement
from anonymize.geo.clips import ClipPlan
from anonymize.geo.displacement import KeyedOffset
from anonymize.geo.distortion import turns_rad
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.rotation import about_up, multiply_quaternions, up_quaternion
from anonymize.profile import Profile

_PROBE_M = 50.0
_KNOT_M = 4.0
_KNOT_DEG = 3e-5
_STEP_M, _APPROVED_STEP_M = 1.0, 10.0
_LONGEST_GAP_S = 30.0
_NS = 1e-9
_NOT_ALIGNED = "frame not aligned"
_FAR = "far from the vehicle"


class Carrying(Protocol):
    """Carries the values of one moment; ``reasons`` collects why something had to go."""

    reasons: set[str]

    def pose(self, pose: Pose) -> tuple[Pose, float] | None:
        """A pose in a frame of the map as released, and by which angle directions turned; None: it goes."""
        ...

    def link(self, edge: Pose) -> Pose | None:
        """An edge between two frames of the map as released; None: it goes."""
        ...

    def turn_of(self, frame: str) -> float | None:
        """By which angle directions in a frame of the map turn; None: unknown."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Carry:
    """From a frame of the map into a clip's frame: ``to + slope * (place - at)`` on x and y as complex numbers.

    ``root`` is the frame that lies on the ground, ``lift_m`` the height of this frame's origin in it.
    """

    at: complex
    to: complex
    slope: complex
    root: str
    lift_m: float

    @property
    def turn_rad(self) -> float:
        return float(np.angle(self.slope))

    def place(self, xyz: FloatArray) -> complex:
        return self.to + self.slope * (complex(xyz[0], xyz[1]) - self.at)


class LocalCarries:
    """The ways from all frames of the map into all clips of a LOCAL release."""

    def __init__(self, plan: ClipPlan, frames: Frames, profile: Profile) -> None:
        """Take the plan and what is known of frames."""
        self._plan, self._frames, self._profile = plan, frames, profile
        self._known: dict[tuple[str, int], _Carry | None] = {}
        self._ground_m: dict[tuple[str, int], float] = {}

    @property
    def keeps_elevation(self) -> bool:
        """Whether heights leave."""
        return self._profile.tracks.keep_elevation

    def moment(self, number: int) -> "LocalCarrying":
        """What carries the values of one clip."""
        return LocalCarrying(self, number)

    def of(self, frame: str, number: int) -> _Carry | None:
        """The way from a frame into a clip; None where the frame lies nowhere that is known.

        A frame that hangs in another takes that one's way, so that both keep to one another.
        """
        if (frame, number) not in self._known:
            self._known[frame, number] = None  # ends a circle of links
            self._known[frame, number] = self._linked(frame, number) or self._aligned(frame, number)
        return self._known[frame, number]

    def height_m(self, carry: _Carry, number: int, z_m: float) -> float:
        """Metres above the first height in the clip; 0 where the profile keeps no elevation."""
        if not self.keeps_elevation:
            return 0.0
        height = z_m + carry.lift_m
        return height - self._ground_m.setdefault((carry.root, number), height)

    def near(self, place: complex, number: int) -> bool:
        """Whether a place is no farther from the middle of the clip than a clip is long."""
        clip = self._plan.clips[number]
        x, y, _ = clip.positions(clip.lat0, clip.lon0)
        return abs(place - complex(x[0], y[0])) <= self._profile.tracks.local_clip_m

    def _aligned(self, frame: str, number: int) -> _Carry | None:
        alignment = self._frames.aligned.get(frame)
        if alignment is None:
            return None
        clip = self._plan.clips[number]
        x, y = alignment.from_wgs84(np.array([clip.lat0]), np.array([clip.lon0]))
        around = complex(x[0], y[0]) + _PROBE_M * np.array([0.0, 1.0, 1j, -1.0, -1j], np.complex128)
        px, py, _ = clip.positions(*alignment.to_wgs84(np.real(around), np.imag(around)))
        placed = px + 1j * py
        slope = ((placed[1] - placed[3]) + (placed[2] - placed[4]) / 1j) / (4.0 * _PROBE_M)
        return _Carry(
            at=complex(around[0]), to=complex(placed[0]), slope=complex(slope), root=frame, lift_m=0.0
        )

    def _linked(self, frame: str, number: int) -> _Carry | None:
        clip = self._plan.clips[number]
        for (parent, child), link in self._frames.links.items():
            above = self.of(parent, number) if child == frame else None
            if above is None:
                continue
            xyz, xyzw = link.at((clip.begin_s + clip.end_s) / 2.0)
            turn = complex(np.exp(1j * yaw_of(xyzw)))
            return _Carry(
                at=(above.at - complex(xyz[0], xyz[1])) / turn,
                to=above.to,
                slope=above.slope * turn,
                root=above.root,
                lift_m=above.lift_m + float(xyz[2]),
            )
        return None


@dataclass(slots=True)
class LocalCarrying:
    """Carries the values of one clip."""

    carries: LocalCarries
    number: int
    reasons: set[str] = field(default_factory=set)

    def pose(self, pose: Pose) -> tuple[Pose, float] | None:
        """The pose in the clip's frame."""
        carry = self.carries.of(pose.frame, self.number)
        if carry is None:
            self.reasons.add(_NOT_ALIGNED)
            return None
        place = carry.place(pose.xyz)
        if not self.carries.near(place, self.number):
            self.reasons.add(_FAR)
            return None
        height = self.carries.height_m(carry, self.number, float(pose.xyz[2]))
        return pose.turned(carry.turn_rad, np.array([place.real, place.imag, height])), carry.turn_rad

    def link(self, edge: Pose) -> Pose | None:
        """What is left of an edge when both its frames have become the clip's: the drift of one in the other."""
        parent, child = (self.carries.of(f, self.number) for f in (edge.frame, edge.child))
        if parent is None or child is None:
            self.reasons.add(_NOT_ALIGNED)
            return None
        middle = np.array([[child.at.real, child.at.imag, 0.0]])
        above = apply(edge.xyz, edge.xyzw, middle)[0]
        turned = multiply_quaternions(up_quaternion(parent.turn_rad), edge.xyzw)
        turned = multiply_quaternions(turned, up_quaternion(-child.turn_rad))
        placed = parent.place(above)
        origin = np.array([child.to.real, child.to.imag, 0.0])
        moved = np.array([placed.real, placed.imag, 0.0]) - apply(np.zeros(3), turned, origin[None])[0]
        height = float(above[2]) + parent.lift_m - child.lift_m if self.carries.keeps_elevation else 0.0
        return replace(edge, xyz=np.array([moved[0], moved[1], height]), xyzw=turned)

    def turn_of(self, frame: str) -> float | None:
        """The angle from a frame into the clip's frame."""
        carry = self.carries.of(frame, self.number)
        return None if carry is None else carry.turn_rad


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Knot:
    """The displacement about a place in a frame, to first order."""

    at: complex
    to: complex
    gradient: FloatArray
    turn_rad: float


class OffsetCarries:
    """The displacement in all frames of the map of an OFFSET release.

    It is taken to first order about places 4 m apart: its second derivatives, at most 1e-4 per metre for the
    shipped profiles, make that less than 1 mm. A secrecy processor, of which no such bound is known, is asked for
    every place, and for its gradient 10 m about it, as its checks ask; true heights are none of its own and go.
    """

    def __init__(self, offset: KeyedOffset, frames: Frames, reference: Track, profile: Profile) -> None:
        """Take the displacement and what is known of frames and the vehicle's way."""
        self._offset, self._frames, self._profile = offset, frames, profile
        self._way = Way(reference)
        self._knots: dict[str, _Knot] = {}
        self._turn: tuple[complex, float] | None = None
        approved = isinstance(offset, ApprovedDisplacement)
        self._reach_m, self._step_m = (0.0, _APPROVED_STEP_M) if approved else (_KNOT_M, _STEP_M)
        self.keeps_elevation = profile.tracks.keep_elevation and not approved

    def moment(self, time_ns: int) -> "OffsetCarrying":
        """What carries the values of one moment."""
        lat, lon, known = self._way.at(np.array([time_ns * _NS]), max_gap_s=_LONGEST_GAP_S)
        return OffsetCarrying(carries=self, at=(float(lat[0]), float(lon[0])) if known[0] else None)

    def near(self, frame: str, xyz: FloatArray, vehicle: tuple[float, float]) -> bool:
        """Whether a place is no farther from the vehicle than a clip of a LOCAL release is long."""
        x, y = self._frames.aligned[frame].from_wgs84(np.array([vehicle[0]]), np.array([vehicle[1]]))
        away = math.hypot(float(xyz[0] - x[0]), float(xyz[1] - y[0]))
        return away <= self._profile.tracks.local_clip_m

    def knot(self, frame: str, place: complex) -> _Knot | None:
        """The displacement near a place of a frame; None where the frame lies nowhere that is known."""
        alignment = self._frames.aligned.get(frame)
        if alignment is None:
            return None
        known = self._knots.get(frame)
        if known is None or abs(place - known.at) > self._reach_m:
            step = self._step_m
            around = place + step * np.array([0.0, 1.0, -1.0, 1j, -1j], np.complex128)
            moved = self._offset.displace(*alignment.to_wgs84(np.real(around), np.imag(around)))
            x, y = alignment.from_wgs84(*moved)
            gradient = np.array([[x[1] - x[2], x[3] - x[4]], [y[1] - y[2], y[3] - y[4]]]) / (2.0 * step)
            turn = math.atan2(gradient[1, 0] - gradient[0, 1], gradient[0, 0] + gradient[1, 1])
            known = _Knot(at=place, to=complex(x[0], y[0]), gradient=gradient, turn_rad=turn)
            self._knots[frame] = known
        return known

    def turn_at(self, vehicle: tuple[float, float]) -> float:
        """The angle by which directions turn at the vehicle."""
        place = complex(*vehicle)
        if self._turn is None or abs(place - self._turn[0]) > _KNOT_DEG:
            lat, lon = np.array([vehicle[0]]), np.array([vehicle[1]])
            self._turn = place, float(turns_rad(self._offset.jacobians(lat, lon))[0])
        return self._turn[1]


@dataclass(slots=True, kw_only=True)
class OffsetCarrying:
    """Carries the values of one moment of an OFFSET release; frames of the map stay where they are."""

    carries: OffsetCarries
    at: tuple[float, float] | None
    reasons: set[str] = field(default_factory=set)

    def pose(self, pose: Pose) -> tuple[Pose, float] | None:
        """The pose of the displaced body in the same frame."""
        place = complex(pose.xyz[0], pose.xyz[1])
        knot = self.carries.knot(pose.frame, place)
        if knot is None:
            self.reasons.add(_NOT_ALIGNED)
            return None
        if self.at is None or not self.carries.near(pose.frame, pose.xyz, self.at):
            self.reasons.add(_FAR)
            return None
        off = place - knot.at
        x, y = np.array([knot.to.real, knot.to.imag]) + knot.gradient @ np.array([off.real, off.imag])
        z = float(pose.xyz[2]) if self.carries.keeps_elevation else 0.0
        return pose.turned(knot.turn_rad, np.array([x, y, z])), knot.turn_rad

    def link(self, edge: Pose) -> Pose | None:  # noqa: ARG002 - as the other kind of carrying
        """Each frame's bodies are displaced by themselves; no edge between two frames holds afterwards."""
        self.reasons.add("edge between frames of the map")
        return None

    def turn_of(self, frame: str) -> float | None:  # noqa: ARG002 - one field for all frames
        """The angle by which the displacement turns directions at the vehicle."""
        return None if self.at is None else self.carries.turn_at(self.at)


def carried_sweep(
    points: FloatArray,
    *,
    offset: KeyedOffset,
    at: tuple[float, float],
    course_deg: float,
    mount: tuple[FloatArray, FloatArray],
) -> FloatArray:
    """Points (N, 3) of a sensor as it must have seen them for the displaced ground.

    Args:
        points: Points in the sensor's axes in metres.
        offset: The displacement.
        at: Latitude and longitude of the vehicle in degrees.
        course_deg: Its heading in degrees clockwise from north.
        mount: Place and orientation of the sensor on the vehicle.
    """
    xyz, xyzw = mount
    rotation = about_up(math.radians(90.0 - course_deg))
    body = apply(xyz, xyzw, points)
    moved = offset.displace_carried(body, lat=at[0], lon=at[1], height_m=0.0, rotation=rotation)
    back = np.array([-xyzw[0], -xyzw[1], -xyzw[2], xyzw[3]])
    return apply(np.zeros(3), back, moved - xyz)
