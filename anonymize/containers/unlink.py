"""Second pass over a container: times, positions, poses and order leave as the release's key says.

Works on the output of the first pass. In LOCAL mode clips follow one another in keyed order; a container whose
messages do not fit into memory is then read several times. In OFFSET mode it is read once more in its own order.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from anonymize.containers.codec import Codec, Fields, Stamp, changed, codec_of, type_name
from anonymize.containers.container_pass import ContainerPass, Numbered, PassOutcome, Tally
from anonymize.containers.frames import BODIES, Frames, frames_of, is_static
from anonymize.containers.messages.fixes import change_fixes, released_fix, stamp_of_message
from anonymize.containers.messages.motion import turn_imu, turn_vectors
from anonymize.containers.messages.points import move_points
from anonymize.containers.messages.poses import Pose, change_poses
from anonymize.containers.messages.transforms import change_edges, only_edges
from anonymize.containers.placements import (
    Carrying,
    LocalCarries,
    OffsetCarries,
    carried_sweep,
)
from anonymize.containers.released_times import ReleasedTimes, clip_times, shifted_times
from anonymize.containers.rules import treatments_of
from anonymize.containers.stream import Channel, Container, Message, Schema
from anonymize.containers.tree import child_frame_of, frame_of, map_leaves, recounted, stamps
from anonymize.errors import MalformedItemError
from anonymize.finding import FindingKind, TreatmentKind
from anonymize.formats.track import Track
from anonymize.geo.approved_displacement import ApprovedDisplacement, plan_approved
from anonymize.geo.clips import ClipPlan, plan_clips
from anonymize.geo.offset_plan import OffsetPlan, plan_offset
from anonymize.profile import ChannelTreatment, Profile

Mode = Literal["LOCAL", "OFFSET", "APPROVED"]

CLIP_TOPIC = "/clip"
_CLIP_CHANNEL = -1
_CLIP_SCHEMA = json.dumps(
    {"type": "object", "properties": {"clip": {"type": "integer"}}, "required": ["clip"]},
    separators=(",", ":"),
).encode()
_TREATMENTS: Mapping[Mode, TreatmentKind] = {
    "LOCAL": TreatmentKind.LOCAL_FRAME,
    "OFFSET": TreatmentKind.KEYED_OFFSET,
    "APPROVED": TreatmentKind.SECRECY_PROCESSOR,
}
_HOUR_NS = 3_600_000_000_000
_NS = 1e-9
_TOGETHER = 1 << 28
_MOST_STATIC = 1024


def unlink_container(
    container: Container,
    *,
    mode: Mode,
    key: bytes,
    context: bytes,
    reference: Track | None,
    profile: Profile,
    can: bool = False,
    displacement: ApprovedDisplacement | None = None,
) -> ContainerPass:
    """Prepare the second pass; it runs while its chunks are taken.

    LOCAL: messages outside clips go; every time becomes time within its clip, clips 10 s apart, the first from
    10 s on (``/clip`` says which begins when); fixes go; poses, edges and velocities in frames of the map are
    brought into the clip's frame, IMU orientations turned with it.

    OFFSET: messages outside the kept spans go; every time moves by the recording's shift; fixes and poses in
    frames of the map are displaced by one function, and sweeps whose sensor's place on the vehicle is known are
    carried with it; edges between two frames of the map go.

    APPROVED: as in OFFSET, with the positions of a secrecy processor; heights go whatever the profile says.

    In all, frames of CAN stay as the first pass left them: nothing in them is displaced, so they state no place
    any more. Channels in frames that do not lie on the reference track go and are reported; stamps of another
    clock than the log's become the log's; sequence numbers count anew in every span.

    Args:
        container: The cleansed container.
        mode: The release mode.
        key: The release's key, 32 bytes.
        context: Names the recording within the release.
        reference: The cleansed track of the vehicle.
        profile: Limits and treatments.
        can: Whether the first pass treated frames of CAN by a DBC; without that they go.
        displacement: The secrecy processor of an ``APPROVED`` release.

    Raises:
        MalformedItemError: There is no track with times.
        LimitExceededError: No clip or kept span is left.
        ProfileError: The key has another length.
        UnknownFormatError: A channel is for quarantine.
    """
    if reference is None or not np.isfinite(reference.time_s).any():
        raise MalformedItemError("a container is released along a track with times (got none)")
    treatments = treatments_of(container.summary, profile.containers)
    plan: ClipPlan | OffsetPlan
    if mode == "LOCAL":
        plan = plan_clips(reference, key=key, context=context, profile=profile.tracks)
        times = clip_times(plan)
    elif mode == "OFFSET":
        plan = plan_offset(reference, key=key, context=context, profile=profile.tracks)
        times = shifted_times(plan)
    elif mode == "APPROVED" and displacement is not None:
        plan = plan_approved(
            reference, key=key, context=context, profile=profile.tracks, displacement=displacement
        )
        times = shifted_times(plan)
    else:
        raise ValueError(f"a release mode is LOCAL, OFFSET, or APPROVED with a processor (got {mode!r})")
    survey = _Survey(times=times, treatments=treatments)
    frames = frames_of(
        container,
        treatments,
        map_frames=frozenset(profile.containers.map_frames),
        reference=reference,
        observe=survey.observe,
    )
    run = _Unlinking(
        container=container,
        treatments=treatments,
        mode=mode,
        plan=plan,
        times=times,
        frames=frames,
        survey=survey,
        reference=reference,
        profile=profile,
        can=can,
    )
    return ContainerPass(
        run.messages,
        run.outcome,
        profile=container.summary.profile,
        chunk_bytes=profile.containers.chunk_bytes,
    )


@dataclass(slots=True, kw_only=True, eq=False)
class _Survey:
    """What one reading tells: bytes in each span, and the static edges."""

    times: ReleasedTimes
    treatments: Mapping[int, ChannelTreatment]
    bytes_in: Counter[int] = field(default_factory=Counter)
    static: dict[tuple[int, bytes], Message] = field(default_factory=dict)

    def observe(self, message: Message) -> None:
        if self.treatments[message.channel.id] == "transform" and is_static(message.channel.topic):
            if len(self.static) < _MOST_STATIC:
                self.static.setdefault((message.channel.id, message.data), message)
        else:
            self.bytes_in[self.times.index.number(message.log_time_ns)] += len(message.data)

    def groups(self) -> Iterator[tuple[int, ...]]:
        """Spans in released order, as many together as fit into memory."""
        group: list[int] = []
        size = 0
        for number in range(len(self.times.begin_ns)):
            if group and size + self.bytes_in[number] > _TOGETHER:
                yield tuple(group)
                group, size = [], 0
            group.append(number)
            size += self.bytes_in[number]
        if group:
            yield tuple(group)


@dataclass(slots=True, kw_only=True)
class _Open:
    codec: Codec
    released: Channel
    counts: Counter[int] = field(default_factory=Counter)


@dataclass(slots=True, kw_only=True, eq=False)
class _Unlinking:
    container: Container
    treatments: Mapping[int, ChannelTreatment]
    mode: Mode
    plan: ClipPlan | OffsetPlan
    times: ReleasedTimes
    frames: Frames
    survey: _Survey
    reference: Track
    profile: Profile
    can: bool
    tally: Tally = field(default_factory=Tally)
    _carries: LocalCarries | OffsetCarries = field(init=False)
    _open: dict[int, _Open] = field(default_factory=dict)
    _course_deg: float | None = None
    _number: int = -1

    def __post_init__(self) -> None:
        if isinstance(self.plan, ClipPlan):
            self._carries = LocalCarries(self.plan, self.frames, self.profile)
        else:
            self._carries = OffsetCarries(self.plan.offset, self.frames, self.reference, self.profile)

    def messages(self) -> Iterator[Message]:
        yield from self._static()
        if self.mode != "LOCAL":
            yield from self._read(frozenset(range(len(self.times.begin_ns))), first=True)
            return
        first = True
        for group in self.survey.groups():
            if len(group) == 1:
                yield self._marker(group[0])
                yield from self._read(frozenset(group), first=first)
            else:
                held: dict[int, list[Message]] = {number: [] for number in group}
                for message in self._read(frozenset(group), first=first):
                    held[self._number].append(message)
                for number in group:
                    yield self._marker(number)
                    yield from held.pop(number)
            first = False

    def outcome(self) -> PassOutcome:
        self.tally.done(_TREATMENTS[self.mode], FindingKind.POSITION, sum(self.tally.went.values()))
        self.tally.done(TreatmentKind.TIME_SHIFT, FindingKind.TIMESTAMP, sum(self.tally.went.values()))
        return self.tally.outcome(
            mode=self.mode,
            spans=len(self.times.begin_ns),
            frames_aligned={
                name: round(fit.residual_m, 3) for name, fit in sorted(self.frames.aligned.items())
            },
        )

    def _read(self, wanted: frozenset[int], *, first: bool) -> Iterator[Message]:
        """Messages of some spans; ``first`` counts those that belong to none."""
        numbered = Numbered()
        for message in self.container.messages():
            topic = message.channel.topic
            treatment = self.treatments[message.channel.id]
            if treatment == "transform" and is_static(topic):
                continue
            number = self.times.index.number(message.log_time_ns)
            if number < 0 or number not in wanted:
                if first and number < 0:
                    self.tally.came[topic] += 1
                    self.tally.left_out(topic, "outside the kept times")
                    self.tally.done(TreatmentKind.CUT, FindingKind.TIMESTAMP)
                continue
            self.tally.came[topic] += 1
            self._number = number
            made = numbered.treat(message, self._message)
            if made is not None:
                self.tally.went[topic] += 1
                yield made

    def _channel(self, channel: Channel) -> _Open:
        if channel.id not in self._open:
            codec = codec_of(channel)
            self._open[channel.id] = _Open(codec=codec, released=replace(channel, schema=codec.definition))
        return self._open[channel.id]

    def _message(self, message: Message) -> Message | None:
        treatment, topic = self.treatments[message.channel.id], message.channel.topic
        schema = type_name(message.channel.schema.name) if message.channel.schema else ""
        fix = treatment == "position"
        if (
            treatment in {"drop", "quarantine"}
            or (treatment == "can" and not self.can)
            or (fix and (self.mode == "LOCAL" or not released_fix(schema)))
        ):
            self.tally.left_out(topic, "channel")
            self.tally.found(
                FindingKind.POSITION if fix else FindingKind.EMBEDDED_STREAM, topic, label=treatment
            )
            self.tally.done(TreatmentKind.DROP_STREAM, FindingKind.EMBEDDED_STREAM)
            return None
        channel = self._channel(message.channel)
        original = channel.codec.decode(message.data)
        own = (
            [stamp_of_message(original)]
            if treatment in {"pose", "transform"}
            else [s.ns for s in stamps(original)]
        )
        if any(self._elsewhere(t, message.log_time_ns) for t in own):
            self.tally.left_out(topic, "across the kept times")
            return None
        fields = self._moved(message, original, treatment)
        if fields is None:
            return None
        fields = map_leaves(fields, Stamp, lambda stamp: self._stamp(stamp, message.log_time_ns))
        return self._written(message, channel, original, recounted(fields, channel.counts[self._number]))

    def _written(self, message: Message, channel: _Open, original: Fields, fields: Fields) -> Message:
        log = message.log_time_ns
        published = log if self._elsewhere(message.publish_time_ns, log) else message.publish_time_ns
        if abs(published - log) > _HOUR_NS:
            published = log
        sequence = channel.counts[self._number]
        channel.counts[self._number] += 1
        return Message(
            channel=channel.released,
            log_time_ns=self.times.released(log, self._number),
            publish_time_ns=self.times.released(published, self._number),
            sequence=sequence & 0xFFFFFFFF,
            data=changed(channel.codec, message.data, original, fields),
        )

    def _elsewhere(self, time_ns: int, log_ns: int) -> bool:
        """Whether a time of the log's clock lies outside the span of the message."""
        if not time_ns or abs(time_ns - log_ns) > _HOUR_NS:
            return False
        return self.times.index.number(time_ns) != self._number

    def _stamp(self, stamp: Stamp, log_ns: int) -> Stamp:
        if not stamp.ns:
            return stamp
        other = abs(stamp.ns - log_ns) > _HOUR_NS or self._elsewhere(stamp.ns, log_ns)
        return Stamp(self.times.released(log_ns if other else stamp.ns, self._number))

    def _carrying(self, time_ns: int) -> Carrying:
        carries = self._carries
        return carries.moment(self._number if isinstance(carries, LocalCarries) else time_ns)

    def _moved(self, message: Message, fields: Fields, treatment: ChannelTreatment) -> Fields | None:
        topic = message.channel.topic
        if treatment == "position":
            return self._fixes(fields)
        if treatment == "points":
            return self._points(message, fields)
        if treatment not in {"pose", "transform", "motion"}:
            return fields
        moving = _Moving(
            unlinking=self,
            carrying=self._carrying(message.log_time_ns),
            log_ns=message.log_time_ns,
            map_frames=self.frames.absolute,
        )
        made = {"pose": moving.poses, "transform": moving.edges, "motion": moving.motion}[treatment](fields)
        for reason in sorted(moving.carrying.reasons):
            self.tally.found(FindingKind.POSITION, topic, label=reason)
            self.tally.facts[reason] += 1
        if made is None:
            self.tally.left_out(topic, min(moving.carrying.reasons, default="no frame"))
            self.tally.done(TreatmentKind.DROP, FindingKind.POSITION)
        return made

    def _fixes(self, fields: Fields) -> Fields | None:
        plan = self.plan
        assert isinstance(plan, OffsetPlan)  # noqa: S101 - fixes leave in this mode only

        def displaced(lat: float, lon: float) -> tuple[float, float]:
            moved_lat, moved_lon = plan.offset.displace(lat, lon)
            return float(moved_lat[0]), float(moved_lon[0])

        return change_fixes(fields, displaced, keep_elevation=self._carries.keeps_elevation)

    def _points(self, message: Message, fields: Fields) -> Fields | None:
        topic, frame = message.channel.topic, frame_of(fields)
        if not frame or frame in self.frames.absolute:
            self.tally.left_out(topic, "cloud in a frame of the map")
            return None
        if not isinstance(self.plan, OffsetPlan):
            return fields
        mount = self.frames.mount(frame, BODIES)
        at = self.reference.position_at(message.log_time_ns * _NS)
        if at is not None and at[2] is not None:
            self._course_deg = at[2]
        if mount is None or at is None or self._course_deg is None:
            self.tally.facts["sweeps_not_carried"] += 1
            return fields
        offset, course = self.plan.offset, self._course_deg
        return move_points(
            fields,
            lambda points: carried_sweep(points, offset=offset, at=at[:2], course_deg=course, mount=mount),
            profile=self.profile.points,
        )

    def _static(self) -> Iterator[Message]:
        """The static edges at the begin of the release, whenever they were sent."""
        inside = self.frames.absolute
        begin = min(self.times.begin_ns)
        for message in self.survey.static.values():
            self.tally.came[message.channel.topic] += 1
            channel = self._channel(message.channel)
            original = channel.codec.decode(message.data)
            fields = only_edges(original, lambda edge: not {edge.frame, edge.child} & inside)
            if fields is None:
                self.tally.left_out(message.channel.topic, "edge of the map")
                continue
            fields = map_leaves(fields, Stamp, lambda stamp: Stamp(begin) if stamp.ns else stamp)
            fields = recounted(fields, 0)
            self.tally.went[message.channel.topic] += 1
            yield Message(
                channel=channel.released,
                log_time_ns=begin,
                publish_time_ns=begin,
                sequence=0,
                data=changed(channel.codec, message.data, original, fields),
            )

    def _marker(self, number: int) -> Message:
        begin = self.times.begin_ns[number]
        return Message(
            channel=Channel(
                id=_CLIP_CHANNEL,
                topic=CLIP_TOPIC,
                message_encoding="json",
                schema=Schema(name="fleetgate.Clip", encoding="jsonschema", data=_CLIP_SCHEMA),
            ),
            log_time_ns=begin,
            publish_time_ns=begin,
            sequence=number,
            data=json.dumps({"clip": number}, separators=(",", ":")).encode(),
        )


