"""Outlines say what trees say: every standard type of ROS 2, random values, every cut and many flipped bits."""

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from rosbags.interfaces import Nodetype
from rosbags.serde.utils import ndtype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from anonymize.containers.codec_ros import RosCodec
from anonymize.containers.messages.fixes import fixes_of
from anonymize.containers.messages.poses import Pose, poses_of
from anonymize.containers.messages.transforms import edges_of
from anonymize.containers.stream import Schema
from anonymize.containers.tree import Fields, stamps
from anonymize.errors import MalformedItemError

STORE = get_typestore(Stores.ROS2_HUMBLE)
CUSTOM = {
    "fleet_msgs/msg/Lists": "std_msgs/Header header\nstring[2] names\nstring[] more\nfloat64[] wide\nuint8 flag\n"
    "float64 last\nbuiltin_interfaces/Time[] times\ngeometry_msgs/Point32[] small\nfleet_msgs/Odd[] odd\n",
    "fleet_msgs/msg/Odd": "uint8 first\nfloat64 wide\nuint16 last\n",
    "fleet_msgs/msg/Nested": "std_msgs/Header header\nuint8[3] pad\ngeometry_msgs/PoseStamped[] goals\n"
    "geometry_msgs/Pose[2] ends\nstring child_frame_id\n",
    "fleet_msgs/msg/Inner": "std_msgs/Header header\nstring child_frame_id\n"
    "geometry_msgs/PoseWithCovariance pose\ngeometry_msgs/Pose[] plan\n",
    "fleet_msgs/msg/Bare": "string frame_id\nbuiltin_interfaces/Time stamp\ngeometry_msgs/Pose pose\n",
    "fleet_msgs/msg/Own": "geometry_msgs/Point position\ngeometry_msgs/Quaternion orientation\nuint32 id\n",
    "fleet_msgs/msg/Holder": "std_msgs/Header header\nfleet_msgs/Own own\ngeometry_msgs/PoseStamped inner\n",
}
for _name, _text in CUSTOM.items():
    STORE.register(get_types_from_msg(_text, _name))

# Actions and services hold what messages hold; float128 and the like have no plan and need none.
TYPES = sorted(STORE.fielddefs)
EDGES = {"tf2_msgs/msg/TFMessage", "geometry_msgs/msg/TransformStamped"}


def codec(name: str) -> RosCodec:
    text = STORE.generate_msgdef(name, ros_version=2)[0]
    return RosCodec(Schema(name=name, encoding="ros2msg", data=text.encode()), ros1=False)


def text(rng: np.random.Generator) -> str:
    return str(rng.choice(["", "map", "/base_link", "京A12345", "x" * 300, f"frame {rng.integers(99)}"]))


def value(desc: Any, rng: np.random.Generator) -> Any:
    kind, rest = desc
    if kind == Nodetype.NAME:
        return message(rest, rng)
    if kind == Nodetype.BASE:
        return base(rest[0], rng)
    count = rest[1] if kind == Nodetype.ARRAY else int(rng.integers(0, 4))
    (inner, of), _ = rest
    if inner == Nodetype.NAME:
        return [message(of, rng) for _ in range(count)]
    if of[0] == "string":
        return [text(rng) for _ in range(count)]
    return np.frombuffer(rng.bytes(count * 8), np.uint8)[:count].astype(np.dtype(ndtype(of[0])))


def base(name: str, rng: np.random.Generator) -> Any:
    if name == "string":
        return text(rng)
    if name == "bool":
        return bool(rng.integers(2))
    if name.startswith("float"):
        return float(rng.choice([0.0, np.nan, np.inf, rng.normal()]))
    return int(rng.integers(0, 100))


def message(name: str, rng: np.random.Generator) -> Any:
    made: dict[str, Any] = {field: value(desc, rng) for field, desc in STORE.fielddefs[name][1]}
    return STORE.types[name](*made.values())


def strings(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict | list):
        for part in node.values() if isinstance(node, dict) else node:
            yield from strings(part)


def row(pose: Pose) -> tuple[Any, ...]:
    numbers = np.concatenate([pose.xyz, pose.xyzw]).tobytes()
    return pose.frame, pose.child, pose.stamp_ns, numbers, pose.listed


def require_same(own: RosCodec, name: str, data: bytes, fields: Fields) -> None:
    outline = own.outline(data)
    assert outline is not None
    assert outline.moments == [stamp.ns for stamp in stamps(fields)]
    assert outline.texts == list(strings(fields))
    if name == "sensor_msgs/msg/NavSatFix":
        assert outline.fix == next(((fix.lat, fix.lon) for fix in fixes_of(fields)), None)
    if outline.placed is not None:
        poses = edges_of(fields) if name in EDGES else poses_of(fields)
        told = [(*p[:3], np.array(p.values).tobytes(), p.listed) for p in outline.placed]
        assert told == [row(pose) for pose in poses]


@pytest.mark.parametrize("name", TYPES)
def test_an_outline_says_what_the_tree_says(name: str) -> None:
    own, rng = codec(name), np.random.default_rng(zlib.crc32(name.encode()))
    for _ in range(8):
        data = bytes(STORE.serialize_cdr(message(name, rng), name, little_endian=True))
        require_same(own, name, data, own.decode(data))


@pytest.mark.parametrize(
    "name",
    [
        "sensor_msgs/msg/NavSatFix",
        "nav_msgs/msg/Odometry",
        "tf2_msgs/msg/TFMessage",
        "nav_msgs/msg/Path",
        "sensor_msgs/msg/Imu",
        *CUSTOM,
    ],
)
def test_a_damaged_message_has_no_outline_or_that_of_its_tree(name: str) -> None:
    own, rng = codec(name), np.random.default_rng(7)
    refused = 0
    for _ in range(400):
        data = bytearray(STORE.serialize_cdr(message(name, rng), name, little_endian=True))
        for at in rng.integers(0, len(data), int(rng.integers(0, 4))):
            data[at] ^= 1 << int(rng.integers(8))
        cut = bytes(data[: len(data) - int(rng.integers(0, 9))] + b"\0" * int(rng.integers(0, 6)))
        try:
            fields = own.decode(cut)
        except MalformedItemError:
            refused += 1
            assert own.outline(cut) is None, "an outline of a message that cannot be decoded"
            continue
        if own.outline(cut) is not None:
            require_same(own, name, cut, fields)
    assert refused > 50


def test_poses_are_told_for_the_types_that_recordings_hold_most_of() -> None:
    rng = np.random.default_rng(1)
    told = {
        name: own.placed is not None
        for name in TYPES
        if (own := codec(name).outline(bytes(STORE.serialize_cdr(message(name, rng), name)))) is not None
    }
    assert all(told[name] for name in [*EDGES, "nav_msgs/msg/Odometry", "geometry_msgs/msg/PoseStamped"])
    assert not any(told[f"fleet_msgs/msg/{name}"] for name in ("Bare", "Own", "Holder", "Nested"))


def test_a_list_that_claims_more_than_its_message_holds_is_no_outline() -> None:
    own = codec("fleet_msgs/msg/Lists")
    assert own.outline(b"\0\1\0\0" + b"\xff" * 64) is None


@pytest.mark.parametrize("head", [b"\0\0\0\0", b"\0\3\0\0", b"\0\1"])
def test_other_encapsulations_are_left_to_decoding(head: bytes) -> None:
    data = bytes(
        STORE.serialize_cdr(message("std_msgs/msg/Header", np.random.default_rng(2)), "std_msgs/msg/Header")
    )
    assert codec("std_msgs/msg/Header").outline(head + data[4:]) is None
