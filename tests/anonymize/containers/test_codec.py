import base64
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, timestamp_pb2
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_typestore

from anonymize.containers.codec import Codec, Stamp, changed, codec_of
from anonymize.containers.open import open_container
from anonymize.containers.stream import Channel, ContainerKind, Schema
from anonymize.errors import MalformedItemError, UnknownFormatError
from anonymize.profile import shipped_profile
from recorded_drive import Recorder, drive

HUMBLE = get_typestore(Stores.ROS2_HUMBLE)


def codec(name: str, *, encoding: str, messages: str, data: bytes) -> Codec:
    schema = Schema(name=name, encoding=encoding, data=data)
    return codec_of(Channel(id=1, topic="/t", message_encoding=messages, schema=schema))


def ros2(name: str, text: str | None = None) -> Codec:
    text = HUMBLE.generate_msgdef(name, ros_version=2)[0] if text is None else text
    return codec(name, encoding="ros2msg", messages="cdr", data=text.encode())


RECORDER = Recorder()
ARRAYS = ros2("std_msgs/msg/Float64MultiArray")


@pytest.mark.parametrize("ros1", [False, True])
def test_all_messages_of_a_drive_come_back_byte_by_byte(ros1: bool) -> None:  # noqa: FBT001
    made = drive(seconds=5, ros1=ros1)
    codecs: dict[int, Codec] = {}
    for message in made.container.messages():
        own = codecs.setdefault(message.channel.id, codec_of(message.channel))
        fields = own.decode(message.data)
        assert changed(own, message.data, fields, fields) == message.data


@given(
    seconds=st.integers(0, 2**31 - 1),
    nanoseconds=st.integers(0, 999_999_999),
    frame=st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20),
    values=st.lists(st.floats(allow_nan=False), max_size=5),
)
@settings(max_examples=50, deadline=None)
def test_a_changed_field_changes_nothing_else(
    seconds: int, nanoseconds: int, frame: str, values: list[float]
) -> None:
    recorder = Recorder()
    odometry = recorder.type("std_msgs/msg/Float64MultiArray")
    layout = recorder.type("std_msgs/msg/MultiArrayLayout")
    dimension = recorder.type("std_msgs/msg/MultiArrayDimension")(
        label=frame, size=seconds, stride=nanoseconds
    )
    data = recorder.encode(
        "std_msgs/msg/Float64MultiArray",
        odometry(layout=layout(dim=[dimension], data_offset=3), data=np.array(values)),
    )
    own = ros2("std_msgs/msg/Float64MultiArray")
    fields = own.decode(data)
    again = changed(own, data, fields, {**fields, "layout": {**fields["layout"], "data_offset": 9}})
    decoded: Any = recorder.store.deserialize_cdr(again, "std_msgs/msg/Float64MultiArray")
    assert decoded.layout.data_offset == 9
    assert decoded.layout.dim[0] == dimension
    assert decoded.data.tolist() == values


def test_times_are_stamps_and_durations_are_not() -> None:
    definition = "builtin_interfaces/Time t\nbuiltin_interfaces/Duration d\n"
    parts = "".join(
        f"{'=' * 80}\nMSG: builtin_interfaces/{n}\nint32 sec\nuint32 nanosec\n" for n in ("Time", "Duration")
    )
    own = ros2("acme_msgs/msg/Both", definition + parts)
    data = b"\0\1\0\0" + struct.pack("<iIiI", 7, 8, 9, 10)
    assert own.decode(data) == {"t": Stamp(7_000_000_008), "d": {"sec": 9, "nanosec": 10}}


def test_garbage_between_the_values_of_cdr_is_no_difference_but_lost_values_are() -> None:
    own = ros2("acme_msgs/msg/Gap", "uint8 a\nfloat64 b\n")
    data = b"\0\1\0\0" + b"\5" + b"GARBAGE" + struct.pack("<d", 2.5)
    fields = own.decode(data)
    assert changed(own, data, fields, {**fields, "a": 6}) == b"\0\1\0\0\6" + bytes(7) + struct.pack("<d", 2.5)
    flag = ros2("acme_msgs/msg/Flag", "bool a\n")
    with pytest.raises(MalformedItemError, match="does not survive"):
        changed(flag, b"\0\1\0\0\2", flag.decode(b"\0\1\0\0\2"), {"a": False})


def test_big_endian_messages_stay_big_endian() -> None:
    own = ros2("acme_msgs/msg/Big", "uint32 a\nfloat64[] b\n")
    data = b"\0\0\0\0" + struct.pack(">II", 1, 2) + struct.pack(">dd", 1.5, 2.5)
    fields = own.decode(data)
    assert changed(own, data, fields, fields) == data
    assert changed(own, data, fields, {**fields, "a": 3})[4:8] == struct.pack(">I", 3)