@dataclass(slots=True, kw_only=True)
class _Moving:
    """Carries the poses, edges and vectors of one message."""

    unlinking: _Unlinking
    carrying: Carrying
    log_ns: int
    map_frames: frozenset[str]

    def poses(self, fields: Fields) -> Fields | None:
        made, child = change_poses(fields, self), child_frame_of(fields)
        if made is None or "twist" not in made or child not in self.map_frames:
            return made
        # The velocity of an odometry is in its child's axes: here these are fixed to the ground.
        turn = self.carrying.turn_of(child)
        return None if turn is None else {**made, "twist": turn_vectors(made["twist"], turn)}

    def pose(self, pose: Pose) -> tuple[Pose, float] | None:
        if not pose.frame or not np.isfinite(pose.xyz).all() or self._late(pose):
            self.carrying.reasons.add("no frame, place or time")
            return None
        return self.carrying.pose(pose) if pose.frame in self.map_frames else (pose, 0.0)

    def edges(self, fields: Fields) -> Fields | None:
        return change_edges(fields, self._edge)

    def motion(self, fields: Fields) -> Fields | None:
        if "orientation" in fields and "linear_acceleration" in fields:
            turn = self._imu_turn()
            return None if turn is None else turn_imu(fields, turn)
        frame = frame_of(fields)
        if frame not in self.map_frames:
            return fields
        turn = self.carrying.turn_of(frame)
        if turn is None:
            self.carrying.reasons.add("frame not aligned")
            return None
        made: Any = turn_vectors(fields, turn)
        return made if isinstance(made, dict) else None

    def _imu_turn(self) -> float | None:
        plan = self.unlinking.plan
        if isinstance(plan, ClipPlan):
            return plan.clips[self.unlinking._number].turn_rad  # noqa: SLF001 - one run
        return self.carrying.turn_of("")

    def _edge(self, edge: Pose) -> Pose | None:
        if not edge.frame or not edge.child or not np.isfinite(edge.xyz).all() or self._late(edge):
            self.carrying.reasons.add("no frame, place or time")
            return None
        above, below = edge.frame in self.map_frames, edge.child in self.map_frames
        if above and below:
            return self.carrying.link(edge)
        if below:
            self.carrying.reasons.add("frame of the map below a body")
            return None
        if not above:
            return edge
        placed = self.carrying.pose(edge)
        return None if placed is None else placed[0]

    def _late(self, pose: Pose) -> bool:
        return self.unlinking._elsewhere(pose.stamp_ns, self.log_ns)  # noqa: SLF001 - one run
