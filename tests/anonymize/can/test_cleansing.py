"""The first pass: what survives of each frame, and what the evidence says."""

import io
import tracemalloc
from dataclasses import replace
from pathlib import Path

import cantools
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.can.cleanse import cleanse_can
from anonymize.can.database import load_database
from anonymize.can.evidence import Tally, findings_of, tells_a_track
from anonymize.can.frame import Frame
from anonymize.can.rules import Fate, FrameRules, SignalPlan
from anonymize.errors import LimitExceededError, MalformedItemError, ProfileError, UnknownFormatError
from anonymize.finding import FindingKind
from anonymize.profile import SignalRule


def frame(identifier: int, data: bytes = b"", *, extended: bool | None = None, **more) -> Frame:
    is_extended = identifier > 0x7FF if extended is None else extended
    fields = {"time_ns": 0, "channel": 1, "id": identifier, "extended": is_extended, "data": data}
    return Frame(**fields | {"length": len(data)} | more)


@pytest.fixture
def frame_rules(kit, rules) -> FrameRules:
    return FrameRules(load_database(kit.DBC), rules)


def test_dropped_signals_become_raw_zero_and_the_others_keep_their_bits(kit, frame_rules):
    data = bytes([0x0B, 0x40, 0x34, 0x02, 0x80, 0x38, 0x01, 0x00])
    fate, kept = frame_rules.treat(frame(kit.SPEED, data))
    assert fate is Fate.REDACTED
    decoder = cantools.database.load_string(kit.DBC.decode(), "dbc")
    before, after = (decoder.decode_message(kit.SPEED, d, scaling=False) for d in (data, kept.data))
    assert before["Odometer"] == 80_000
    assert after == before | {"Odometer": 0}


def test_frames_of_which_every_signal_is_kept_stay_byte_identical(kit, frame_rules):
    sent = frame(kit.CABIN, b"\x21\x00\x00\x00")
    assert frame_rules.treat(sent) == (Fate.KEPT, sent)


def test_frames_that_only_tell_a_place_or_a_vin_go(kit, frame_rules):
    assert frame_rules.treat(frame(kit.PLACE, bytes(range(8)))) == (Fate.NOTHING_KEPT, None)
    assert frame_rules.treat(frame(kit.VIN, b"\x00LVSHFFA")) == (Fate.NOTHING_KEPT, None)


def test_a_multiplexer_decides_which_signals_are_there(kit, frame_rules):
    assert frame_rules.treat(frame(kit.CLIMATE, b"\x00\x50\0\0\0\0\0\0"))[0] is Fate.KEPT
    fate, kept = frame_rules.treat(frame(kit.CLIMATE, b"\x01\x50\xaa\xbb\0\0\0\0"))
    assert (fate, kept.data) == (Fate.REDACTED, b"\x01\x50\0\0\0\0\0\0")
    # With page 0 the same bytes are no signal's; with page 3 nothing is known.
    fate, kept = frame_rules.treat(frame(kit.CLIMATE, b"\x00\x50\xaa\xbb\0\0\0\0"))
    assert (fate, kept.data) == (Fate.REDACTED, b"\x00\x50\0\0\0\0\0\0")
    assert frame_rules.treat(frame(kit.CLIMATE, b"\x03\x50\xaa\xbb\0\0\0\0")) == (Fate.NOTHING_KEPT, None)


@pytest.mark.parametrize("padding", [0x00, 0xFF, 0x55, 0xAA, 0xCC])
def test_padding_is_no_signal(kit, frame_rules, padding):
    assert frame_rules.treat(frame(kit.CABIN, bytes([0x21, padding, padding, padding])))[0] is Fate.KEPT


def test_bits_of_no_signal_go_but_where_the_profile_keeps_unknown_signals(kit, rules, frame_rules):
    sent = frame(kit.CABIN, b"\x21\x12\x34\x56")
    assert frame_rules.treat(sent)[1].data == b"\x21\0\0\0"
    keeping = FrameRules(load_database(kit.DBC), replace(rules, unknown_signal="keep"))
    assert keeping.treat(sent) == (Fate.KEPT, sent)