@pytest.mark.parametrize("cut", [0, 3, 4, 11, 30])
def test_truncated_messages_are_refused(cut: int) -> None:
    made = drive(seconds=1)
    message = next(m for m in made.container.messages() if m.channel.topic == "/localization")
    with pytest.raises(MalformedItemError, match="does not follow"):
        codec_of(message.channel).decode(message.data[:cut])


def test_a_definition_that_was_never_published_under_its_name_is_refused() -> None:
    text = HUMBLE.generate_msgdef("sensor_msgs/msg/NavSatFix", ros_version=2)[0]
    with pytest.raises(MalformedItemError, match="none that was published"):
        ros2(
            "sensor_msgs/msg/NavSatFix",
            text.replace("float64 altitude", "float64 altitude\nfloat64 true_latitude"),
        )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("float64\n---\n", "malformed"),
        ("acme_msgs/Missing x\n", "malformed or incomplete"),
        ("Loop x\n" + "=" * 80 + "\nMSG: acme_msgs/Loop\nLoop x\n", "malformed or incomplete"),
        ("string[1000000000] x\n", "malformed or incomplete"),
    ],
)
def test_malformed_definitions_are_refused(text: str, message: str) -> None:
    with pytest.raises(MalformedItemError, match=message):
        ros2("acme_msgs/msg/Bad", text)


def test_without_a_definition_the_published_one_is_taken_where_all_agree() -> None:
    own = codec("sensor_msgs/msg/NavSatFix", encoding="", messages="cdr", data=b"")
    assert "latitude" in own.field_names
    assert b"float64 latitude" in own.definition.data
    with pytest.raises(MalformedItemError, match="no definition"):
        codec("acme_msgs/msg/Custom", encoding="", messages="cdr", data=b"")


def test_released_definitions_decode_alike_and_hold_no_comments() -> None:
    text = HUMBLE.generate_msgdef("nav_msgs/msg/Odometry", ros_version=2)[0]
    own = ros2("nav_msgs/msg/Odometry", "# recorded by Zhang San\n" + text)
    assert b"Zhang" not in own.definition.data
    again = codec_of(Channel(id=1, topic="/t", message_encoding="cdr", schema=own.definition))
    assert again.field_names == own.field_names


def test_encodings_that_nobody_reads_here_are_unknown() -> None:
    with pytest.raises(UnknownFormatError, match="ros2idl"):
        codec("a/msg/B", encoding="ros2idl", messages="cdr", data=b"")
    with pytest.raises(UnknownFormatError):
        codec_of(Channel(id=1, topic="/t", message_encoding="cdr", schema=None))


