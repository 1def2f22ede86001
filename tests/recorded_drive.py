"""A synthetic drive recorded in a container by real encoders: fixes, odometry, tf, sweeps and images."""

import functools
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from anonymize.containers.mcap_writer import write_mcap
from anonymize.containers.open import open_container
from anonymize.containers.stream import Channel, Container, ContainerKind, Message, Schema
from anonymize.formats.track import Track
from anonymize.geo.crs import from_wgs84
from anonymize.geo.ellipsoid import from_enu, to_enu
from anonymize.profile import ContainerProfile, shipped_profile

BEGIN_S = 1_700_000_000
UTM = "EPSG:32650"
DISTANCE_ERROR = 0.007
"""Of distances over 100 m under the keyed offset, at most."""


def opened(
    messages: Iterable[Message], *, profile: ContainerProfile | None = None, mcap: str = "ros2"
) -> Container:
    content = b"".join(write_mcap(messages, profile=mcap, chunk_bytes=1 << 18))
    limits = profile or shipped_profile("cn-2026").profile.containers
    return open_container(io.BytesIO(content), ContainerKind.MCAP, profile=limits)


def reopened(chunks: Iterable[bytes]) -> Container:
    limits = shipped_profile("cn-2026").profile.containers
    return open_container(io.BytesIO(b"".join(chunks)), ContainerKind.MCAP, profile=limits)


