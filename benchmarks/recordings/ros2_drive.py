"""A drive through Beijing as an MCAP, made with rosbags and the `mcap` library; and zones beside its way."""

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from mcap.writer import CompressionType, Writer
from PIL import Image
from rosbags.typesys import Stores, get_typestore

from anonymize.geo.crs import from_wgs84
from anonymize.geo.ellipsoid import from_enu, to_enu
from anonymize.geo.zones import ZoneKind

CHUNK_BYTES = 4 * 1024 * 1024
TICK_BYTES = 258_000
BEGIN_NS = 1_700_000_000_000_000_000
TICK_NS = 100_000_000
STEPS = 10
STEP_NS = TICK_NS // STEPS
SPEED_MPS = 12.0
SWEEP_POINTS = 20_000
SWEEP_EVERY = 10
ZONE_HALF_M, ZONE_BESIDE_M = 15.0, 100.0
SWEEP = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4"), ("ring", "<u2")])
CAMERA, SWEEPS = "/camera/front/compressed", "/lidar/points"
STORE = get_typestore(Stores.ROS2_HUMBLE)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Way:
    """Where the vehicle is every 10 ms: degrees, and radians counter-clockwise from east."""

    lat: np.ndarray
    lon: np.ndarray
    heading: np.ndarray

    @property
    def near(self) -> tuple[float, float]:
        """The middle of the near zone: beside the middle of the way, to the left."""
        i = len(self.lat) // 2
        east, north = -np.sin(self.heading[i]), np.cos(self.heading[i])
        lat, lon = from_enu(ZONE_BESIDE_M * east, ZONE_BESIDE_M * north, self.lat[i], self.lon[i])
        return float(lat), float(lon)

    def from_near(self, time_ns: int, x: Any = 0.0, y: Any = 0.0) -> Any:
        """Metres between the near zone and places given from the vehicle (forward, left) at a time."""
        i = (time_ns - BEGIN_NS) // STEP_NS
        east, north = to_enu(self.lat[i], self.lon[i], *self.near)
        c, s = np.cos(self.heading[i]), np.sin(self.heading[i])
        e, n = np.abs(east + c * x - s * y), np.abs(north + s * x + c * y)
        return np.hypot(np.maximum(e - ZONE_HALF_M, 0.0), np.maximum(n - ZONE_HALF_M, 0.0))


def way(ticks: int) -> Way:
    """A bending way through Beijing."""
    along = np.arange(ticks * STEPS + 1) * SPEED_MPS * STEP_NS * 1e-9
    heading = 0.6 + 0.5 * np.sin(along / 700.0)
    step = np.r_[0.0, np.diff(along)]
    lat, lon = from_enu(np.cumsum(step * np.cos(heading)), np.cumsum(step * np.sin(heading)), 39.9, 116.3)
    return Way(lat=lat, lon=lon, heading=heading)


def zone_file(drive: Way) -> bytes:
    """The zone beside the way, and twenty of 2 km at 20 to 60 km from it."""
    rng = np.random.default_rng(5)
    far = [
        tuple(map(float, from_enu(r * np.cos(a), r * np.sin(a), 39.9, 116.3)))
        for a, r in zip(rng.uniform(0, 2 * np.pi, 20), rng.uniform(20e3, 60e3, 20), strict=True)
    ]
    features = []
    for number, (place, half_m) in enumerate(
        [(drive.near, ZONE_HALF_M), *((place, 1000.0) for place in far)]
    ):
        lat, lon = from_enu(
            half_m * np.array([-1, 1, 1, -1, -1]), half_m * np.array([-1, -1, 1, 1, -1]), *place
        )
        ring = np.column_stack((lon, lat)).tolist()
        kind = list(ZoneKind)[number % len(ZoneKind)].value
        properties = {"id": f"zone {number}", "kind": kind, "margin_m": 0.0}
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "properties": properties, "geometry": geometry})
    collection = {"type": "FeatureCollection", "name": "benchmark", "version": 1, "features": features}
    return json.dumps(collection).encode()


def made(name: str, /, **fields: Any) -> Any:
    package, _, kind = name.partition("/")
    return STORE.types[f"{package}/msg/{kind}"](**fields)


