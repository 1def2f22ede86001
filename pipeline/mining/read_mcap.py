"""Released MCAP recordings: motion of the vehicle and frames of its buses, as messages stream in."""

import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from mcap.exceptions import McapError
from mcap.records import Channel, Message, Schema
from mcap.stream_reader import StreamReader
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

from pipeline.mining.errors import UnreadableItemError
from pipeline.mining.motion import completed
from pipeline.mining.read_can import CanFrame, can_samples
from pipeline.mining.sampling import Samples, sampled
from pipeline.mining.signal_file import CanSignals
from pipeline.mining.signals import Clip, SignalTable, join_tables

CLIP_TOPIC: Final = "/clip"
"""A message of it begins each clip of a LOCAL release (docs/container-messages.md)."""

_Values = Mapping[str, float]


def _twist(twist: Any) -> _Values:
    return {"speed_mps": math.hypot(twist.linear.x, twist.linear.y), "yaw_rate_rps": twist.angular.z}


def _imu(message: Any) -> _Values:
    return {
        "accel_mps2": message.linear_acceleration.x,
        "lateral_accel_mps2": message.linear_acceleration.y,
        "yaw_rate_rps": message.angular_velocity.z,
    }


def _odometry(message: Any) -> _Values:
    place = message.pose.pose.position
    return {"x_m": place.x, "y_m": place.y, **_twist(message.twist.twist)}


def _pose(message: Any) -> _Values:
    return {"x_m": message.pose.position.x, "y_m": message.pose.position.y}


def _acceleration(accel: Any) -> _Values:
    return {"accel_mps2": accel.linear.x, "lateral_accel_mps2": accel.linear.y}


def _ackermann(drive: Any) -> _Values:
    return {"speed_mps": drive.speed, "accel_mps2": drive.acceleration}


_MOTION: Final[Mapping[str, Callable[[Any], _Values]]] = {
    "sensor_msgs/Imu": _imu,
    "nav_msgs/Odometry": _odometry,
    "geometry_msgs/PoseStamped": _pose,
    "geometry_msgs/Twist": _twist,
    "geometry_msgs/TwistStamped": lambda message: _twist(message.twist),
    "geometry_msgs/TwistWithCovarianceStamped": lambda message: _twist(message.twist.twist),
    "geometry_msgs/AccelStamped": lambda message: _acceleration(message.accel),
    "geometry_msgs/AccelWithCovarianceStamped": lambda message: _acceleration(message.accel.accel),
    "ackermann_msgs/AckermannDriveStamped": lambda message: _ackermann(message.drive),
}
"""What is taken of messages in the vehicle's axes (REP 103: x forward, y left); schemas without the ``msg``."""

_CAN: Final = "can_msgs/Frame"
_ENCODINGS: Final = frozenset({"cdr", "ros1"})


@dataclass(slots=True)
class _Collected:
    """Samples of one clip by signal and topic, and its frames of CAN."""

    samples: dict[str, dict[str, Samples]] = field(default_factory=dict)
    frames: list[CanFrame] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class McapRead:
    """What a recording holds.

    Attributes:
        table: Its signals.
        sources: The topic that each signal was taken from: the one with the most messages.
        passed_over: Topics whose messages are none of those that are read, with their schema.
    """

    table: SignalTable
    sources: Mapping[str, str]
    passed_over: Mapping[str, str]


def read_mcap(stream: BinaryIO, signals: CanSignals | None, *, release: str, item: str) -> McapRead:
    """Read a recording as it streams in; times count from the begin of each clip, or of the recording.

    Args:
        stream: The recording; read to its end.
        signals: What to take of frames of CAN, None to pass them over.
        release: Id of the release.
        item: Name of the item.

    Raises:
        UnreadableItemError: It is no MCAP, or a message does not decode by its definition.
    """
    reading = _Reading(signals, item)
    try:
        for record in StreamReader(stream).records:
            reading.take(record)
        while stream.read(io.DEFAULT_BUFFER_SIZE):
            pass  # to the proved end
    except (McapError, SerdeError, TypesysError, ValueError, KeyError, AttributeError) as error:
        raise UnreadableItemError(f"{item!r}: {type(error).__name__}: {error}") from error
    return reading.result(release)


