"""Frames of CAN in containers: the rules of CAN logs, and a second look that shares nothing with them."""

import functools
from dataclasses import replace

import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from anonymize.containers.can_residual import scan_can_frames
from anonymize.containers.cleanse import cleanse_container
from anonymize.containers.container_pass import PassOutcome
from anonymize.containers.residual import scan_messages
from anonymize.containers.ros2_definitions import published_definition
from anonymize.containers.stream import Message
from anonymize.containers.unlink import unlink_container
from anonymize.errors import LimitExceededError, MalformedItemError, UnknownFormatError
from anonymize.finding import FindingKind
from anonymize.geo.zones import ZoneSet
from anonymize.profile import shipped_profile
from recorded_drive import BEGIN_S, Drive, Recorder, drive, opened, reopened, zones_around

PROFILE = shipped_profile("cn-2026").profile
DBC = b"""VERSION ""
BU_: ECU
BO_ 256 Chassis: 8 ECU
 SG_ Vehicle_Speed : 0|16@1+ (0.01,0) [0|655] "km/h" ECU
 SG_ Brake_Pressure : 16|12@1+ (1,0) [0|0] "bar" ECU
 SG_ Odometer : 32|24@1+ (1,0) [0|0] "km" ECU
BO_ 257 Place: 8 ECU
 SG_ GPS_Latitude : 0|32@1- (1E-7,0) [0|0] "deg" ECU
 SG_ GPS_Longitude : 32|32@1- (1E-7,0) [0|0] "deg" ECU
BO_ 258 Cabin: 4 ECU
 SG_ Door_Open : 0|4@1+ (1,0) [0|0] "" ECU
 SG_ Wiper_Mode : 4|4@1+ (1,0) [0|0] "" ECU
BO_ 259 Climate: 4 ECU
 SG_ Cabin_Temperature : 0|8@1+ (1,-40) [0|0] "C" ECU
 SG_ Altitude : 8|16@1+ (1,0) [0|0] "m" ECU
"""
SPEED, PLACE, CABIN, CLIMATE, UNKNOWN, ANSWER = 0x100, 0x101, 0x102, 0x103, 0x321, 0x456
SPEEDING = b"\xe0\x10\x05\x00" + (80_000).to_bytes(3, "little") + b"\0"
VIN = b"LSVNV2187E2100001"


def place(lat: float, lon: float) -> bytes:
    return b"".join(round(value * 1e7).to_bytes(4, "little", signed=True) for value in (lat, lon))


def treated(recorder: Recorder, **changes: object) -> tuple[list[Message], PassOutcome]:
    parts = {"zones": None, "reference": None, "profile": PROFILE, "dbc": DBC} | changes
    mcap = "ros1" if recorder.ros1 else "ros2"
    run = cleanse_container(
        opened(recorder.messages, mcap=mcap), images=lambda *_: None, text=lambda text: text, **parts
    )
    return list(reopened(run.chunks()).messages()), run.outcome()


@functools.cache
def types_of(definition: bytes) -> Typestore:
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(definition.decode(), "can_msgs/msg/Frame"))
    return store


def frames(messages: list[Message], *, ros1: bool) -> list[object]:
    """Frames as rosbags decodes them by the definition that went out."""
    found = []
    for message in messages:
        if message.channel.topic.startswith("/can"):
            store = types_of(message.channel.schema.data)
            read = store.deserialize_ros1 if ros1 else store.deserialize_cdr
            found.append(read(message.data, "can_msgs/msg/Frame"))
    return found


def contents(messages: list[Message], *, ros1: bool = False) -> list[tuple[int, bytes]]:
    return [(f.id, bytes(f.data[: f.dlc])) for f in frames(messages, ros1=ros1)]


@pytest.mark.parametrize("ros1", [False, True], ids=["ros2", "ros1"])
def test_frames_take_the_rules_of_can_logs(*, ros1: bool) -> None:
    recorder = Recorder(ros1=ros1)
    sent = [
        (SPEED, SPEEDING),
        (PLACE, place(39.9, 116.3)),
        (CABIN, b"\x21\0\0\0"),
        (CLIMATE, b"\x3e\x2b\0\0"),
        (UNKNOWN, b"\1\2\3"),
        (0x7E8, b"\x03\x41\x0d\x20"),
        (ANSWER, b"\x10\x14\x62\xf1\x90" + VIN[:3]),
        (ANSWER, b"\x21" + VIN[3:10]),
        (ANSWER, b"\x22" + VIN[10:]),
        # J1939 vehicle position, 29 bits.
        (0x18FEF300, place(39.9, 116.3)),
    ]
    for number, (identifier, data) in enumerate(sent):
        recorder.frame(BEGIN_S + number, identifier, data)
    messages, outcome = treated(recorder)
    assert contents(messages, ros1=ros1) == [
        (SPEED, SPEEDING[:4] + bytes(4)),
        (CABIN, b"\x21\0\0\0"),
        (CLIMATE, b"\x3e\0\0\0"),
    ]
    assert messages[1].data == recorder.messages[2].data
    told = outcome.facts["can"]
    assert (told["frames"], told["left"], told["unknown_ids"]) == (10, 3, 1)
    assert told["fates"] == {
        "diagnostics": 1, "kept": 1, "nothing_kept": 1, "position": 1, "redacted": 2, "unknown": 1, "vin": 3
    }  # fmt: skip
    assert outcome.facts["left_out"]["/can0"] == {
        "can diagnostics": 1, "can nothing_kept": 1, "can position": 1, "can unknown": 1, "can vin": 3
    }  # fmt: skip
    kinds = {(f.kind, getattr(f.where, "path", "")) for f in outcome.findings}
    assert (FindingKind.POSITION, "Place.GPS_Latitude") in kinds
    assert (FindingKind.ELEVATION, "Climate.Altitude") in kinds
    assert (FindingKind.VIN, "frames") in kinds
    done = {t.of: t.count for t in outcome.treatments}
    assert (done[FindingKind.VIN], done[FindingKind.ELEVATION]) == (3, 1)