def test_long_frames_and_frames_shorter_than_described_are_treated(kit, frame_rules):
    sent = frame(kit.MIXED, b"\x10\x20" + bytes(60) + b"\x5a\x01", fd=True)
    assert frame_rules.treat(sent)[1].data == b"\x10\x20" + bytes(62)
    assert frame_rules.treat(frame(kit.SPEED, b"\x0b\x40\x34\x02"))[0] is Fate.KEPT
    assert frame_rules.treat(frame(kit.SPEED, b""))[0] is Fate.NOTHING_KEPT


def test_j1939_messages_count_whatever_their_source(frame_rules):
    for source in (0x00, 0x27):
        sent = frame(0x0CF00400 | source, bytes([255, 255, 130, 0x40, 0x1F, 255, 255, 255]))
        assert frame_rules.treat(sent) == (Fate.KEPT, sent)


ALWAYS = {
    "an OBD request": (frame(0x7DF, b"\x02\x09\x02"), Fate.DIAGNOSTICS),
    "an OBD answer": (frame(0x7E8, b"\x10\x14\x49\x02\x01LVS"), Fate.DIAGNOSTICS),
    "a UDS answer": (frame(0x7EF, b"\x10\x14\x62\xf1\x90LVS"), Fate.DIAGNOSTICS),
    "UDS of 29 bits": (frame(0x18DAF110, b"\x10\x14\x62\xf1\x90LVS"), Fate.DIAGNOSTICS),
    "functional UDS of 29 bits": (frame(0x18DB33F1, b"\x02\x09\x02"), Fate.DIAGNOSTICS),
    "vehicle identification": (frame(0x18FEEC00, b"LVSHFFAC"), Fate.VIN),
    "component identification": (frame(0x18FEEB00, b"MAKE*MOD"), Fate.COMPONENT),
    "the driver's card": (frame(0x18FE6B00, bytes(8)), Fate.DRIVER),
    "vehicle position": (frame(0x18FEF300, bytes(8)), Fate.POSITION),
    "vehicle direction and speed": (frame(0x18FEE800, bytes(8)), Fate.POSITION),
    "time and date": (frame(0x18FEE600, bytes(8)), Fate.DATE),
    "vehicle distance": (frame(0x18FEE000, bytes(8)), Fate.DISTANCE),
    "a connection of the transport protocol": (frame(0x1CECFF00, bytes(8)), Fate.TRANSPORT),
    "data of the transport protocol": (frame(0x1CEBFF00, bytes(8)), Fate.TRANSPORT),
    "an NMEA 2000 position": (frame(0x09F80100, bytes(8)), Fate.POSITION),
    "an NMEA 2000 course": (frame(0x09F80200, bytes(8)), Fate.POSITION),
    "an NMEA 2000 GNSS position": (frame(0x0DF80500, bytes(8)), Fate.POSITION),
}


@pytest.mark.parametrize(("sent", "fate"), ALWAYS.values(), ids=ALWAYS)
def test_some_identifiers_go_even_where_a_dbc_describes_them(rules, sent, fate):
    number = sent.id | (0x80000000 if sent.extended else 0)
    dbc = f'VERSION ""\nBU_: E\nBO_ {number} Harmless: 8 E\n SG_ Door : 0|64@1+ (1,0) [0|0] "" E\n'.encode()
    everything = replace(rules, signals=(SignalRule(signal="*", treat="keep"),))
    assert FrameRules(load_database(dbc), everything).treat(sent) == (fate, None)


@pytest.mark.parametrize("answer", [b"\x62\xf1\x90", b"\x49\x02\x01"])
def test_a_vin_is_followed_over_its_frames_on_any_identifier(kit, rules, answer):
    everything = replace(rules, signals=(SignalRule(signal="*", treat="keep"),), unknown_signal="keep")
    over = FrameRules(load_database(kit.DBC), everything)
    sent = [
        frame(kit.SPEED, b"\x10\x14" + answer + b"LVS"),
        frame(kit.CABIN, b"\x21\x00\x00\x00"),
        frame(kit.SPEED, b"\x21HFFAC9G"),
        frame(kit.SPEED, b"\x22F123456"),
        frame(kit.SPEED, b"\x23harmles"),
    ]
    fates = [over.treat(f)[0] for f in sent]
    assert fates == [Fate.VIN, Fate.KEPT, Fate.VIN, Fate.VIN, Fate.KEPT]
    assert over.treat(frame(kit.SPEED, b"\x00\x14" + answer + b"LVSHFFAC9GF123456\0", fd=True))[0] is Fate.VIN