class _Reading:
    """Collects the samples of each clip."""

    def __init__(self, signals: CanSignals | None, item: str) -> None:
        self._signals, self._item = signals, item
        self._schemas: dict[int, Schema] = {}
        self._channels: dict[int, Channel] = {}
        self._decoders: dict[int, Callable[[bytes], Any] | None] = {}
        self._clips: dict[int, _Collected] = {}
        self._begins_ns: dict[int, int] = {}
        self._number = 0
        self._passed_over: dict[str, str] = {}

    def take(self, record: object) -> None:
        if isinstance(record, Schema):
            self._schemas[record.id] = record
        elif isinstance(record, Channel):
            self._channels[record.id] = record
        elif isinstance(record, Message):
            self._message(record)

    def _message(self, message: Message) -> None:
        channel = self._channels[message.channel_id]
        if channel.topic == CLIP_TOPIC:
            self._number = int(json.loads(message.data)["clip"])
            self._begins_ns[self._number] = message.log_time
            return
        name = self._schema_name(channel)
        decode = self._decoder(channel, name)
        if decode is None:
            self._passed_over[channel.topic] = name
            return
        decoded = decode(message.data)
        begin = self._begins_ns.setdefault(self._number, message.log_time)
        at_s = (message.log_time - begin) / 1e9
        of = self._clips.setdefault(self._number, _Collected())
        if name == _CAN:
            data = bytes(decoded.data[: decoded.dlc])
            of.frames.append((at_s, int(decoded.id), bool(decoded.is_extended), data))
            return
        for signal, value in _MOTION[name](decoded).items():
            of.samples.setdefault(signal, {}).setdefault(channel.topic, Samples()).add(at_s, float(value))

    def _schema_name(self, channel: Channel) -> str:
        schema = self._schemas.get(channel.schema_id)
        return schema.name.replace("/msg/", "/") if schema else ""

    def _decoder(self, channel: Channel, name: str) -> Callable[[bytes], Any] | None:
        if channel.id not in self._decoders:
            read = name in _MOTION or (name == _CAN and self._signals is not None)
            known = read and channel.message_encoding in _ENCODINGS
            self._decoders[channel.id] = self._made(channel, name) if known else None
        return self._decoders[channel.id]

    def _made(self, channel: Channel, name: str) -> Callable[[bytes], Any]:
        package, _, short = name.rpartition("/")
        full = f"{package}/msg/{short}"
        ros1 = channel.message_encoding == "ros1"
        store = get_typestore(Stores.EMPTY)
        store.register(get_types_from_msg(self._schemas[channel.schema_id].data.decode("utf-8"), full))
        deserialize = store.deserialize_ros1 if ros1 else store.deserialize_cdr
        return lambda data: deserialize(data, full)

    def result(self, release: str) -> McapRead:
        tables, sources = [], self._sources()
        for number, of in sorted(self._clips.items()):
            samples = {name: by[sources[name]] for name, by in of.samples.items() if sources[name] in by}
            if self._signals is not None:
                samples |= can_samples(of.frames, self._signals, item=self._item)
            table = sampled(Clip(release=release, item=self._item, number=number), samples)
            made = completed(table.columns)
            tables.append(
                SignalTable(clips=table.clips, clip=table.clip, columns=made, untimed=table.untimed)
            )
        return McapRead(table=join_tables(tables), sources=sources, passed_over=self._passed_over)

    def _sources(self) -> dict[str, str]:
        counts: dict[str, dict[str, int]] = {}
        for of in self._clips.values():
            for signal, by in of.samples.items():
                for topic, samples in by.items():
                    counts.setdefault(signal, {}).setdefault(topic, 0)
                    counts[signal][topic] += len(samples.t_s)
        return {signal: max(sorted(by), key=lambda topic: by[topic]) for signal, by in sorted(counts.items())}
