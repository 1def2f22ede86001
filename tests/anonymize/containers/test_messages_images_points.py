import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from anonymize.containers.messages.images import treat_image
from anonymize.containers.messages.motion import turn_imu, turn_vectors
from anonymize.containers.messages.points import move_points, row_numbers, treat_points
from anonymize.containers.messages.poses import Pose, change_poses, poses_of
from anonymize.containers.messages.transforms import change_edges, edges_of
from anonymize.containers.tree import Stamp
from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.finding import Treated
from anonymize.profile import shipped_profile
from recorded_drive import jpeg

POINTS = shipped_profile("cn-2026").profile.points


def through(content: bytes, kind: str) -> Treated:
    return Treated(content=content, media_type=f"image/{kind}", findings=(), treatments=())


def blackened(content: bytes, kind: str) -> Treated:
    """Masks the upper left quarter, as a detector's mask would."""
    with Image.open(io.BytesIO(content)) as opened:
        mode, pixels = opened.mode, np.array(opened)
    pixels[: pixels.shape[0] // 2, : pixels.shape[1] // 2] = 0
    out = io.BytesIO()
    Image.fromarray(pixels, mode).save(out, format="PNG")
    return through(out.getvalue(), kind)


def raw(encoding: str, channels: int, *, padding: int = 0) -> tuple[dict[str, Any], Any]:
    pixels = np.random.default_rng(1).integers(1, 255, (6, 8, channels), np.uint8)
    rows = np.concatenate([pixels.reshape(6, -1), np.full((6, padding), 7, np.uint8)], axis=1)
    fields = {
        "height": 6,
        "width": 8,
        "encoding": encoding,
        "is_bigendian": 0,
        "step": rows.shape[1],
        "data": np.frombuffer(rows.tobytes(), np.uint8),
    }
    return fields, pixels


@pytest.mark.parametrize(
    ("encoding", "channels"), [("rgb8", 3), ("bgr8", 3), ("mono8", 1), ("8UC1", 1), ("8UC3", 3)]
)
@pytest.mark.parametrize("padding", [0, 5])
def test_raw_pixels_are_masked_losslessly_in_their_encoding(
    encoding: str, channels: int, padding: int
) -> None:
    fields, pixels = raw(encoding, channels, padding=padding)
    made = treat_image(fields, blackened).fields
    assert made is not None
    after = made["data"].reshape(6, -1)[:, : 8 * channels].reshape(6, 8, channels)
    assert (after[:3, :4] == 0).all()
    assert (after[3:] == pixels[3:]).all()
    assert (after[:, 4:] == pixels[:, 4:]).all()
    assert {k: v for k, v in made.items() if k != "data"} == {k: v for k, v in fields.items() if k != "data"}


def test_colours_reach_the_treatment_in_their_order() -> None:
    fields, pixels = raw("bgr8", 3)
    seen = []

    def look(content: bytes, kind: str) -> Treated:
        with Image.open(io.BytesIO(content)) as opened:
            seen.append(np.array(opened))
        return through(content, kind)

    treat_image(fields, look)
    assert (seen[0] == pixels[..., ::-1]).all()


def test_an_alpha_channel_becomes_opaque() -> None:
    fields, pixels = raw("rgba8", 4)
    made = treat_image(fields, through).fields
    assert made is not None
    after = made["data"].reshape(6, 8, 4)
    assert (after[..., :3] == pixels[..., :3]).all()
    assert (after[..., 3] == 255).all()


@pytest.mark.parametrize("encoding", ["bayer_rggb8", "16UC1", "yuv422", ""])
def test_raw_encodings_that_cannot_be_masked_are_refused(encoding: str) -> None:
    fields, _ = raw("mono8", 1)
    with pytest.raises(MalformedItemError, match="not supported"):
        treat_image({**fields, "encoding": encoding}, through)


def test_raw_images_that_contradict_themselves_are_refused() -> None:
    fields, _ = raw("rgb8", 3)
    for change in ({"height": 7}, {"step": 8}, {"width": 0}, {"height": 0, "width": 0}):
        with pytest.raises(MalformedItemError, match="contradicts itself"):
            treat_image({**fields, **change}, through)


def test_compressed_images_keep_their_format() -> None:
    for data in (jpeg(1), np.frombuffer(jpeg(1), np.uint8)):
        made = treat_image({"format": "jpeg", "data": data}, lambda _, k: through(jpeg(2), k)).fields
        assert made is not None
        assert bytes(made["data"]) == jpeg(2)
    with pytest.raises(MalformedItemError, match="changed its format"):
        treat_image({"format": "jpeg", "data": jpeg(1)}, lambda c, _: through(c, "png"))
    with pytest.raises(MalformedItemError, match="neither JPEG nor PNG"):
        treat_image({"format": "webp", "data": b"RIFF1234WEBP"}, through)


def test_a_dropped_image_drops_its_message() -> None:
    gone = Treated(content=b"", media_type="image/jpeg", findings=(), treatments=(), dropped=True)
    assert treat_image({"format": "jpeg", "data": jpeg(1)}, lambda *_: gone).fields is None


def cloud(xyz: Any, **more: Any) -> dict[str, Any]:
    layout = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), *((n, v.dtype.str) for n, v in more.items())]
    rows = np.zeros(len(xyz), layout)
    for column, name in enumerate("xyz"):
        rows[name] = np.asarray(xyz)[:, column]
    for name, values in more.items():
        rows[name] = values
    codes = {"<f4": 7, "<f8": 8, "|u1": 2, "<u2": 4, "<u4": 6}
    assert rows.dtype.fields is not None
    fields = [
        {"name": n, "offset": rows.dtype.fields[n][1], "datatype": codes[c], "count": 1} for n, c in layout
    ]
    return {
        "height": 1,
        "width": len(rows),
        "fields": fields,
        "is_bigendian": False,
        "point_step": rows.itemsize,
        "row_step": rows.nbytes,
        "data": np.frombuffer(rows.tobytes(), np.uint8),
        "is_dense": True,
    }