def foxglove_fix(*, extra: bool = False) -> bytes:
    """A FileDescriptorSet of foxglove.LocationFix, as Foxglove publishes it, with a comment."""
    files = descriptor_pb2.FileDescriptorSet()
    timestamp_pb2.DESCRIPTOR.CopyToProto(files.file.add())  # type: ignore[attr-defined]
    file = files.file.add(name="/home/zhang/foxglove/LocationFix.proto", package="foxglove", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    file.source_code_info.location.add(leading_comments="by Zhang San")
    message = file.message_type.add(name="LocationFix")
    optional, repeated = 1, 3
    for name, number, kind, label in (
        ("latitude", 1, 1, optional),
        ("longitude", 2, 1, optional),
        ("altitude", 3, 1, optional),
        ("position_covariance", 4, 1, repeated),
        ("timestamp", 6, 11, optional),
        ("frame_id", 7, 9, optional),
        *((("vin", 20, 9, optional),) if extra else ()),
    ):
        field = message.field.add(name=name, number=number, type=kind, label=label)  # type: ignore[arg-type]
        if name == "timestamp":
            field.type_name = ".google.protobuf.Timestamp"
    return files.SerializeToString()


def protobuf_fix(**more: Any) -> bytes:
    from google.protobuf import descriptor_pool, message_factory  # noqa: PLC0415

    files = descriptor_pb2.FileDescriptorSet.FromString(foxglove_fix(extra=bool(more)))
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    made: Any = message_factory.GetMessageClass(pool.FindMessageTypeByName("foxglove.LocationFix"))
    message = made(latitude=39.9, longitude=116.3, frame_id="gnss", position_covariance=[1.0, 0.0], **more)
    message.timestamp.seconds, message.timestamp.nanos = 1_700_000_000, 5
    content: bytes = message.SerializeToString()
    return content


def test_protobuf_messages_are_read_changed_and_written() -> None:
    own = codec("foxglove.LocationFix", encoding="protobuf", messages="protobuf", data=foxglove_fix())
    data = protobuf_fix()
    fields = own.decode(data)
    assert fields["timestamp"] == Stamp(1_700_000_000_000_000_005)
    assert (fields["latitude"], fields["altitude"], fields["frame_id"]) == (39.9, 0.0, "gnss")
    assert changed(own, data, fields, fields) == data
    moved = own.decode(changed(own, data, fields, {**fields, "longitude": 0.0, "timestamp": Stamp(9)}))
    assert moved == {**fields, "longitude": 0.0, "timestamp": Stamp(9)}
    assert b"Zhang" not in own.definition.data
    assert b"zhang" not in own.definition.data
    assert (
        codec_of(Channel(id=1, topic="/t", message_encoding="protobuf", schema=own.definition)).decode(data)
        == fields
    )


def test_protobuf_fields_that_the_schema_does_not_name_are_refused() -> None:
    own = codec("foxglove.LocationFix", encoding="protobuf", messages="protobuf", data=foxglove_fix())
    with pytest.raises(MalformedItemError, match="does not name"):
        own.decode(protobuf_fix(vin="LSV"))
    with pytest.raises(MalformedItemError, match="does not know"):
        codec("foxglove.LocationFix", encoding="protobuf", messages="protobuf", data=foxglove_fix(extra=True))
    for bad in (b"\xff", foxglove_fix()[:40], b""):
        with pytest.raises(MalformedItemError, match="FileDescriptorSet"):
            codec("foxglove.LocationFix", encoding="protobuf", messages="protobuf", data=bad)
    with pytest.raises(MalformedItemError):
        own.decode(b"\xff\xff")


JSON_IMAGE = {
    "title": "foxglove.CompressedImage",
    "description": "by Zhang San",
    "type": "object",
    "properties": {
        "timestamp": {
            "type": "object",
            "title": "time",
            "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}},
        },
        "frame_id": {"type": "string"},
        "data": {"type": "string", "contentEncoding": "base64"},
        "format": {"type": "string"},
    },
}


def json_codec() -> Codec:
    data = json.dumps(JSON_IMAGE).encode()
    return codec("foxglove.CompressedImage", encoding="jsonschema", messages="json", data=data)


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_json_messages_keep_their_spacing(separators: tuple[str, str]) -> None:
    own = codec(
        "foxglove.CompressedImage",
        encoding="jsonschema",
        messages="json",
        data=json.dumps(JSON_IMAGE).encode(),
    )
    message = {
        "timestamp": {"sec": 1, "nsec": 2},
        "frame_id": "camera",
        "data": base64.b64encode(b"\xff\xd8").decode(),
        "format": "jpeg",
    }
    data = json.dumps(message, separators=separators).encode()
    fields = own.decode(data)
    assert fields == {
        "timestamp": Stamp(1_000_000_002),
        "frame_id": "camera",
        "data": b"\xff\xd8",
        "format": "jpeg",
    }
    assert changed(own, data, fields, fields) == data
    again = changed(own, data, fields, {**fields, "data": b"\x00"})
    assert again == json.dumps({**message, "data": "AA=="}, separators=separators).encode()
    assert b"Zhang" not in own.definition.data


@pytest.mark.parametrize(
    "message",
    [
        {"frame_id": "x", "vin": "LSV"},
        {"frame_id": 3},
        {"data": "not base64!"},
        {"timestamp": {"sec": 1, "nsec": 2, "more": 3}},
    ],
)
def test_json_members_beside_the_schema_are_refused(message: dict[str, Any]) -> None:
    own = codec(
        "foxglove.CompressedImage",
        encoding="jsonschema",
        messages="json",
        data=json.dumps(JSON_IMAGE).encode(),
    )
    with pytest.raises(MalformedItemError):
        own.decode(json.dumps(message).encode())


@pytest.mark.parametrize(
    ("path", "kind", "whole"),
    [
        ("ros1/sample.bag", ContainerKind.ROS1_BAG, True),
        ("ros2/wbag_0.mcap", ContainerKind.MCAP, True),
        # These define standard types as what they never were, or not at all, and services with them.
        ("ros2/talker.db3", ContainerKind.ROS2_DB3, False),
        ("ros2/rewriter_a_0.mcap", ContainerKind.MCAP, False),
        ("ros2/topics_and_services.mcap", ContainerKind.MCAP, False),
    ],
)
def test_real_recordings_come_back_byte_by_byte_or_are_refused(
    shared_data: Path,
    path: str,
    kind: ContainerKind,
    whole: bool,  # noqa: FBT001
) -> None:
    refused: set[str] = set()
    with (shared_data / "formats" / path).open("rb") as file:
        container = open_container(file, kind, profile=shipped_profile("cn-2026").profile.containers)
        codecs: dict[int, Codec] = {}
        for message in container.messages():
            own = codecs.get(message.channel.id)
            if own is None:
                try:
                    own = codecs[message.channel.id] = codec_of(message.channel)
                except (UnknownFormatError, MalformedItemError):
                    refused.add(message.channel.topic)
                    continue
            fields = own.decode(message.data)
            again = changed(own, message.data, fields, fields)
            assert own.decode(again) is not None
            assert len(message.data) - len(again) <= 3
    assert whole != bool(refused)
