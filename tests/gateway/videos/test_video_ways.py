"""Videos that state their own way in GPMF telemetry, made by FFmpeg's muxer, against zones along it."""

import io
import json
import struct
from collections.abc import Sequence
from datetime import timedelta
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from gateway.flow.cleanse import load_cleansed, open_treated
from gateway.flow.dossier import recording_summary
from gateway.flow.gate import Gate
from gateway.flow.recording import Cleansed
from gateway.vehicles.cameras import Camera
from simulators import ORIGIN, START, House, cleanse, png, route, zone_file

E7 = 10_000_000


def klv(key: str, kind: str, size: int, content: bytes) -> bytes:
    head = key.encode() + (kind.encode() or b"\x00") + struct.pack(">BH", size, len(content) // size)
    return head + content + b"\x00" * (-len(content) % 4)


def gps9(fixes: Sequence[tuple[float, float]], second: int) -> bytes:
    """Fixes of one second, with their times since ``START``."""
    days, seconds = divmod((START + timedelta(seconds=second)).timestamp() - 946_684_800.0, 86_400.0)
    rows = b"".join(
        struct.pack(
            ">7l2H", round(lat * E7), round(lon * E7), 43_500, 12_000, 1200, int(days),
            round((seconds + i / len(fixes)) * 1000), 150, 3,
        )
        for i, (lat, lon) in enumerate(fixes)
    )  # fmt: skip
    scale = klv("SCAL", "l", 4, struct.pack(">9l", E7, E7, 1000, 1000, 100, 1, 1000, 100, 1))
    stream = klv("TYPE", "c", 1, b"lllllllSS") + scale + klv("GPS9", "?", 32, rows)
    return klv("DEVC", "", 1, klv("STRM", "", 1, stream))


def camera(seconds: int, *, place: str | None = None) -> bytes:
    """A video of one frame a second, and two fixes a second along ``route``."""
    lats, lons = route()
    dx = lons[1] - lons[0]
    gradient = np.linspace(60, 180, 128, dtype=np.uint8)[None, :, None].repeat(96, 0).repeat(3, 2)
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        if place:
            container.metadata["location"] = place
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        telemetry = container.add_data_stream("bin_data")
        for number in range(seconds):
            picture = av.VideoFrame.from_ndarray(np.roll(gradient, number, axis=1), format="rgb24")
            container.mux(stream.encode(picture))
            fixes = [(lats[number], lons[number]), (lats[number], lons[number] + dx / 2.0)]
            packet = av.Packet(gps9(fixes, number))
            packet.stream, packet.time_base = telemetry, Fraction(1, 1000)
            packet.pts = packet.dts = 1000 * number
            packet.duration = 1000
            container.mux(packet)
        container.mux(stream.encode(None))
    return out.getvalue()


def beside(second: int) -> bytes:
    """A zone north of the way: margin (50 m) and the camera's reach (110 m) touch it at one second."""
    lats, lons = route()
    return zone_file(("MIL", lats[second] + 200 / 111_320, lons[second], 45.0))


def treated_of(gate: Gate, recording: str, name: str) -> Cleansed:
    item = next(each for each in recording_summary(gate, recording)["items"] if each["name"] == name)
    with gate.database.read() as session:
        return load_cleansed(gate, session, item["item"])


def fate(gate: Gate, recording: str, name: str) -> tuple[str, str | None]:
    items = recording_summary(gate, recording)["items"]
    item = next(each for each in items if each["name"] == name)
    return item["state"], item.get("reason")


def times_left(gate: Gate, recording: str, name: str) -> list[float]:
    with av.open(open_treated(gate, treated_of(gate, recording, name))) as container:
        return [float(frame.time) for frame in container.decode(video=0)]


def test_telemetry_alone_says_which_seconds_are_cut(sqlite_house: House):
    with sqlite_house.opened() as gate:
        sqlite_house.furnish(gate, zones=beside(30))
        recording = cleanse(gate, {"own.mp4": camera(60)})
        assert fate(gate, recording, "own.mp4") == ("cleansed", None)
        times = times_left(gate, recording, "own.mp4")
        payload = treated_of(gate, recording, "own.mp4").payload
    assert set(range(24, 37)).isdisjoint(times)
    assert set(times) >= {*range(17), *range(44, 60)}
    assert payload["zone_check"] == "tested"
    assert payload["facts"]["zone_area"] == "disc"
    assert (payload["tags"], payload["facts"]["cut_frames"]) == (["MIL"], 60 - len(times))
    (cut,) = (t for t in payload["treatments"] if t["of"] == "restricted_zone")
    assert (cut["kind"], cut["count"]) == ("cut", 60 - len(times))
    assert cut["parameters"]["zone_file_version"] == 1
    zone = [f for f in payload["findings"] if f["kind"] == "restricted_zone"]
    assert [(f["label"], f["where"]["type"]) for f in zone] == [("MIL", "IndexSpan")]
    document = json.dumps(payload)
    assert str(ORIGIN[0])[:6] not in document
    assert str(ORIGIN[1])[:6] not in document


def test_a_described_camera_is_cut_where_it_looks_at_the_zone(sqlite_house: House):
    """Two videos of one drive, the zone north of it: one camera looks north, one south; evidence says so."""
    described = {"left.mp4": 270.0, "right.mp4": 90.0}
    cameras = tuple(
        Camera(items=name, fov_deg=70.0, yaw_deg=yaw, heading_error_deg=2.0, offset_m=0.0)
        for name, yaw in described.items()
    )
    with sqlite_house.opened() as gate:
        sqlite_house.furnish(gate, zones=beside(30))
        recording = cleanse(gate, dict.fromkeys(described, camera(60)), cameras=cameras)
        left, right = (times_left(gate, recording, name) for name in described)
        payloads = [treated_of(gate, recording, name).payload for name in described]
    assert set(range(28, 33)).isdisjoint(left)
    assert right == list(range(60))
    for payload, yaw in zip(payloads, described.values(), strict=True):
        assert (payload["zone_check"], payload["facts"]["zone_area"]) == ("tested", "sector")
        assert payload["facts"]["camera"]["yaw_deg"] == yaw
    assert (payloads[0]["tags"], payloads[1]["tags"]) == (["MIL"], [])


def test_a_place_stated_for_the_file_counts_for_its_first_frame(sqlite_house: House):
    """The camera starts inside the zone's reach, states that place once more in the container, and drives away."""
    place = f"{ORIGIN[0]:+08.4f}{ORIGIN[1]:+09.4f}/"
    with sqlite_house.opened() as gate:
        sqlite_house.furnish(gate, zones=beside(0))
        recording = cleanse(gate, {"own.mp4": camera(40, place=place)})
        times = times_left(gate, recording, "own.mp4")
    assert times == list(range(int(times[0]), 40))
    assert 6 <= times[0] <= 15


def test_the_way_of_a_video_places_the_other_items_of_its_recording(sqlite_house: House):
    """A picture without a position, taken during the video, lies in a zone that the video's way tells of."""
    with sqlite_house.opened() as gate:
        sqlite_house.furnish(gate, zones=beside(30))
        files = {"own.mp4": camera(60), "near.png": png(), "far.png": png(seed=1)}
        captured = {"near.png": START + timedelta(seconds=30), "far.png": START + timedelta(seconds=5)}
        recording = cleanse(gate, files, captured=captured)
        assert fate(gate, recording, "near.png") == ("cut", None)
        assert fate(gate, recording, "far.png") == ("cleansed", None)


def test_a_real_camera_is_cut_along_its_own_way(sqlite_house: House, shared_data: Path):
    """A zone about the first fix of a camera that hardly moves covers all of it."""
    content = (shared_data / "media" / "video_gnss" / "hero5-trimmed.mp4").read_bytes()
    near = zone_file(("MIL", 33.1265, -117.3274, 20.0))
    with sqlite_house.opened() as gate:
        sqlite_house.furnish(gate, zones=near)
        assert fate(gate, cleanse(gate, {"hero.mp4": content}), "hero.mp4") == ("cut", None)


def test_a_video_that_states_its_way_is_held_where_its_system_is_unsure(sqlite_house: House) -> None:
    """GPMF is WGS-84 by its definition, and in China often enough GCJ-02: the manifest's."""
    with sqlite_house.opened() as gate:
        sqlite_house.furnish(gate, zones=beside(40))
        recording = cleanse(gate, {"drive.mp4": camera(2)}, captured={}, crs="GCJ-02")
        (item,) = recording_summary(gate, recording)["items"]
    assert (item["state"], item["reason"]) == ("held", "unknown_crs")
    assert "GCJ-02" in item["detail"]