def test_without_a_dbc_the_channel_goes_and_is_counted() -> None:
    recorder = Recorder()
    recorder.frame(BEGIN_S, CABIN, b"\x21\0\0\0")
    recorder.imu(BEGIN_S, 0.0)
    messages, outcome = treated(recorder, dbc=None)
    assert [m.channel.topic for m in messages] == ["/imu"]
    assert outcome.facts["left_out"] == {"/can0": {"no DBC": 1}}
    assert "can" not in outcome.facts
    assert (FindingKind.EMBEDDED_STREAM, "can") in {(f.kind, f.label) for f in outcome.findings}


def test_what_a_frame_does_not_have_becomes_zero() -> None:
    recorder = Recorder()
    recorder.frame(BEGIN_S, CABIN, b"\x21\0\0\0SECR", dlc=4)
    recorder.frame(BEGIN_S + 1, CABIN, b"SECRETS!", dlc=4, is_rtr=True)
    recorder.frame(BEGIN_S + 2, 0x20000004, b"SECRETS!", is_error=True, is_extended=True)
    messages, outcome = treated(recorder)
    made = frames(messages, ros1=False)
    assert [bytes(f.data) for f in made] == [b"\x21" + bytes(7), bytes(8), bytes(8)]
    assert [(f.id, f.dlc, f.is_rtr, f.is_error, f.is_extended) for f in made] == [
        (CABIN, 4, False, False, False),
        (CABIN, 4, True, False, False),
        (0, 0, False, True, False),
    ]
    (redacted,) = [t for t in outcome.treatments if t.of is FindingKind.UNLISTED_FIELD]
    assert redacted.count == 3


@pytest.mark.parametrize(
    ("identifier", "more", "expected"),
    [
        (0x800, {"is_extended": False}, "got 0x800, expected at most 0x7ff"),
        (0x20000000, {}, "got 0x20000000, expected at most 0x1fffffff"),
        (CABIN, {"dlc": 9}, "got 9 of 8 bytes"),
    ],
)
def test_an_impossible_frame_stops_the_container(identifier: int, more: dict, expected: str) -> None:
    recorder = Recorder()
    recorder.frame(BEGIN_S, CABIN, b"\x21\0\0\0")
    recorder.frame(BEGIN_S, identifier, b"\x21\0\0\0", **more)
    with pytest.raises(MalformedItemError, match=f"message 1 of topic '/can0': .*{expected}"):
        treated(recorder)


def test_limits_and_quarantine_of_unknown_frames_hold_as_in_logs() -> None:
    recorder = Recorder()
    recorder.frame(BEGIN_S, CABIN, b"\x21\0\0\0")
    recorder.frame(BEGIN_S, UNKNOWN, b"\1")
    with pytest.raises(LimitExceededError, match="expected at most 1"):
        treated(recorder, profile=replace(PROFILE, can=replace(PROFILE.can, max_frames=1)))
    strict = replace(PROFILE, can=replace(PROFILE.can, unknown_frame="quarantine"))
    with pytest.raises(UnknownFormatError, match="got 0x321"):
        treated(recorder, profile=strict)


def test_read_outs_are_followed_through_zones_and_on_each_topic_by_itself() -> None:
    made = drive()
    zones = ZoneSet.from_geojson(zones_around(float(made.track.lat[300]), float(made.track.lon[300]), 60.0))
    inside = zones.test(made.track.lat, made.track.lon).inside
    last = float(made.track.time_s[inside.nonzero()[0][-1]])
    recorder = Recorder()
    recorder.frame(last, CABIN, b"\x10\x14\x62\xf1\x90" + VIN[:3])
    # Read alone, this is what a cabin sends.
    recorder.frame(last + 30, CABIN, b"\x21\0\0\0", topic="/can1")
    recorder.frame(last + 30, CABIN, b"\x21" + VIN[3:10])
    messages, outcome = treated(recorder, zones=zones, reference=made.track)
    assert [m.channel.topic for m in messages] == ["/can1"]
    assert outcome.facts["left_out"]["/can0"] == {"zone": 1, "can vin": 1}
    assert outcome.facts["can"]["fates"] == {"kept": 1, "vin": 1}