def read(fields: dict[str, Any]) -> Any:
    types = {7: "<f4", 8: "<f8", 2: "|u1", 4: "<u2", 6: "<u4"}
    dtype = np.dtype(
        {
            "names": [f["name"] for f in fields["fields"]],
            "formats": [types[f["datatype"]] for f in fields["fields"]],
            "offsets": [f["offset"] for f in fields["fields"]],
            "itemsize": fields["point_step"],
        }
    )
    return np.frombuffer(bytes(fields["data"]), dtype)


@given(count=st.integers(1, 40), seed=st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_kept_points_keep_order_and_listed_attributes_bit_by_bit(count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    xyz = rng.normal(0, 30, (count, 3)).astype(np.float32)
    intensity = rng.normal(size=count).astype(np.float32)
    ring, vin = rng.integers(0, 64, count).astype(np.uint16), rng.integers(0, 9, count).astype(np.uint8)
    chosen = rng.random(count) < 0.5
    made = treat_points(
        cloud(xyz, intensity=intensity, vin=vin, ring=ring),
        lambda points: row_numbers(points[chosen]),
        profile=POINTS,
    )
    assert (made.points_in, made.points_out) == (count, int(chosen.sum()))
    if not chosen.any():
        assert made.fields is None
        return
    assert made.fields is not None
    rows = read(made.fields)
    assert rows.dtype.names == ("x", "y", "z", "intensity", "ring")
    assert np.stack([rows["x"], rows["y"], rows["z"]], axis=1).tolist() == xyz[chosen].tolist()
    assert rows["intensity"].tolist() == intensity[chosen].tolist()
    assert rows["ring"].tolist() == ring[chosen].tolist()
    assert made.fields["width"] * made.fields["height"] == len(rows)


def test_a_cloud_in_which_nothing_goes_is_the_same() -> None:
    fields = cloud([[1.0, 2.0, 3.0]], intensity=np.zeros(1, np.float32))
    assert treat_points(fields, row_numbers, profile=POINTS).fields is fields


def test_points_that_are_not_finite_and_moments_go() -> None:
    times = np.array([1.7e9, 1.7e9 + 0.1, 1.7e9 + 0.2])
    fields = cloud([[1.0, 0.0, 0.0], [np.nan, 0.0, 0.0], [2.0, 0.0, 0.0]], t=times)
    made = treat_points({**fields, "is_dense": False}, row_numbers, profile=POINTS)
    assert made.fields is not None
    assert read(made.fields)["x"].tolist() == [1.0, 2.0]
    assert [f["name"] for f in made.fields["fields"]] == ["x", "y", "z"]
    offsets = treat_points(cloud([[1.0, 0.0, 0.0]], t=np.array([0.05])), row_numbers, profile=POINTS)
    assert offsets.fields_dropped == 0


@pytest.mark.parametrize(
    "change",
    [{"width": 3}, {"point_step": 0}, {"point_step": 7}, {"fields": []}, {"data": np.zeros(5, np.uint8)}],
)
def test_clouds_that_contradict_themselves_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedItemError):
        treat_points({**cloud([[1.0, 2.0, 3.0]]), **change}, row_numbers, profile=POINTS)


def test_clouds_of_too_many_points_are_refused_before_they_are_read() -> None:
    with pytest.raises(LimitExceededError):
        treat_points({**cloud([[1.0, 2.0, 3.0]]), "width": 10**9}, row_numbers, profile=POINTS)


def test_points_move_and_attributes_stay() -> None:
    fields = cloud([[1.0, 2.0, 3.0]], intensity=np.array([9.0], np.float32))
    rows = read(move_points(fields, lambda points: points + np.array([1.0, 0.0, 0.0]), profile=POINTS))
    assert rows.tolist() == [(2.0, 2.0, 3.0, 9.0)]


class Shift:
    def pose(self, pose: Pose) -> tuple[Pose, float] | None:
        return None if pose.xyz[0] > 5.0 else (pose.turned(np.pi / 2, pose.xyz + 1.0), np.pi / 2)


def pose(x: float) -> dict[str, Any]:
    return {"position": {"x": x, "y": 0.0, "z": 0.0}, "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}}


def header(frame: str, ns: int) -> dict[str, Any]:
    return {"stamp": Stamp(ns), "frame_id": frame}


def test_poses_of_lists_take_the_nearest_header_and_go_one_by_one() -> None:
    path = {
        "header": header("/map", 1),
        "poses": [
            {"header": header("odom", 2), "pose": pose(1.0)},
            {"header": header("map", 3), "pose": pose(9.0)},
        ],
    }
    found = list(poses_of(path))
    assert [(p.frame, p.stamp_ns, p.listed) for p in found] == [("odom", 2, True), ("map", 3, True)]
    made = change_poses(path, Shift())
    assert made is not None
    assert [p["pose"]["position"]["x"] for p in made["poses"]] == [2.0]
    assert change_poses({"header": header("map", 1), "poses": [pose(9.0)]}, Shift()) is None
    assert change_poses({"header": header("map", 1), "pose": pose(9.0)}, Shift()) is None


def test_foxglove_poses_without_orientation_move_too() -> None:
    fields = {"timestamp": Stamp(5), "frame_id": "map", "pose": {"position": None, "orientation": None}}
    assert [(p.frame, p.stamp_ns, p.xyz.tolist()) for p in poses_of(fields)] == [("map", 5, [0.0, 0.0, 0.0])]
    made = change_poses(fields, Shift())
    assert made is not None
    assert made["pose"]["position"] == {"x": 1.0, "y": 1.0, "z": 1.0}


@pytest.mark.parametrize("foxglove", [False, True])
def test_edges_of_both_families(foxglove: bool) -> None:  # noqa: FBT001
    place = {"x": 1.0, "y": 2.0, "z": 3.0}
    turn = {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}
    moved = {"translation": place, "rotation": turn}
    edge: dict[str, Any] = {"header": header("map", 4), "child_frame_id": "base", "transform": moved}
    if foxglove:
        edge = {"timestamp": Stamp(4), "parent_frame_id": "map", "child_frame_id": "base", **moved}
    (found,) = edges_of({"transforms": [edge]})
    assert (found.frame, found.child, found.stamp_ns, found.xyz.tolist()) == (
        "map",
        "base",
        4,
        [1.0, 2.0, 3.0],
    )
    made = change_edges(edge, lambda e: e.turned(0.0, e.xyz + 1.0))
    assert made is not None
    assert next(edges_of(made)).xyz.tolist() == [2.0, 3.0, 4.0]
    assert change_edges({"transforms": [edge]}, lambda _: None) is None


def test_imu_orientations_turn_unless_they_are_unknown() -> None:
    rates = {"x": 0.1, "y": 0.2, "z": 0.3}
    turn = {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}
    covariance = np.diag([4.0, 1.0, 2.0]).ravel()
    imu = {
        "orientation": turn,
        "orientation_covariance": covariance,
        "angular_velocity": rates,
        "linear_acceleration": rates,
    }
    made = turn_imu(imu, np.pi / 2)
    assert made["orientation"]["z"] == pytest.approx(np.sqrt(0.5))
    assert np.diag(made["orientation_covariance"].reshape(3, 3)) == pytest.approx([1.0, 4.0, 2.0])
    assert made["angular_velocity"] == made["linear_acceleration"] == rates
    unknown = {**imu, "orientation_covariance": np.array([-1.0] + [0.0] * 8)}
    assert turn_imu(unknown, 1.0) is unknown
    none = {**imu, "orientation": dict.fromkeys("xyzw", 0.0)}
    assert turn_imu(none, 1.0) is none


def test_vectors_in_a_fixed_frame_turn() -> None:
    twist = {"header": header("map", 1), "twist": {"linear": {"x": 1.0, "y": 0.0, "z": 5.0}}}
    made = turn_vectors(twist, np.pi / 2)
    assert made["twist"]["linear"] == pytest.approx({"x": 0.0, "y": 1.0, "z": 5.0})
    assert made["header"] == twist["header"]
