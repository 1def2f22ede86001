"""A drive recorded with Foxglove's messages, in protobuf or JSON, encoded apart from the codecs under test."""

import base64
import json
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory, timestamp_pb2

from anonymize.containers.mcap_writer import write_mcap
from anonymize.containers.stream import Channel, Message, Schema
from anonymize.geo.crs import from_wgs84
from recorded_drive import UTM, Drive, jpeg

TYPES: dict[str, dict[str, str]] = {
    "Vector3": {"x": "double", "y": "double", "z": "double"},
    "Quaternion": {"x": "double", "y": "double", "z": "double", "w": "double"},
    "Pose": {"position": "Vector3", "orientation": "Quaternion"},
    "PackedElementField": {"name": "string", "offset": "fixed32", "type": "int32"},
    "LocationFix": {
        "timestamp": "Time", "frame_id": "string", "latitude": "double", "longitude": "double",
        "altitude": "double", "position_covariance": "double[]", "position_covariance_type": "int32",
    },
    "CompressedImage": {"timestamp": "Time", "frame_id": "string", "data": "bytes", "format": "string"},
    "PointCloud": {
        "timestamp": "Time", "frame_id": "string", "pose": "Pose", "point_stride": "fixed32",
        "fields": "PackedElementField[]", "data": "bytes",
    },
    "FrameTransform": {
        "timestamp": "Time", "parent_frame_id": "string", "child_frame_id": "string",
        "translation": "Vector3", "rotation": "Quaternion",
    },
    "PosesInFrame": {"timestamp": "Time", "frame_id": "string", "poses": "Pose[]"},
}  # fmt: skip
_SCALARS = {"double": 1, "int32": 5, "fixed32": 7, "string": 9, "bytes": 12}
_JSON = {"double": "number", "int32": "integer", "fixed32": "integer", "string": "string"}
_FLOAT32 = 7


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="foxglove.proto", package="foxglove", syntax="proto3")
    file.dependency.append("google/protobuf/timestamp.proto")
    for name, fields in TYPES.items():
        made = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            one = kind.removesuffix("[]")
            added = made.field.add(name=field, number=number, label=3 if kind != one else 1)
            if one in _SCALARS:
                added.type = _SCALARS[one]
            else:
                added.type = 11
                added.type_name = ".google.protobuf.Timestamp" if one == "Time" else f".foxglove.{one}"
    return file


def _json_schema(kind: str) -> dict[str, Any]:
    one = kind.removesuffix("[]")
    if kind != one:
        return {"type": "array", "items": _json_schema(one)}
    if kind == "bytes":
        return {"type": "string", "contentEncoding": "base64"}
    if kind in _JSON:
        return {"type": _JSON[kind]}
    parts = {"sec": "int32", "nsec": "int32"} if kind == "Time" else TYPES[kind]
    made: dict[str, Any] = {"type": "object", "properties": {n: _json_schema(k) for n, k in parts.items()}}
    return made | ({"title": "time"} if kind == "Time" else {})