@pytest.fixture(scope="module")
def driven() -> tuple[Drive, Recorder]:
    made = drive()
    recorder = made.recorder.more()
    for index in range(0, len(made.track), 2):
        time_s = float(made.track.time_s[index])
        lat, lon = float(made.track.lat[index]), float(made.track.lon[index])
        recorder.frame(time_s, SPEED, SPEEDING)
        recorder.frame(time_s + 0.01, PLACE, place(lat, lon))
    recorder.messages = [m for m in recorder.messages if "image" not in m.channel.topic]
    recorder.messages.sort(key=lambda message: message.log_time_ns)
    return made, recorder


@pytest.mark.parametrize("mode", ["LOCAL", "OFFSET"])
def test_frames_leave_within_clips_or_spans(driven: tuple[Drive, Recorder], mode: str) -> None:
    made, recorder = driven
    messages, _ = treated(recorder, reference=made.track)
    assert {identifier for identifier, _ in contents(messages)} == {SPEED}
    parts = {
        "mode": mode,
        "key": b"k" * 32,
        "context": b"c",
        "reference": made.track,
        "profile": PROFILE,
    }
    run = unlink_container(opened(messages), **parts, can=True)
    out = reopened(run.chunks())
    released = list(out.messages())
    kept = contents(released)
    assert 0 < len(kept) < len(contents(messages))
    assert set(kept) == {(SPEED, SPEEDING[:4] + bytes(4))}
    assert [m.sequence for m in released if m.channel.topic == "/can0"][:3] == [0, 1, 2]
    for message, frame in zip(
        [m for m in released if m.channel.topic == "/can0"], frames(released, ros1=False), strict=True
    ):
        stamp = frame.header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == message.log_time_ns
        assert abs(message.log_time_ns / 1e9 - BEGIN_S) > 30 * 86400
    assert scan_can_frames(out, dbc=DBC, profile=PROFILE, track=made.track).residual == ()
    looked = scan_messages(out, mode=mode, reference=made.track, profile=PROFILE, can=True)
    assert [f for f in looked.residual if getattr(f.where, "path", "") == "/can0"] == []
    # A container whose first pass had no DBC: frames go, and the scan would not let them pass.
    without = reopened(unlink_container(opened(messages), **parts).chunks())
    assert "/can0" not in {m.channel.topic for m in without.messages()}
    assert "channel to can" in {
        f.label for f in scan_messages(out, mode=mode, reference=made.track, profile=PROFILE).residual
    }


def found_in(recorder: Recorder, track: object = None, dbc: bytes | None = DBC) -> set[tuple[str, str]]:
    report = scan_can_frames(opened(recorder.messages), dbc=dbc, profile=PROFILE, track=track)
    return {(f.where.path, f.label) for f in report.residual}


def test_the_second_look_finds_what_must_not_leave() -> None:
    made = drive()
    lat, lon = float(made.track.lat[10]), float(made.track.lon[10])
    recorder = Recorder()
    recorder.frame(BEGIN_S, SPEED, SPEEDING[:4] + bytes(4))
    assert found_in(recorder, made.track) == set()
    assert found_in(recorder, made.track, dbc=None) == {("/can0", "frames without a DBC")}
    for identifier, data, more, expected in (
        (SPEED, SPEEDING, {}, "dropped signal"),
        (UNKNOWN, b"\1", {}, "no DBC describes it"),
        (0x7E8, b"\1", {}, "identifier"),
        (CABIN, b"\x21\1\0\0", {}, "undescribed bits"),
        (CABIN, b"\x21\0\0\0\1", {"dlc": 4}, "not as frames are written"),
        (CABIN, b"\x21", {"dlc": 4, "is_rtr": True}, "not as frames are written"),
        (0, b"\1", {"dlc": 0, "is_error": True}, "not as frames are written"),
        (4, b"", {"is_error": True}, "not as frames are written"),
    ):
        more_frames = recorder.more()
        more_frames.frame(BEGIN_S, identifier, data, topic="/can1", **more)
        assert ("/can1 frame 0", expected) in found_in(more_frames), expected
    near = recorder.more()
    near.frame(BEGIN_S, PLACE, place(lat, lon))
    assert "near the true track" in {label for _, label in found_in(near, made.track)}


def test_a_bag_without_definitions_takes_the_one_form_of_a_frame() -> None:
    text = published_definition("can_msgs/msg/Frame", "humble").decode()
    assert published_definition("can_msgs/msg/Frame", "unknown").decode()
    types = get_types_from_msg(text, "can_msgs/msg/Frame")
    assert [name for name, _ in types["can_msgs/msg/Frame"][1]] == [
        "header", "id", "is_rtr", "is_extended", "is_error", "dlc", "data"
    ]  # fmt: skip