def header(time_ns: int, frame: str) -> Any:
    stamp = made("builtin_interfaces/Time", sec=time_ns // 10**9, nanosec=time_ns % 10**9)
    return made("std_msgs/Header", stamp=stamp, frame_id=frame)


def vector(x: float, y: float, z: float, kind: str = "Vector3") -> Any:
    return made(f"geometry_msgs/{kind}", x=float(x), y=float(y), z=float(z))


def turned(yaw: float) -> Any:
    return made("geometry_msgs/Quaternion", x=0.0, y=0.0, z=float(np.sin(yaw / 2)), w=float(np.cos(yaw / 2)))


def fix(time_ns: int, lat: float, lon: float) -> Any:
    status = made("sensor_msgs/NavSatStatus", status=0, service=1)
    return made("sensor_msgs/NavSatFix", header=header(time_ns, "gnss"), status=status, altitude=43.5,
                latitude=float(lat), longitude=float(lon), position_covariance=np.zeros(9),
                position_covariance_type=0)  # fmt: skip


def odometry(time_ns: int, x: float, y: float, yaw: float) -> Any:
    pose = made("geometry_msgs/Pose", position=vector(x, y, 43.5, "Point"), orientation=turned(yaw))
    twist = made("geometry_msgs/Twist", linear=vector(SPEED_MPS, 0, 0), angular=vector(0, 0, 0.01))
    return made("nav_msgs/Odometry", header=header(time_ns, "map"), child_frame_id="base_link",
                pose=made("geometry_msgs/PoseWithCovariance", pose=pose, covariance=np.zeros(36)),
                twist=made("geometry_msgs/TwistWithCovariance", twist=twist, covariance=np.zeros(36)))  # fmt: skip


def transforms(time_ns: int, *edges: tuple[str, str, tuple[float, float, float], float]) -> Any:
    listed = [
        made("geometry_msgs/TransformStamped", header=header(time_ns, parent), child_frame_id=child,
             transform=made("geometry_msgs/Transform", translation=vector(*xyz), rotation=turned(yaw)))
        for parent, child, xyz, yaw in edges
    ]  # fmt: skip
    return made("tf2_msgs/TFMessage", transforms=listed)


def imu(time_ns: int, yaw: float, noise: np.ndarray) -> Any:
    return made("sensor_msgs/Imu", header=header(time_ns, "imu_link"), orientation=turned(yaw),
                orientation_covariance=np.zeros(9), angular_velocity=vector(*noise[:3]),
                angular_velocity_covariance=np.zeros(9), linear_acceleration=vector(*noise[3:]),
                linear_acceleration_covariance=np.zeros(9))  # fmt: skip


def sweep(time_ns: int, rng: np.random.Generator) -> Any:
    rows = np.zeros(SWEEP_POINTS, SWEEP)
    angle, reach = rng.uniform(0, 2 * np.pi, SWEEP_POINTS), 130.0 * np.sqrt(rng.uniform(0, 1, SWEEP_POINTS))
    rows["x"], rows["y"], rows["z"] = reach * np.cos(angle), reach * np.sin(angle), -2.0
    rows["intensity"], rows["ring"] = rng.uniform(0, 255, SWEEP_POINTS), rng.integers(0, 64, SWEEP_POINTS)
    offsets = {name: entry[1] for name, entry in (SWEEP.fields or {}).items()}
    kinds = {"f": 7, "u": 4}
    fields = [
        made("sensor_msgs/PointField", name=name, offset=at, datatype=kinds[SWEEP[name].kind], count=1)
        for name, at in offsets.items()
    ]
    return made("sensor_msgs/PointCloud2", header=header(time_ns, "lidar"), height=1, width=SWEEP_POINTS,
                fields=fields, is_bigendian=False, point_step=SWEEP.itemsize, is_dense=True,
                row_step=SWEEP.itemsize * SWEEP_POINTS, data=np.frombuffer(rows.tobytes(), np.uint8))  # fmt: skip


@cache
def frames() -> list[np.ndarray]:
    """Sixteen JPEGs of 1280×720, some 200 kB each."""
    encoded = []
    for seed in range(16):
        rng = np.random.default_rng(seed)
        coarse = Image.fromarray(rng.integers(0, 255, (90, 160, 3), np.uint8)).resize((1280, 720))
        pixels = np.asarray(coarse, np.int16) + rng.integers(-8, 9, (720, 1280, 1))
        out = io.BytesIO()
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(out, format="JPEG", quality=78)
        encoded.append(np.frombuffer(out.getvalue(), np.uint8))
    return encoded


def recorded(drive: Way, ticks: int) -> Iterator[tuple[str, int, Any]]:
    """Topic, time and message in the order of time: 10 frames and fixes a second, 50 poses and edges, 100 IMU."""
    rng = np.random.default_rng(4)
    easting, northing = from_wgs84(drive.lat, drive.lon, "EPSG:32650")
    grid = np.arctan2(np.diff(northing), np.diff(easting))
    odom = (float(easting[0]) - 30.0, float(northing[0]) + 12.0, 43.5)
    yield "/tf_static", BEGIN_NS, transforms(BEGIN_NS, ("base_link", "lidar", (0.5, 0.0, 2.0), 0.0))
    for i in range(ticks * STEPS):
        now = BEGIN_NS + i * STEP_NS
        if i % STEPS == 0:
            yield "/gnss/fix", now, fix(now, drive.lat[i], drive.lon[i])
            image = frames()[i // STEPS % len(frames())]
            compressed = made(
                "sensor_msgs/CompressedImage", header=header(now, "camera"), format="jpeg", data=image
            )
            yield CAMERA, now, compressed
        if i % (STEPS * SWEEP_EVERY) == 0:
            yield SWEEPS, now, sweep(now, rng)
        if i % 2 == 0:
            yield "/localization", now, odometry(now, easting[i], northing[i], grid[i])
            moved = (easting[i] - odom[0], northing[i] - odom[1], 0.0)
            edges = ("map", "odom", odom, 0.0), ("odom", "base_link", moved, float(grid[i]))
            yield "/tf", now, transforms(now, *edges)
        yield "/imu", now, imu(now, float(drive.heading[i]), rng.normal(0.0, 1.0, 6))
    end = BEGIN_NS + ticks * TICK_NS
    yield "/gnss/fix", end, fix(end, drive.lat[-1], drive.lon[-1])


def make(path: Path, drive: Way, ticks: int) -> None:
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=CHUNK_BYTES, compression=CompressionType.LZ4)
        writer.start(profile="ros2")
        channels: dict[str, int] = {}
        for number, (topic, now, message) in enumerate(recorded(drive, ticks)):
            name = message.__msgtype__
            if topic not in channels:
                definition = STORE.generate_msgdef(name, ros_version=2)[0].encode()
                channels[topic] = writer.register_channel(
                    topic, "cdr", writer.register_schema(name, "ros2msg", definition)
                )
            writer.add_message(channels[topic], now, bytes(STORE.serialize_cdr(message, name)), now, number)
        writer.finish()  # type: ignore[no-untyped-call]