def test_error_frames_stay_and_remote_frames_where_something_of_the_message_does(kit, frame_rules):
    assert frame_rules.treat(frame(0, error=True))[0] is Fate.KEPT
    assert frame_rules.treat(frame(kit.CABIN, remote=True, length=4))[0] is Fate.KEPT
    assert frame_rules.treat(frame(kit.PLACE, remote=True, length=8))[0] is Fate.NOTHING_KEPT
    assert frame_rules.treat(frame(0x333, remote=True, length=8))[0] is Fate.UNKNOWN


def test_rules_are_taken_in_order_and_match_message_and_signal_in_any_case(kit, rules):
    ordered = replace(
        rules,
        signals=(
            SignalRule(message="cab*", signal="door_open", treat="drop"),
            SignalRule(signal="*open", treat="keep"),
        ),
    )
    assert FrameRules(load_database(kit.DBC), ordered).treat(frame(kit.CABIN, b"\x21\0\0\0")) == (
        Fate.NOTHING_KEPT,
        None,
    )


@settings(max_examples=150, deadline=None)
@given(
    identifier=st.sampled_from([0x100, 0x101, 0x102, 0x103, 0x104, 0x105]),
    data=st.binary(min_size=8, max_size=8),
)
def test_no_bit_is_ever_set_and_no_kept_signal_changes(kit, rules, identifier, data):
    _, kept = FrameRules(load_database(kit.DBC), rules).treat(frame(identifier, data))
    if kept is None:
        return
    assert all(after & ~before == 0 for before, after in zip(data, kept.data, strict=True))
    decoder = cantools.database.load_string(kit.DBC.decode(), "dbc").get_message_by_frame_id(identifier)
    before, after = (decoder.decode(d, scaling=False, allow_truncated=True) for d in (data, kept.data))
    for name, value in after.items():
        assert value == (0 if name in {"Odometer", "GPS_Altitude", "Heading"} else before[name])