class Foxglove:
    """Encodes and decodes messages of one encoding."""

    def __init__(self, encoding: str) -> None:
        self.json = encoding == "json"
        self.messages: list[Message] = []
        self._channels: dict[str, Channel] = {}
        files = descriptor_pb2.FileDescriptorSet()
        timestamp_pb2.DESCRIPTOR.CopyToProto(files.file.add())
        files.file.append(_file())
        self._files = files.SerializeToString()
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        self._classes = {
            name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"foxglove.{name}"))
            for name in TYPES
        }

    def add(self, topic: str, name: str, time_s: float, **fields: Any) -> None:
        ns = round(time_s * 1e9)
        if topic not in self._channels:
            schema = json.dumps({"title": name} | _json_schema(name)).encode() if self.json else self._files
            self._channels[topic] = Channel(
                id=len(self._channels) + 1,
                topic=topic,
                message_encoding="json" if self.json else "protobuf",
                schema=Schema(
                    name=f"foxglove.{name}", encoding="jsonschema" if self.json else "protobuf", data=schema
                ),
            )
        channel = self._channels[topic]
        self.messages.append(
            Message(
                channel=channel,
                log_time_ns=ns,
                publish_time_ns=ns,
                sequence=len(self.messages),
                data=self._encoded(name, ns, fields),
            )
        )

    def _encoded(self, name: str, ns: int, fields: dict[str, Any]) -> bytes:
        sec, nsec = divmod(ns, 10**9)
        if self.json:
            text = {k: base64.b64encode(v).decode() if isinstance(v, bytes) else v for k, v in fields.items()}
            return json.dumps({"timestamp": {"sec": sec, "nsec": nsec}} | text).encode()
        message = self._classes[name](**fields)
        message.timestamp.seconds, message.timestamp.nanos = sec, nsec
        content: bytes = message.SerializeToString()
        return content

    def read(self, message: Message) -> dict[str, Any]:
        """A message as the libraries of its encoding read it; bytes as such."""
        assert message.channel.schema is not None
        name = message.channel.schema.name.removeprefix("foxglove.")
        if self.json:
            found: dict[str, Any] = json.loads(message.data)
            found["time_s"] = found["timestamp"]["sec"] + found["timestamp"]["nsec"] / 1e9
        else:
            decoded = self._classes[name].FromString(message.data)
            found = json_format.MessageToDict(
                decoded, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            )
            found["time_s"] = decoded.timestamp.seconds + decoded.timestamp.nanos / 1e9
        if isinstance(found.get("data"), str):
            found["data"] = base64.b64decode(found["data"])
        return found


def foxglove_drive(made: Drive, encoding: str) -> tuple[Foxglove, bytes]:
    """The drive once a second: fixes, ``map`` → ``base_link`` in UTM, two poses, sweeps, two images."""
    recorder = Foxglove(encoding)
    easting, northing = from_wgs84(made.track.lat, made.track.lon, UTM)
    grid = np.arctan2(np.diff(northing), np.diff(easting))
    grid = np.r_[grid, grid[-1]]
    rows = np.array([[10.0, 0.0, 0.0], [0.0, 5.0, 1.0], [200.0, 0.0, 0.0]], "<f4").tobytes()
    layout = [{"name": n, "offset": 4 * i, "type": _FLOAT32} for i, n in enumerate("xyz")]
    level = {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}
    first = float(made.track.time_s[0])
    recorder.add(
        "/tf_static", "FrameTransform", first, parent_frame_id="base_link", child_frame_id="lidar",
        translation={"x": 1.0, "y": 0.0, "z": 2.0}, rotation=level,
    )  # fmt: skip
    images = {len(made.track) // 3 // 2 * 2, len(made.track) // 2 // 2 * 2}
    for i in range(0, len(made.track), 2):
        t, lat, lon = (float(a[i]) for a in (made.track.time_s, made.track.lat, made.track.lon))
        x, y, yaw = float(easting[i]), float(northing[i]), float(grid[i])
        turn = {"x": 0.0, "y": 0.0, "z": float(np.sin(yaw / 2)), "w": float(np.cos(yaw / 2))}
        recorder.add(
            "/fix", "LocationFix", t, frame_id="gnss", latitude=lat, longitude=lon, altitude=43.5,
            position_covariance=[0.0] * 9, position_covariance_type=0,
        )  # fmt: skip
        recorder.add(
            "/tf", "FrameTransform", t, parent_frame_id="map", child_frame_id="base_link",
            translation={"x": x, "y": y, "z": 43.5}, rotation=turn,
        )  # fmt: skip
        ahead = {"x": x + 10.0 * float(np.cos(yaw)), "y": y + 10.0 * float(np.sin(yaw)), "z": 43.5}
        recorder.add(
            "/plan", "PosesInFrame", t, frame_id="map",
            poses=[
                {"position": {"x": x, "y": y, "z": 43.5}, "orientation": turn},
                {"position": ahead, "orientation": turn},
            ],
        )  # fmt: skip
        recorder.add(
            "/lidar", "PointCloud", t, frame_id="lidar", point_stride=12, fields=layout, data=rows,
            pose={"position": {"x": 0.0, "y": 0.0, "z": 0.0}, "orientation": level},
        )  # fmt: skip
        if i in images:
            recorder.add("/camera", "CompressedImage", t, frame_id="camera", data=jpeg(i), format="jpeg")
    content = b"".join(write_mcap(recorder.messages, profile="", chunk_bytes=1 << 18))
    return recorder, content