@dataclass
class Recorder:
    """Encodes messages of ROS 2 or ROS 1 with rosbags, apart from the codec under test."""

    ros1: bool = False
    messages: list[Message] = field(default_factory=list)
    channels: dict[str, Channel] = field(default_factory=dict)

    def more(self) -> "Recorder":
        """A recorder that goes on after what is recorded here."""
        return Recorder(ros1=self.ros1, messages=list(self.messages), channels=dict(self.channels))

    def __post_init__(self) -> None:
        self.store = get_typestore(Stores.ROS1_NOETIC if self.ros1 else Stores.ROS2_HUMBLE)
        if self.ros1:
            text = "geometry_msgs/TransformStamped[] transforms\n"
            self.store.register(get_types_from_msg(text, "tf2_msgs/msg/TFMessage"))

    def type(self, name: str) -> Any:
        return self.store.types[name]

    def stamp(self, time_s: float) -> Any:
        ns = round(time_s * 1e9)
        return self.type("builtin_interfaces/msg/Time")(sec=ns // 10**9, nanosec=ns % 10**9)

    def header(self, time_s: float, frame: str) -> Any:
        more = {"seq": 7} if self.ros1 else {}
        return self.type("std_msgs/msg/Header")(stamp=self.stamp(time_s), frame_id=frame, **more)

    def vector(self, x: float, y: float, z: float, kind: str = "Vector3") -> Any:
        return self.type(f"geometry_msgs/msg/{kind}")(x=float(x), y=float(y), z=float(z))

    def quaternion(self, yaw: float) -> Any:
        return self.type("geometry_msgs/msg/Quaternion")(x=0.0, y=0.0, z=np.sin(yaw / 2), w=np.cos(yaw / 2))

    def encode(self, name: str, message: Any) -> bytes:
        return bytes(
            self.store.serialize_ros1(message, name) if self.ros1 else self.store.serialize_cdr(message, name)
        )

    def schema(self, name: str) -> Schema:
        text = self.store.generate_msgdef(name, ros_version=1 if self.ros1 else 2)[0]
        return Schema(
            name=name.replace("/msg/", "/") if self.ros1 else name,
            encoding="ros1msg" if self.ros1 else "ros2msg",
            data=text.encode(),
        )

    def channel(self, topic: str, name: str) -> Channel:
        if topic not in self.channels:
            self.channels[topic] = Channel(
                id=len(self.channels) + 1,
                topic=topic,
                message_encoding="ros1" if self.ros1 else "cdr",
                schema=self.schema(name),
            )
        return self.channels[topic]

    def add(self, topic: str, name: str, time_s: float, message: Any) -> None:
        ns = round(time_s * 1e9)
        self.messages.append(
            Message(
                channel=self.channel(topic, name),
                log_time_ns=ns,
                publish_time_ns=ns,
                sequence=len(self.messages),
                data=self.encode(name, message),
            )
        )

    def fix(self, time_s: float, lat: float, lon: float, height: float, status: int = 0) -> None:
        self.add(
            "/gnss/fix",
            "sensor_msgs/msg/NavSatFix",
            time_s,
            self.type("sensor_msgs/msg/NavSatFix")(
                header=self.header(time_s, "gnss"),
                status=self.type("sensor_msgs/msg/NavSatStatus")(status=status, service=1),
                latitude=lat,
                longitude=lon,
                altitude=height,
                position_covariance=np.zeros(9),
                position_covariance_type=0,
            ),
        )

    def pose(self, x: float, y: float, z: float, yaw: float) -> Any:
        return self.type("geometry_msgs/msg/Pose")(
            position=self.vector(x, y, z, "Point"), orientation=self.quaternion(yaw)
        )

    def odometry(
        self,
        topic: str,
        frame: str,
        time_s: float,
        x: float,
        y: float,
        z: float,
        yaw: float,
        child: str = "base_link",
    ) -> None:
        kind = self.type("geometry_msgs/msg/TwistWithCovariance")
        twist = self.type("geometry_msgs/msg/Twist")(
            linear=self.vector(8, 0, 0), angular=self.vector(0, 0, 0.1)
        )
        covariance = np.zeros(36)
        covariance[0] = 0.04
        self.add(
            topic,
            "nav_msgs/msg/Odometry",
            time_s,
            self.type("nav_msgs/msg/Odometry")(
                header=self.header(time_s, frame),
                child_frame_id=child,
                pose=self.type("geometry_msgs/msg/PoseWithCovariance")(
                    pose=self.pose(x, y, z, yaw), covariance=covariance
                ),
                twist=kind(twist=twist, covariance=np.zeros(36)),
            ),
        )

    def twist(self, topic: str, frame: str, time_s: float, speed: float) -> None:
        twist = self.type("geometry_msgs/msg/Twist")(
            linear=self.vector(speed, 0, 0), angular=self.vector(0, 0, 0.1)
        )
        made = self.type("geometry_msgs/msg/TwistStamped")(header=self.header(time_s, frame), twist=twist)
        self.add(topic, "geometry_msgs/msg/TwistStamped", time_s, made)

    def transforms(self, topic: str, time_s: float, edges: list[tuple[str, str, Any, float]]) -> None:
        self.add(
            topic,
            "tf2_msgs/msg/TFMessage",
            time_s,
            self.type("tf2_msgs/msg/TFMessage")(
                transforms=[
                    self.type("geometry_msgs/msg/TransformStamped")(
                        header=self.header(time_s, parent),
                        child_frame_id=child,
                        transform=self.type("geometry_msgs/msg/Transform")(
                            translation=self.vector(*xyz), rotation=self.quaternion(yaw)
                        ),
                    )
                    for parent, child, xyz, yaw in edges
                ]
            ),
        )

    def cloud(self, time_s: float, points: Any, frame: str = "lidar") -> None:
        layout = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4"), ("secret", "<f4")])
        rows = np.zeros(len(points), layout)
        for column, name in enumerate(("x", "y", "z")):
            rows[name] = points[:, column]
        rows["intensity"] = np.arange(len(points))
        made = self.type("sensor_msgs/msg/PointField")
        self.add(
            "/lidar/points",
            "sensor_msgs/msg/PointCloud2",
            time_s,
            self.type("sensor_msgs/msg/PointCloud2")(
                header=self.header(time_s, frame),
                height=1,
                width=len(points),
                fields=[
                    made(name=n, offset=4 * i, datatype=7, count=1) for i, n in enumerate(layout.names or ())
                ],
                is_bigendian=False,
                point_step=20,
                row_step=20 * len(points),
                data=np.frombuffer(rows.tobytes(), np.uint8),
                is_dense=True,
            ),
        )

    def jpeg(self, time_s: float, content: bytes, topic: str = "/camera/image/compressed") -> None:
        self.add(
            topic,
            "sensor_msgs/msg/CompressedImage",
            time_s,
            self.type("sensor_msgs/msg/CompressedImage")(
                header=self.header(time_s, "camera"), format="jpeg", data=np.frombuffer(content, np.uint8)
            ),
        )

    def frame(
        self, time_s: float, identifier: int, data: bytes, topic: str = "/can0", **more: bool | int
    ) -> None:
        """A frame of classic CAN; ``can_msgs`` is no part of rosbags."""
        name = "can_msgs/msg/Frame"
        if name not in self.store.types:
            text = (
                "std_msgs/Header header\nuint32 id\nbool is_rtr\nbool is_extended\nbool is_error\nuint8 dlc\n"
            )
            self.store.register(get_types_from_msg(text + "uint8[8] data\n", name))
        values = {"is_rtr": False, "is_extended": identifier > 0x7FF, "is_error": False, "dlc": len(data)}
        made = self.type(name)(
            header=self.header(time_s, "can0"),
            id=identifier,
            data=np.frombuffer(data.ljust(8, b"\0"), np.uint8),
            **(values | more),
        )
        self.add(topic, name, time_s, made)

    def imu(self, time_s: float, yaw: float) -> None:
        self.add(
            "/imu",
            "sensor_msgs/msg/Imu",
            time_s,
            self.type("sensor_msgs/msg/Imu")(
                header=self.header(time_s, "imu_link"),
                orientation=self.quaternion(yaw),
                orientation_covariance=np.zeros(9),
                angular_velocity=self.vector(0, 0, 0.1),
                angular_velocity_covariance=np.zeros(9),
                linear_acceleration=self.vector(0.1, 0, 9.8),
                linear_acceleration_covariance=np.zeros(9),
            ),
        )


def jpeg(seed: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(out, format="JPEG")
    return out.getvalue()


@dataclass(frozen=True)
class Drive:
    """The truth that the recording was made from."""

    track: Track
    recorder: Recorder
    container: Container
    landmark: tuple[float, float]


@functools.cache
def drive(*, seconds: int = 400, ros1: bool = False, seed: int = 1, odom: bool = True) -> Drive:
    """A winding drive of 8 m/s at 39.9° N, 116.3° E, ellipsoidal height 43.5 m.

    Fixes and odometry in UTM zone 50 come twice a second with tf map → odom → base_link, sweeps of one landmark
    and an IMU once a second, a small image every two seconds; ``tf_static`` mounts the sensors at the start.
    """
    rng = np.random.default_rng(seed)
    count = 2 * seconds
    turn = np.cumsum(rng.normal(0.0, 0.01, count))
    heading = turn + rng.uniform(0.0, 2 * np.pi)  # counter-clockwise from east
    step = 4.0
    x = np.r_[0.0, np.cumsum(step * np.cos(heading))[:-1]]
    y = np.r_[0.0, np.cumsum(step * np.sin(heading))[:-1]]
    lat, lon = _placed(x, y)
    easting, northing = from_wgs84(lat, lon, UTM)
    grid = np.arctan2(np.diff(northing), np.diff(easting))
    grid = np.r_[grid, grid[-1]]
    times = BEGIN_S + 0.5 * np.arange(count)
    recorder = Recorder(ros1=ros1)
    recorder.transforms("/tf_static", times[0], [("base_link", "lidar", (1.0, 0.0, 2.0), np.pi / 2)])
    # The odometry's own frame: started at some place, with some direction.
    turned, origin = 0.7, np.array([easting[0] - 30.0, northing[0] + 12.0])
    middle = count // 2
    place = tuple(float(v) for v in from_enu(20.0, 15.0, float(lat[middle]), float(lon[middle])))
    for i, t in enumerate(times.tolist()):
        recorder.fix(t, float(lat[i]), float(lon[i]), 43.5)
        recorder.odometry("/localization", "map", t, easting[i], northing[i], 43.5, grid[i])
        off = np.array([easting[i], northing[i]]) - origin
        c, s = np.cos(-turned), np.sin(-turned)
        in_odom = np.array([c * off[0] - s * off[1], s * off[0] + c * off[1]])
        edges = [("odom", "base_link", (*in_odom, 0.0), grid[i] - turned)]
        if odom:
            edges.insert(0, ("map", "odom", (*origin, 43.5), turned))
        recorder.transforms("/tf", t, edges)
        if i % 2 == 0:
            recorder.imu(t, float(heading[i]))
            east, north = to_enu(*place, float(lat[i]), float(lon[i]))
            c, s = np.cos(-heading[i]), np.sin(-heading[i])
            body = np.array([c * east - s * north, s * east + c * north]) - np.array([1.0, 0.0])
            c, s = np.cos(-np.pi / 2), np.sin(-np.pi / 2)
            seen = np.array([c * body[0] - s * body[1], s * body[0] + c * body[1], -2.0])
            near = seen if np.hypot(*seen[:2]) < 100.0 else np.array([5.0, 5.0, 0.0])
            recorder.cloud(t, np.array([near, [10.0, 0.0, 0.0], [200.0, 0.0, 0.0]]))
        if i % 4 == 0:
            recorder.jpeg(t, jpeg(i))
    track = Track(
        lat=lat,
        lon=lon,
        time_s=times,
        elevation_m=np.full(count, 43.5),
        speed_mps=np.full(count, 8.0),
        segment=np.zeros(count, np.int32),
        crs="EPSG:4326",
    )
    container = opened(recorder.messages, mcap="ros1" if ros1 else "ros2")
    return Drive(track=track, recorder=recorder, container=container, landmark=place)


def zones_around(lat: float, lon: float, half_m: float, kind: str = "MIL") -> bytes:
    y, x = half_m / 111_200.0, half_m / (111_200.0 * np.cos(np.radians(lat)))
    ring = [
        [lon - x, lat - y],
        [lon + x, lat - y],
        [lon + x, lat + y],
        [lon - x, lat + y],
        [lon - x, lat - y],
    ]
    feature = {
        "type": "Feature",
        "properties": {"id": "zone", "kind": kind, "margin_m": 0.0},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    document = {"type": "FeatureCollection", "name": "zones", "version": 1, "features": [feature]}
    return json.dumps(document).encode()


def _placed(x: Any, y: Any) -> tuple[Any, Any]:
    """Positions of a way, step by step, so that each step is exact."""
    lat, lon = np.empty(len(x)), np.empty(len(x))
    lat[0], lon[0] = 39.9, 116.3
    for i in range(1, len(x)):
        a, b = from_enu(x[i] - x[i - 1], y[i] - y[i - 1], float(lat[i - 1]), float(lon[i - 1]))
        lat[i], lon[i] = float(a), float(b)
    return lat, lon