def test_a_drive_is_cleansed_whole(kit, rules, track, kind):
    source = kit.log(kind, kit.car(track))
    treated = cleanse_can(source, kind, dbc=kit.DBC, spans_to_cut=(), profile=rules, start_s=kit.T0)
    content = b"".join(treated.chunks)
    found = kit.read(content, kind)
    original = kit.read(source.getvalue(), kind)
    kept = [f for f in original if f.id in {kit.SPEED, kit.CABIN}]
    assert [(f.id, f.data[:3], f.time_ns // 1000) for f in found] == [
        (f.id, f.data[:3], (f.time_ns + 500) // 1000 if kind == "asc" else f.time_ns // 1000) for f in kept
    ]
    assert all(f.data[4:7] == b"\0\0\0" for f in found if f.id == kit.SPEED)
    assert [f.data for f in found if f.id == kit.CABIN] == [f.data for f in original if f.id == kit.CABIN]
    assert treated.facts["frames"] == len(original)
    assert treated.facts["left"] == len(found)
    assert treated.facts["fates"] == {
        "diagnostics": 600,
        "kept": 600,
        "nothing_kept": 600,
        "redacted": 1200,
    }
    assert treated.tags == ("TRACK",)
    labels = {(f.kind, f.where.path, f.label) for f in treated.findings}
    assert {
        (FindingKind.POSITION, "Place.GPS_Latitude", "signal"),
        (FindingKind.POSITION, "Chassis.Odometer", "signal"),
        (FindingKind.POSITION, "Chassis.Vehicle_Speed", "motion"),
        (FindingKind.DEVICE_ID, "frames", "diagnostics"),
    } <= labels
    assert treated.time_span_s == pytest.approx((kit.T0, kit.T0 + 599.9), abs=1e-3)
    assert not treated.dropped


@pytest.mark.parametrize(
    ("signal", "kind"),
    [
        ("GPS_Altitude", FindingKind.ELEVATION),
        ("GNSS_Elevation", FindingKind.ELEVATION),
        ("GPS_Latitude", FindingKind.POSITION),
        ("GPS_Speed", FindingKind.POSITION),
    ],
)
def test_a_dropped_signal_counts_as_what_it_tells(signal, kind):
    plans = [SignalPlan(message="Place", signal=signal, treat="drop")]
    (found,) = findings_of(Tally(), plans)
    assert found.kind is kind
    assert tells_a_track(Tally(), plans)


def test_every_frame_within_a_restricted_zone_goes(kit, rules, track, kind):
    source = kit.log(kind, kit.car(track))
    spans = [(kit.T0 + 100, kit.T0 + 150), (kit.T0 + 140, kit.T0 + 160), (kit.T0 + 590, float("inf"))]
    treated = cleanse_can(source, kind, dbc=kit.DBC, spans_to_cut=spans, profile=rules, start_s=kit.T0)
    times = [f.time_ns / 1e9 for f in kit.read(b"".join(treated.chunks), kind)]
    assert times
    assert not [t for t in times if 100 <= t <= 160 or t >= 590]
    assert treated.facts["cut"] > 0
    assert FindingKind.RESTRICTED_ZONE in {f.kind for f in treated.findings}


def test_a_log_without_a_date_cannot_be_cut(kit, rules, kind):
    source = io.BytesIO(kit.written([frame(kit.CABIN, bytes(4))], kind))
    with pytest.raises(MalformedItemError, match="no date"):
        cleanse_can(source, kind, dbc=kit.DBC, spans_to_cut=[(1.0, 2.0)], profile=rules)
    assert not cleanse_can(source, kind, dbc=kit.DBC, spans_to_cut=(), profile=rules).dropped


def test_the_start_that_the_operator_states_outweighs_the_log(kit, rules, kind):
    source = kit.log(kind, [kit.message(kit.CABIN, bytes(4), kit.T0)])
    treated = cleanse_can(source, kind, dbc=kit.DBC, spans_to_cut=(), profile=rules, start_s=1.5e9 + 0.0005)
    (found,) = kit.read(b"".join(treated.chunks), kind)
    assert found.time_ns == pytest.approx(500_000, abs=200)
    assert treated.time_span_s[0] == pytest.approx(1.5e9 + 0.0005, abs=1e-6)


@pytest.mark.parametrize("start_s", [float("nan"), 12.0, 1e12])
def test_an_impossible_start_is_refused(kit, rules, kind, start_s):
    source = kit.log(kind, [kit.message(kit.CABIN, bytes(4))])
    with pytest.raises(MalformedItemError):
        cleanse_can(source, kind, dbc=kit.DBC, spans_to_cut=(), profile=rules, start_s=start_s)


def test_unknown_frames_are_dropped_or_stop_the_log(kit, rules, kind):
    sent = [kit.message(0x333, b"\x01"), kit.message(kit.CABIN, bytes(4))]
    treated = cleanse_can(kit.log(kind, sent), kind, dbc=kit.DBC, spans_to_cut=(), profile=rules)
    assert treated.facts["fates"] == {"kept": 1, "unknown": 1}
    with pytest.raises(UnknownFormatError, match="0x333"):
        cleanse_can(
            kit.log(kind, sent),
            kind,
            dbc=kit.DBC,
            spans_to_cut=(),
            profile=replace(rules, unknown_frame="quarantine"),
        )


def test_a_log_of_which_nothing_is_left_is_dropped(kit, rules, kind):
    sent = [kit.message(kit.PLACE, bytes(8))]
    treated = cleanse_can(kit.log(kind, sent), kind, dbc=kit.DBC, spans_to_cut=(), profile=rules)
    assert treated.dropped
    assert not list(treated.chunks)


def test_more_frames_than_the_profile_permits_are_refused(kit, rules, kind):
    sent = [kit.message(kit.CABIN, bytes(4))] * 5
    with pytest.raises(LimitExceededError):
        cleanse_can(
            kit.log(kind, sent), kind, dbc=kit.DBC, spans_to_cut=(), profile=replace(rules, max_frames=4)
        )


@pytest.mark.parametrize(
    "dbc",
    [
        b"",
        b"\xff\xfe",
        b"BO_ 1 A",
        b'VERSION ""\nBU_: E\n' + b'BO_ 1 A: 8 E\n SG_ S : 0|8@1+ (1,0) [0|0] "" E\n' * 2,
    ],
)
def test_a_dbc_that_describes_nothing_or_one_thing_twice_is_refused(kit, rules, dbc):
    with pytest.raises(ProfileError):
        cleanse_can(kit.log("asc", [kit.message(1)]), "asc", dbc=dbc, spans_to_cut=(), profile=rules)


def test_memory_does_not_grow_with_the_log(kit, rules):
    def peak(count: int) -> int:
        sent = (kit.message(kit.CABIN, bytes([i % 251, 0, 0, 0]), kit.T0 + i / 1000) for i in range(count))
        source = kit.log("blf", sent)
        tracemalloc.start()
        treated = cleanse_can(source, "blf", dbc=kit.DBC, spans_to_cut=(), profile=rules)
        assert sum(len(chunk) for chunk in treated.chunks) > 0
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    # A frame takes a quarter of a kilobyte: 9,000 more of them would show.
    small, large = peak(5_000), peak(14_000)
    assert large < small + (1 << 20)


def test_a_real_drive_in_a_real_dbc_loses_its_places(shared_data: Path, kit, rules, kind):
    """comma2k19's frames under a DBC in which some of its identifiers are ours to name."""
    folder = next((shared_data / "formats" / "comma2k19").glob("*/*/*/processed_log/CAN/raw_can"))
    address, data, bus, at = (
        np.load(folder / name, allow_pickle=False) for name in ("address", "data", "src", "t")
    )
    some = slice(0, 5_000)
    ids = sorted({int(a) for a in address[some] if a < 0x7E0})
    described = ids[: len(ids) // 2]
    text = 'VERSION ""\nBU_: E\n' + "".join(
        f"BO_ {i} M{i}: 8 E\n"
        f' SG_ Wheel_Speed_{i} : 7|16@0+ (1,0) [0|0] "" E\n SG_ GPS_{i} : 16|48@1+ (1,0) [0|0] "" E\n'
        for i in described
    )
    sent = [
        kit.message(int(a), bytes(d).rstrip(b"\0").ljust(8, b"\0")[:8], float(t) + kit.T0, channel=int(b) % 8)
        for a, d, b, t in zip(address[some], data[some], bus[some], at[some], strict=True)
    ]
    source = kit.log(kind, sent)
    treated = cleanse_can(source, kind, dbc=text.encode(), spans_to_cut=(), profile=rules, start_s=kit.T0)
    found = kit.read(b"".join(treated.chunks), kind)
    original = [f for f in kit.read(source.getvalue(), kind) if f.id in set(described)]
    assert len(found) == len(original) > 0
    assert [f.data[:2] for f in found] == [f.data[:2] for f in original]
    assert all(f.data[2:] == bytes(6) for f in found)


@pytest.mark.parametrize("name", ["abs.dbc", "j1939.dbc", "socialledge.dbc", "vehicle.dbc"])
def test_real_dbcs_are_read_and_their_places_dropped(shared_data: Path, rules, name):
    database = load_database((shared_data / "formats" / "dbc" / name).read_bytes())
    over = FrameRules(database, rules)
    for message in database.by_id.values():
        over.plan(message)
    treated = {p.signal: p.treat for p in over.plans()}
    for signal, treat in treated.items():
        if any(word in signal for word in ("Latitude", "Longitude", "GPS_Pos", "Heading", "serial")):
            assert treat == "drop", signal
        if any(word in signal.lower() for word in ("whlspeed", "yaw_rate", "accel_")):
            assert treat == "motion", signal
