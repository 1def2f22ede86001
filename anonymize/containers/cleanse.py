"""First pass over a container: zones cut in every channel, images and points treated as files, strings redacted.

The result keeps true coordinates and times: it is sealed, never released as it is.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from anonymize.containers.can_frames import CanFrames
from anonymize.containers.clear_disc import ClearFixes
from anonymize.containers.clear_times import ClearTimes, Verdict
from anonymize.containers.codec import Codec, Fields, changed, codec_of
from anonymize.containers.container_pass import ContainerPass, Numbered, PassOutcome, Tally
from anonymize.containers.frames import BODIES, Frames, frames_of, is_static, own_time_ns
from anonymize.containers.glance import Glances, PosesClear, times_of
from anonymize.containers.messages.fixes import fixes_of
from anonymize.containers.messages.images import Images, treat_image
from anonymize.containers.messages.points import row_numbers, treat_points
from anonymize.containers.messages.poses import Pose, change_poses, places_of
from anonymize.containers.messages.text import Redaction
from anonymize.containers.messages.transforms import only_edges
from anonymize.containers.rules import treatments_of
from anonymize.containers.stream import Channel, Container, Message
from anonymize.containers.tree import frame_of, stamps
from anonymize.errors import LimitExceededError
from anonymize.finding import FindingKind, TreatmentKind
from anonymize.formats.track import Track
from anonymize.geo.cut import cut_points
from anonymize.geo.headings import Heading, heading_at
from anonymize.geo.zones import ZoneSet
from anonymize.profile import ChannelTreatment, Profile

_NS = 1e-9
_NOTHING = Frames(absolute=frozenset(), aligned={}, links={}, static=())
_SOURCES = {
    "position": FindingKind.POSITION,
    "pose": FindingKind.POSITION,
    "transform": FindingKind.POSITION,
    "motion": FindingKind.POSITION,
}


def cleanse_container(
    container: Container,
    *,
    zones: ZoneSet | None,
    reference: Track | None,
    profile: Profile,
    images: Images,
    text: Callable[[str], str],
    dbc: bytes | None = None,
    attested: bool = False,
) -> ContainerPass:
    """Prepare the first pass; it runs while its chunks are taken.

    1. Every channel takes the treatment of the first rule of the profile that names it; a channel for
    quarantine stops the container.
    2. Messages of times at which the vehicle may be in a zone go, in all channels; images also where a camera
    may see one. A message has the times of the log and of all its stamps of the same clock. Nothing is known
    before the first and after the last fix: messages go there too, unless ``attested``.
    3. Images take ``images``; points are cut by range, zones and attributes, and sweeps are thinned.
    4. Poses that lie in zones themselves (goals, plans) go.
    5. Frames of CAN take the rules of CAN logs (``anonymize.can.rules``); without a DBC they go.
    6. All strings take ``text``. Messages in which nothing changes stay as they are, byte by byte.

    Static edges of sensors (``tf_static``) are kept whenever they were sent: they hold for the whole recording
    and place nothing on the ground.

    Args:
        container: The container.
        zones: The restricted zones; None where the operator has none.
        reference: The true track of the vehicle.
        profile: Limits and treatments.
        images: The treatment of image files, bound to its detectors.
        text: The treatment of strings.
        dbc: The DBC that describes frames of CAN; None where the operator has none.
        attested: Whether somebody attested that the recording is clear where its position is unknown.

    Raises:
        UnknownFormatError: A channel is for quarantine, or cannot be decoded.
        LimitExceededError: There are more channels or messages than the profile permits.
        MalformedItemError: There are zones, no track with times, and no attestation; or a definition is
            malformed.
        ProfileError: The DBC cannot be read.
    """
    treatments = treatments_of(container.summary, profile.containers)
    clear = ClearTimes(zones=zones, reference=reference, profile=profile.images, attested=attested)
    frames = _NOTHING
    if zones is not None and not zones.empty:
        frames = frames_of(
            container,
            treatments,
            map_frames=frozenset(profile.containers.map_frames),
            reference=reference,
        )
    poses, redaction = PosesClear.of(zones, frames), Redaction(text)
    run = _Cleansing(
        container=container,
        treatments=treatments,
        clear=clear,
        poses=poses,
        glances=Glances(
            clear=clear,
            poses=poses,
            map_frames=frozenset(profile.containers.map_frames),
            redaction=redaction,
            fixes=None if zones is None else ClearFixes(zones),
        ),
        frames=frames,
        zones=zones,
        reference=reference,
        profile=profile,
        images=images,
        redaction=redaction,
        can=None if dbc is None else CanFrames(dbc, profile.can),
    )
    return ContainerPass(
        run.messages,
        run.outcome,
        profile=container.summary.profile,
        chunk_bytes=profile.containers.chunk_bytes,
    )


@dataclass(slots=True, kw_only=True)
class _Open:
    """What is kept of a channel while it is read."""

    treatment: ChannelTreatment
    codec: Codec
    released: Channel
    sweeps: int = 0


@dataclass(slots=True, kw_only=True, eq=False)
class _Cleansing:
    container: Container
    treatments: Mapping[int, ChannelTreatment]
    clear: ClearTimes
    poses: PosesClear
    glances: Glances
    frames: Frames
    zones: ZoneSet | None
    reference: Track | None
    profile: Profile
    images: Images
    redaction: Redaction
    can: CanFrames | None
    tally: Tally = field(default_factory=Tally)
    _open: dict[int, _Open] = field(default_factory=dict)
    _topics: dict[int, str] = field(default_factory=dict)

    def messages(self) -> Iterator[Message]:
        numbered = Numbered()
        for message in self.container.messages():
            topic = self._topic(message.channel)
            self.tally.came[topic] += 1
            made = numbered.treat(message, self._message)
            if made is not None:
                self.tally.went[topic] += 1
                yield made

    def outcome(self) -> PassOutcome:
        for name in self.container.summary.dropped:
            self.tally.found(FindingKind.METADATA, name)
            self.tally.done(TreatmentKind.DROP, FindingKind.METADATA)
        return self.tally.outcome(**({} if self.can is None else self.can.tell(self.tally)))

    def _topic(self, channel: Channel) -> str:
        if channel.id not in self._topics:
            self._topics[channel.id] = self.redaction.string(channel.topic)
        return self._topics[channel.id]

    def _channel(self, channel: Channel, treatment: ChannelTreatment) -> _Open:
        if channel.id not in self._open:
            codec, topic = codec_of(channel), self._topic(channel)
            if topic != channel.topic:
                self.tally.found(FindingKind.TEXT, topic, label="topic")
                self.tally.done(TreatmentKind.REDACT, FindingKind.TEXT)
            if treatment in _SOURCES:
                self.tally.found(_SOURCES[treatment], topic, label=treatment)
            released = replace(channel, topic=topic, schema=codec.definition)
            self._open[channel.id] = _Open(treatment=treatment, codec=codec, released=released)
        return self._open[channel.id]

    def _message(self, message: Message) -> Message | None:
        treatment, topic = self.treatments[message.channel.id], self._topic(message.channel)
        if len(message.data) > self.profile.containers.max_message_bytes:
            raise LimitExceededError(
                f"the message is too large (got {len(message.data)} bytes, "
                f"expected at most {self.profile.containers.max_message_bytes})"
            )
        if treatment in {"drop", "quarantine"} or (treatment == "can" and self.can is None):
            self.tally.left_out(topic, "no DBC" if treatment == "can" else "channel")
            self.tally.found(FindingKind.EMBEDDED_STREAM, topic, label=treatment)
            self.tally.done(TreatmentKind.DROP_STREAM, FindingKind.EMBEDDED_STREAM)
            return None
        channel = self._channel(message.channel, treatment)
        seen = self.glances.verdict(message, treatment, channel.codec)
        if seen is not None:
            if seen[0] is Verdict.CLEAR:
                return _released(message, channel.released, message.data)
            self._in_zone(topic, seen[0].value, seen[1])
            return None
        original = channel.codec.decode(message.data)
        judged = None
        if treatment == "can" and self.can is not None:
            # Before zones: a read-out that begins in one goes on outside.
            judged = self.can.judge(message, original)
        fields = self._cut(message, original, channel, topic)
        if fields is not None and judged is not None and self.can is not None:
            fields = self.can.take(judged)
            if fields is None:
                self.tally.left_out(topic, f"can {judged.fate.value}")
        if fields is None:
            return None
        fields, redacted = self.redaction.message(fields)
        if redacted:
            self.tally.found(FindingKind.TEXT, topic)
            self.tally.done(TreatmentKind.REDACT, FindingKind.TEXT, redacted)
        data = message.data if fields is original else changed(channel.codec, message.data, original, fields)
        return _released(message, channel.released, data)

    def _cut(self, message: Message, fields: Fields, channel: _Open, topic: str) -> Fields | None:
        """What is left of a message after zones and the treatment of its family; None: it goes."""
        if channel.treatment == "transform" and is_static(message.channel.topic):
            inside = frozenset(self.profile.containers.map_frames)
            return only_edges(fields, lambda edge: edge.frame not in inside and edge.child not in inside)
        times = times_of(message, [s.ns for s in stamps(fields)])
        verdict, kinds = self.clear.verdict(times, view=channel.treatment == "image")
        if verdict is not Verdict.CLEAR:
            self._in_zone(topic, verdict.value, kinds)
            return None
        if channel.treatment == "points":
            return self._points(message, fields, channel, topic)
        own = {"image": self._image, "position": self._fixes, "pose": self._poses}.get(channel.treatment)
        return fields if own is None else own(fields, topic)

    def _in_zone(self, topic: str, reason: str, kinds: tuple[str, ...]) -> None:
        self.tally.left_out(topic, reason)
        for kind in kinds:
            self.tally.tags.add(kind)
            self.tally.found(
                FindingKind.RESTRICTED_ZONE,
                topic,
                label=kind,
                detector=self.zones.detector if self.zones else "zones",
            )
        self.tally.done(TreatmentKind.CUT, FindingKind.RESTRICTED_ZONE)

    def _image(self, fields: Fields, topic: str) -> Fields | None:
        made = treat_image(fields, self.images)
        self.tally.treated(topic, made.treated)
        self.tally.facts["images"] += 1
        if made.fields is None:
            self.tally.left_out(topic, "image dropped")
        return made.fields

    def _points(self, message: Message, fields: Fields, channel: _Open, topic: str) -> Fields | None:
        number, channel.sweeps = channel.sweeps, channel.sweeps + 1
        frame = frame_of(fields)
        self.tally.facts["sweep_channels"] += number == 0
        self.tally.facts["sweeps_in"] += 1
        if number % self.profile.points.keep_every:
            self.tally.left_out(topic, "thinned")
            return None
        self.tally.facts["sweeps_kept"] += 1
        if frame in self.profile.containers.map_frames or not frame:
            # Its points lie where they are on the map: nothing here tells which of them are in a zone.
            self.tally.left_out(topic, "cloud in a frame of the map")
            return None
        stamp = next((s.ns for s in stamps(fields)), 0)
        time_s = own_time_ns(stamp, message.log_time_ns) * _NS
        made = treat_points(
            fields, lambda points: self._kept(points, frame, time_s, topic), profile=self.profile.points
        )
        self.tally.facts["points_in"] += made.points_in
        self.tally.facts["points_out"] += made.points_out
        if made.fields_dropped:
            self.tally.found(FindingKind.UNLISTED_FIELD, topic, label="point field")
            self.tally.done(TreatmentKind.DROP, FindingKind.UNLISTED_FIELD, made.fields_dropped)
        if made.fields is None:
            self.tally.left_out(topic, "no points left")
        return made.fields

    def _kept(self, points: NDArray[np.float32], frame: str, time_s: float, topic: str) -> NDArray[np.intp]:
        within = np.hypot(points[:, 0], points[:, 1]) <= self.profile.points.max_range_m
        if not within.all():
            self.tally.found(FindingKind.POSITION, topic, label="range")
            self.tally.done(TreatmentKind.DROP, FindingKind.POSITION, int((~within).sum()))
        points = points[within]
        if self.zones is None or self.zones.empty or self.reference is None or not len(points):
            return row_numbers(points)
        at = self.reference.position_at(time_s)
        if at is None:
            return row_numbers(points[:0])
        heading = self._heading(frame, time_s, self.reference)
        cut = cut_points(
            points, zones=self.zones, lat=at[0], lon=at[1], heading=heading, profile=self.profile.points
        )
        for finding in cut.findings:
            if finding.kind is FindingKind.RESTRICTED_ZONE:
                self.tally.tags.add(finding.label)
                self.tally.found(finding.kind, topic, label=finding.label, detector=finding.detector)
        for treatment in cut.treatments:
            self.tally.done(treatment.kind, treatment.of, treatment.count)
        return row_numbers(cut.points)

    def _heading(self, frame: str, time_s: float, reference: Track) -> Heading | None:
        """That of a sensor's x axis; None where fixes tell none, or frames not how the sensor is mounted."""
        trust, yaw = self.profile.images.sectors, self.frames.yaw_to(frame, BODIES)
        if trust is None or yaw is None:
            return None
        found = heading_at((reference,), time_s, least_speed_mps=trust.least_speed_mps)
        error = trust.least_heading_error_deg
        return None if found is None else found.turned(-float(np.degrees(yaw)), error_deg=error)

    def _fixes(self, fields: Fields, topic: str) -> Fields | None:
        """A fix in a zone goes, even where the reference track says that the vehicle was elsewhere."""
        if self.zones is None:
            return fields
        fixes = list(fixes_of(fields))
        if not fixes:
            self.tally.left_out(topic, "no fix")
            return None
        if self.glances.fixes is not None and all(self.glances.fixes.clear(f.lat, f.lon) for f in fixes):
            return fields
        hits = self.zones.test([f.lat for f in fixes], [f.lon for f in fixes])
        if hits.inside.any():
            self._in_zone(topic, Verdict.ZONE.value, tuple(kind.value for kind in hits.kinds()))
            return None
        return fields

    def _poses(self, fields: Fields, topic: str) -> Fields | None:
        if self.zones is None or self.poses.places is None:
            return fields
        if all(self.poses.clear(*place) for place in places_of(fields)):
            return fields
        clear = _PosesInZones(self.zones, self.frames)
        made = change_poses(fields, clear)
        for kind in sorted(clear.kinds):
            self._in_zone(topic, Verdict.ZONE.value, (kind,))
        return fields if made is not None and not clear.kinds else made


@dataclass(slots=True)
class _PosesInZones:
    """Takes out poses that lie in zones where their frame lies on the ground."""

    zones: ZoneSet
    frames: Frames
    kinds: set[str] = field(default_factory=set)

    def pose(self, pose: Pose) -> tuple[Pose, float] | None:
        alignment = self.frames.aligned.get(pose.frame)
        if alignment is None or not np.isfinite(pose.xyz).all():
            return pose, 0.0
        lat, lon = alignment.to_wgs84(pose.xyz[:1], pose.xyz[1:2])
        hits = self.zones.test(lat, lon, extra_margin_m=alignment.residual_m)
        self.kinds.update(kind.value for kind in hits.kinds())
        return None if hits.inside.any() else (pose, 0.0)


def _released(message: Message, channel: Channel, data: bytes) -> Message:
    return Message(
        channel=channel,
        log_time_ns=message.log_time_ns,
        publish_time_ns=message.publish_time_ns,
        sequence=message.sequence,
        data=data,
    )
