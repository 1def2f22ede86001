"""The readers of each format alone: what the gate's writers write, and what is damaged."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anonymize.containers.mcap_writer import write_mcap
from anonymize.formats.csv_track import write_csv_track
from anonymize.formats.gpx import write_gpx
from anonymize.formats.track import Track
from anonymize.geo.ellipsoid import from_enu
from pipeline.mining.errors import SignalFileError, UnreadableItemError
from pipeline.mining.motion import completed, metres
from pipeline.mining.read_can import can_samples, read_can_log
from pipeline.mining.read_mcap import read_mcap
from pipeline.mining.read_tracks import read_csv, read_gpx
from pipeline.mining.sampling import Samples, sampled
from pipeline.mining.signal_file import read_signal_file
from pipeline.mining.signals import Clip, signal_table
from pipeline.mining.trigger_file import shipped_triggers
from pipeline.mining.triggers import find_events
from recorded_drive import Recorder

NAMES: dict[str, Any] = {"release": "rel-a", "item": "a.csv"}
CLIP = Clip(release="rel-a", item="a.csv", number=0)
BEGIN_S = 1_790_000_000.0


def circle(seconds: int = 60, radius_m: float = 50.0, speed_mps: float = 10.0) -> Track:
    """Left turns at 10 Hz about a point, in two segments."""
    t = np.arange(seconds * 10) / 10.0
    angle = t * speed_mps / radius_m
    places = [
        from_enu(float(x), float(y), 39.9, 116.3)
        for x, y in zip(radius_m * np.cos(angle), radius_m * np.sin(angle), strict=True)
    ]
    return Track(
        lat=np.array([float(lat) for lat, _ in places]),
        lon=np.array([float(lon) for _, lon in places]),
        time_s=BEGIN_S + t,
        elevation_m=np.full(len(t), np.nan),
        speed_mps=np.full(len(t), speed_mps),
        segment=(t >= 30.0).astype(np.int32),
        crs="EPSG:4326",
    )


@pytest.mark.parametrize("form", ["csv", "gpx"])
def test_a_displaced_track_has_speed_and_turning(form: str):
    track = circle()
    table = (
        read_csv(write_csv_track(track), **NAMES) if form == "csv" else read_gpx(write_gpx(track), **NAMES)
    )

    assert table is not None
    assert [clip.number for clip in table.clips] == [0, 1]
    assert len(table) == 600
    inner = slice(3, 297)
    assert table.columns["t_s"][[0, 299, 300]] == pytest.approx([0.0, 29.9, 0.0], abs=1e-6)
    assert table.columns["speed_mps"][inner] == pytest.approx(10.0, rel=0.02)
    assert table.columns["yaw_rate_rps"][inner] == pytest.approx(0.2, rel=0.03)
    assert table.columns["lateral_accel_mps2"][inner] == pytest.approx(2.0, rel=0.05)
    assert np.abs(table.columns["accel_mps2"][2:298]).max() < 0.2


def test_metres_are_those_of_the_geodesic():
    lat, lon = from_enu(1500.0, -800.0, 39.9, 116.3)
    east, north = metres(np.array([39.9, float(lat)]), np.array([116.3, float(lon)]))
    assert (east[1], north[1]) == (pytest.approx(1500.0, rel=3e-4), pytest.approx(-800.0, rel=3e-4))
    across, _ = metres(np.array([0.0, 0.0]), np.array([179.9999, -179.9999]))
    assert across[1] == pytest.approx(22.26, abs=0.1)


def test_a_gps_record_in_a_clip_keeps_what_its_receiver_measured():
    header = "clip,t_s,x_m,y_m,z_m,roll,pitch,yaw,vx,vy,vf,vl,vu,ax,ay,az,af,al,au,wx,wy,wz,wf,wl,wu"
    rows = [f"4,{i / 10},{i},0,0,0,0,0,10,0,10,0,0,0,0,0,-5,1.5,0,0,0,0,0,0,0.3" for i in range(5)]
    table = read_csv("\n".join([header, *rows, ""]).encode(), **NAMES)

    assert table is not None
    assert table.clips == (Clip(release="rel-a", item="a.csv", number=4),)
    for name, value in (("accel_mps2", -5.0), ("lateral_accel_mps2", 1.5), ("yaw_rate_rps", 0.3)):
        assert table.columns[name].tolist() == [value] * 5


@pytest.mark.parametrize(
    "content", [b"", b"name,colour\nbridge,red\n", b"\xff\xfe", b'"', b"clip,t_s\n0,0\n"], ids=repr
)
def test_a_table_that_is_no_track_is_none(content: bytes):
    assert read_csv(content, **NAMES) is None


DAMAGED = {
    "a cell": (b"clip,t_s,x_m,y_m\n0,0.0,fast,1\n", "fast"),
    "a row": (b"clip,t_s,x_m,y_m\n0,0.0,1\n", "3 cells"),
    "a column twice": (b"clip,t_s,x_m,y_m,x_m\n0,0,0,0,0\n", "twice"),
    "a time": (b"lat,lon,time,segment\n1,2,yesterday,0\n", "yesterday"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_track_is_named(case: str):
    content, match = DAMAGED[case]
    with pytest.raises(UnreadableItemError, match=match):
        read_csv(content, **NAMES)


@pytest.mark.parametrize("content", [b"", b"<gpx", b"\xff", b"<html/>"], ids=repr)
def test_what_is_no_gpx_is_named(content: bytes):
    with pytest.raises(UnreadableItemError, match=r"a\.csv"):
        read_gpx(content, **NAMES)


def test_a_track_of_one_fix_or_standing_time_has_no_slopes():
    one = completed({"t_s": np.array([0.0]), "x_m": np.array([1.0]), "y_m": np.array([1.0])})
    assert set(one) == {"t_s", "x_m", "y_m"}
    still = completed({"t_s": np.zeros(3), "x_m": np.arange(3.0), "y_m": np.zeros(3)})
    assert np.isnan(still["speed_mps"]).all()


def test_absent_speeds_make_absent_slopes_around_them_only():
    speed = np.array([1.0, 2.0, np.nan, 4.0, 5.0, 6.0])
    made = completed({"t_s": np.arange(6.0), "speed_mps": speed})
    assert np.isfinite(made["accel_mps2"]).tolist() == [True, False, True, False, True, True]


def test_jitter_of_times_is_no_braking():
    rng = np.random.default_rng(2)
    even = np.arange(2000) / 83.0
    t = np.sort(even + rng.uniform(-0.005, 0.005, len(even)))
    made = completed({"t_s": t, "speed_mps": 30.0 - 1.0 * even})
    assert made["accel_mps2"][20:-20] == pytest.approx(-1.0, abs=0.12)


def test_a_real_minute_of_calm_driving_has_no_hard_braking(shared_data: Path):
    """The positions of the same minute, another sensor, never show less than −2.6 m/s²."""
    (folder,) = (shared_data / "formats" / "comma2k19").glob("*/*/*/processed_log/CAN/speed")
    t, speed = np.load(folder / "t"), np.load(folder / "value").ravel()
    made = completed({"t_s": t - t[0], "speed_mps": speed})
    mined = find_events(signal_table(CLIP, made), shipped_triggers(), only=["hard_brake"])
    assert mined.coverage["hard_brake"].rows > 4900
    assert mined.events == ()
    assert -3.5 < made["accel_mps2"].min() < -2.0


def test_signals_of_different_rates_share_the_rows_of_the_densest():
    fast, slow = Samples(), Samples()
    for i in range(20):
        fast.add(i / 10, float(i))
    for t in (0.0, 0.3, 1.5):
        slow.add(t, t)
    table = sampled(CLIP, {"speed_mps": fast, "gap_m": slow})

    assert table.columns["t_s"].tolist() == [i / 10 for i in range(20)]
    held = table.columns["gap_m"]
    assert held[:9].tolist() == [0.0, 0.0, 0.0, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]
    assert np.isnan(held[9:15]).all()
    assert held[15:].tolist() == [1.5] * 5
    assert len(sampled(CLIP, {})) == 0


DBC = b"""VERSION ""
BU_: ECU
BO_ 256 Chassis: 8 ECU
 SG_ Speed : 0|16@1+ (0.01,0) [0|655] "km/h" ECU
 SG_ Gap : 16|16@1+ (0.01,0) [0|655.35] "m" ECU
