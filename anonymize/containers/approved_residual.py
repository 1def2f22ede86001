"""Re-scan of a container that left through a secrecy processor: every place in it against its true one.

The released messages are a part of the cleansed ones, in their order and shifted in time. Both are read side by
side; each fix, pose and edge must be where the processor, asked once more, puts the true one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from anonymize.containers.codec import Codec, codec_of
from anonymize.containers.frames import Frames, frames_of, is_static
from anonymize.containers.messages.poses import Pose, poses_of
from anonymize.containers.messages.transforms import edges_of
from anonymize.containers.rules import treatments_of
from anonymize.containers.stream import Channel, Container, Message
from anonymize.containers.tree import Fields
from anonymize.errors import ResidualError
from anonymize.finding import FieldPath, Finding, FindingKind
from anonymize.formats.track import Track
from anonymize.geo.approved_displacement import is_approved
from anonymize.geo.crs import geodesic_m
from anonymize.geo.displacement import KeyedOffset
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.offset_plan import OffsetPlan
from anonymize.profile import ChannelTreatment, Profile
from anonymize.residual import ResidualReport

_SCANNER = "container-approved@1"
_EQUAL_M = 0.01
_NS = 10**9
_PLACES = frozenset({"position", "pose", "transform"})

Place = tuple[float, float]


def scan_approved_places(
    released: Container, *, cleansed: Container, plan: OffsetPlan, reference: Track, profile: Profile
) -> ResidualReport:
    """Hold the places of a released container against those of the cleansed one.

    1. Every released message is one of the cleansed, in their order, moved by the plan's shift. 2. Every latitude
    and longitude is what the processor gives for the true ones, to 1 cm. 3. So is the place of every pose, and of
    every edge from a frame of the map, in the frame as it lies on the true ground; those that went are no finding.
    4. Elevations are 0.

    Args:
        released: The released container.
        cleansed: What it was made of.
        plan: The plan of the release; its displacement is a processor's.
        reference: The true track, on which frames lie.
        profile: Limits and treatments.

    Raises:
        MalformedItemError: A message cannot be read again.
        ProcessorError: The processor does not answer.
        ResidualError: The plan is of another mode.
    """
    if not is_approved(plan):
        raise ResidualError(f"places are held against a processor (got {type(plan.offset).__name__})")
    treatments = treatments_of(cleansed.summary, profile.containers)
    frames = frames_of(
        cleansed, treatments, map_frames=frozenset(profile.containers.map_frames), reference=reference
    )
    scan = _Scan(offset=plan.offset, frames=frames, treatments=treatments)
    true = _dynamic(cleansed, treatments)
    shift_ns = round(plan.shift_s * _NS)
    for message in released.messages():
        if is_static(message.channel.topic):
            continue
        original = _same(message, true, shift_ns)
        if original is None:
            scan.found(message.channel, "no message of the cleansed container")
            break
        scan.compare(message, original)
    return ResidualReport(
        scanners=(_SCANNER,), residual=tuple(scan.findings()), facts={"places": scan.places}
    )


def _dynamic(container: Container, treatments: Mapping[int, ChannelTreatment]) -> Iterator[Message]:
    for message in container.messages():
        if not (treatments[message.channel.id] == "transform" and is_static(message.channel.topic)):
            yield message


def _same(message: Message, true: Iterator[Message], shift_ns: int) -> Message | None:
    for original in true:
        if (
            original.channel.topic == message.channel.topic
            and original.log_time_ns + shift_ns == message.log_time_ns
        ):
            return original
    return None


@dataclass(slots=True, kw_only=True, eq=False)
class _Scan:
    offset: KeyedOffset
    frames: Frames
    treatments: Mapping[int, ChannelTreatment]
    places: int = 0
    _found: dict[tuple[str, str], None] = field(default_factory=dict)
    _codecs: dict[tuple[bool, int], Codec] = field(default_factory=dict)

    def found(self, channel: Channel, label: str) -> None:
        self._found[channel.topic, label] = None

    def findings(self) -> Iterator[Finding]:
        for topic, label in sorted(self._found):
            yield Finding(
                kind=FindingKind.POSITION,
                where=FieldPath(path=topic),
                confidence=1.0,
                detector=_SCANNER,
                label=label,
            )

    def compare(self, message: Message, original: Message) -> None:
        treatment = self.treatments[original.channel.id]
        if treatment not in _PLACES:
            return
        now = self._decoded(message, released=True)
        then = self._decoded(original, released=False)
        if treatment == "position":
            self._fixes(message.channel, list(_degrees(now)), list(_degrees(then)))
            return
        read = poses_of if treatment == "pose" else edges_of
        self._poses(message.channel, list(read(now)), list(read(then)))

    def _decoded(self, message: Message, *, released: bool) -> Fields:
        key = (released, message.channel.id)
        if key not in self._codecs:
            self._codecs[key] = codec_of(message.channel)
        return self._codecs[key].decode(message.data)

    def _fixes(
        self, channel: Channel, now: Sequence[tuple[Place, float]], then: Sequence[tuple[Place, float]]
    ) -> None:
        if len(now) != len(then):
            self.found(channel, "another number of fixes")
        elif now:
            self.places += len(now)
            expected = self.offset.displace([lat for (lat, _), _ in then], [lon for (_, lon), _ in then])
            shown = np.array([place for place, _ in now])
            if not _equal(expected, (shown[:, 0], shown[:, 1])):
                self.found(channel, "not the processor's position")
        if any(height for _, height in now):
            self.found(channel, "elevation")

    def _poses(self, channel: Channel, now: Sequence[Pose], then: Sequence[Pose]) -> None:
        """Poses of a list may have gone: each that is left must be the processor's of one that follows."""
        after = 0
        expected = [self._expected(pose) for pose in then]
        for pose in now:
            if pose.frame not in self.frames.absolute or pose.child in self.frames.absolute:
                continue
            self.places += 1
            while after < len(then) and not self._is(pose, then[after], expected[after]):
                after += 1
            if after == len(then):
                self.found(channel, "not the processor's position")
                return
            after += 1
            if pose.xyz[2] != 0.0:
                self.found(channel, "elevation")

    def _expected(self, pose: Pose) -> tuple[FloatArray, FloatArray] | None:
        alignment = self.frames.aligned.get(pose.frame)
        if alignment is None or not np.isfinite(pose.xyz).all():
            return None
        return self.offset.displace(*alignment.to_wgs84(pose.xyz[:1], pose.xyz[1:2]))

    def _is(self, pose: Pose, true: Pose, expected: tuple[FloatArray, FloatArray] | None) -> bool:
        alignment = self.frames.aligned.get(pose.frame)
        if alignment is None or expected is None or (pose.frame, pose.child) != (true.frame, true.child):
            return False
        return _equal(expected, alignment.to_wgs84(pose.xyz[:1], pose.xyz[1:2]))


def _equal(expected: Sequence[FloatArray], shown: Sequence[FloatArray]) -> bool:
    return bool((geodesic_m(expected[0], expected[1], shown[0], shown[1])[0] <= _EQUAL_M).all())


def _degrees(node: Any) -> Iterator[tuple[Place, float]]:
    """Every latitude and longitude of a message in its order, with the height beside it."""
    if isinstance(node, list):
        for value in node:
            if isinstance(value, dict):
                yield from _degrees(value)
    elif isinstance(node, dict):
        lat, lon = node.get("latitude"), node.get("longitude")
        if isinstance(lat, int | float) and isinstance(lon, int | float):
            yield (float(lat), float(lon)), float(node.get("altitude", 0.0))
        for value in node.values():
            if isinstance(value, dict | list):
                yield from _degrees(value)