"""
FILE = b"""\
format: fleetgate-signals
version: 1
can:
  speed_mps: {message: Chassis, signal: Speed, factor: 0.2777777777777778}
  gap_m: {message: Chassis, signal: Gap, absent: [655.35]}
"""


def test_values_are_scaled_and_marked_absent():
    signals = read_signal_file(FILE, DBC)
    frames = [
        (0.0, 0x100, False, (3600).to_bytes(2, "little") + (1250).to_bytes(2, "little") + bytes(4)),
        (0.1, 0x100, False, (7200).to_bytes(2, "little") + b"\xff\xff" + bytes(4)),
        (0.1, 0x100, True, bytes(8)),
        (0.1, 0x101, False, bytes(8)),
    ]
    found = can_samples(frames, signals, item="bus.asc")

    assert found["speed_mps"].values == pytest.approx([10.0, 20.0])
    assert found["gap_m"].values[0] == 12.5
    assert np.isnan(found["gap_m"].values[1])


def test_a_frame_that_is_too_short_is_named():
    signals = read_signal_file(FILE, DBC)
    with pytest.raises(UnreadableItemError, match="Chassis"):
        can_samples([(1.25, 0x100, False, b"\x01")], signals, item="bus.asc")


BAD_FILES = {
    "not YAML": (FILE, b"[", "YAML"),
    "a column": (b"gap_m", b"gap", "gap"),
    "a message": (b"message: Chassis, signal: Gap", b"message: Ahead, signal: Gap", "no message 'Ahead'"),
    "a signal": (b"signal: Gap", b"signal: Distance", "no signal 'Distance'"),
    "a member": (b"absent", b"missing", "missing"),
    "a factor": (b"factor: 0.2777777777777778", b"factor: .nan", "can.speed_mps.factor"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_of_signals_is_named(case: str):
    old, new, match = BAD_FILES[case]
    with pytest.raises(SignalFileError, match=match):
        read_signal_file(FILE.replace(old, new, 1), DBC)


@pytest.mark.parametrize("dbc", [b"BO_ nothing", b"\xff\xfe"], ids=repr)
def test_a_bad_dbc_is_named(dbc: bytes):
    with pytest.raises(SignalFileError, match="DBC"):
        read_signal_file(FILE, dbc)


@pytest.mark.parametrize("kind", ["asc", "blf"])
def test_what_is_no_log_is_named(kind: str):
    with pytest.raises(UnreadableItemError, match=r"a\.csv"):
        read_can_log(b"\xff\x00nothing", kind, read_signal_file(FILE, DBC), stride_s=None, **NAMES)


def test_frames_of_buses_in_a_recording_are_read_and_others_told():
    recorder = Recorder()
    for i in range(5):
        recorder.frame(
            100.0 + i / 10, 0x100, (3600).to_bytes(2, "little") + (900).to_bytes(2, "little") + bytes(4)
        )
        recorder.fix(100.0 + i / 10, 1.0, 2.0, 3.0)
    content = b"".join(write_mcap(recorder.messages, profile="ros2", chunk_bytes=1 << 16))

    read = read_mcap(io.BytesIO(content), read_signal_file(FILE, DBC), **NAMES)
    assert read.table.columns["speed_mps"] == pytest.approx(10.0)
    assert read.table.columns["gap_m"] == pytest.approx(9.0)
    assert read.table.columns["t_s"][-1] == pytest.approx(0.4)
    assert read.passed_over == {"/gnss/fix": "sensor_msgs/NavSatFix"}
    without = read_mcap(io.BytesIO(content), None, **NAMES)
    assert len(without.table) == 0
    assert set(without.passed_over) == {"/can0", "/gnss/fix"}


def test_a_recording_of_ros_1_is_read():
    recorder = Recorder(ros1=True)
    for i in range(5):
        recorder.twist("/twist", "base_link", 100.0 + i / 10, 7.0)
    content = b"".join(write_mcap(recorder.messages, profile="ros1", chunk_bytes=1 << 16))

    read = read_mcap(io.BytesIO(content), None, **NAMES)
    assert read.table.columns["speed_mps"].tolist() == [7.0] * 5
    assert read.sources["speed_mps"] == "/twist"


@pytest.mark.parametrize("harm", ["cut", "no magic", "garbled message"])
def test_a_damaged_recording_is_named(harm: str):
    recorder = Recorder()
    recorder.imu(100.0, 0.0)
    if harm == "garbled message":
        recorder.messages[0] = type(recorder.messages[0])(
            **{
                name: getattr(recorder.messages[0], name)
                for name in ("channel", "log_time_ns", "publish_time_ns", "sequence")
            },
            data=recorder.messages[0].data[:20],
        )
    content = b"".join(write_mcap(recorder.messages, profile="ros2", chunk_bytes=1 << 16))
    content = {"cut": content[: len(content) // 2], "no magic": b"x" + content}.get(harm, content)
    with pytest.raises(UnreadableItemError, match=r"a\.csv"):
        read_mcap(io.BytesIO(content), None, **NAMES)
