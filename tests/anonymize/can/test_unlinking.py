"""The second pass and the scan of what it leaves."""

import io
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from anonymize.can.cleanse import cleanse_can
from anonymize.can.frame import Frame
from anonymize.can.residual import ExpectedTimes, scan_can
from anonymize.can.unlink import clip_stride_s, unlink_can
from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.finding import FindingKind
from anonymize.geo.clips import plan_clips
from anonymize.geo.offset_plan import plan_offset

KEY = b"k" * 32
CLEANSED = ExpectedTimes(mode="CLEANSED")


@pytest.fixture(scope="module")
def clips(track, whole):
    return plan_clips(track, key=KEY, context=b"drive", profile=whole.tracks)


@pytest.fixture(scope="module")
def offset(track, whole):
    return plan_offset(track, key=KEY, context=b"drive", profile=whole.tracks)


@pytest.fixture(scope="module")
def sealed(kit, track, cleansed):
    """The cleansed drive, in both formats."""
    return {kind: cleansed(kit.log(kind, kit.car(track)), kind) for kind in ("asc", "blf")}


@pytest.fixture(scope="module")
def local(rules, clips, sealed):
    """The LOCAL release, in both formats."""
    return {
        kind: b"".join(unlink_can(io.BytesIO(content), kind, plan=clips, profile=rules).chunks)
        for kind, content in sealed.items()
    }


def local_times(clips) -> ExpectedTimes:
    return ExpectedTimes(
        mode="LOCAL",
        stride_s=clip_stride_s(clips),
        clip_lengths_s=[c.end_s - c.begin_s for c in clips.clips],
    )


def offset_times(kit) -> ExpectedTimes:
    return ExpectedTimes(mode="OFFSET", true_start_s=kit.T0)


def scan(kit, rules, content, kind, times, track=None):
    return scan_can(io.BytesIO(content), kind, dbc=kit.DBC, profile=rules, times=times, track=track)


def test_local_keeps_the_frames_of_the_clips_each_in_its_own_time(kit, clips, sealed, local, kind):
    found = kit.read(local[kind], kind)
    stride_ns = clip_stride_s(clips) * 10**9
    expected: Counter[int] = Counter()
    for frame in kit.read(sealed[kind], kind):
        number = int(clips.clip_of(kit.T0 + frame.time_ns / 1e9)[0])
        expected[number] += number >= 0
    assert Counter(f.time_ns // stride_ns for f in found) == +expected
    assert [f.time_ns for f in found] == sorted(f.time_ns for f in found)
    for clip in clips.clips:
        of = [f for f in found if f.time_ns // stride_ns == clip.number]
        lengths = [f.time_ns - clip.number * stride_ns for f in of]
        assert 0 <= min(lengths) < 10**9
        assert max(lengths) <= round((clip.end_s - clip.begin_s) * 1e9) + 1000


def test_a_moment_of_the_drive_is_the_same_moment_of_its_clip(kit, clips, sealed, local, kind):
    released = kit.read(local[kind], kind)
    stride_ns = clip_stride_s(clips) * 10**9
    original = {}
    for frame in kit.read(sealed[kind], kind):
        original[round(frame.time_ns / 1e3), frame.id] = frame.data
    for frame in released:
        clip = clips.clips[frame.time_ns // stride_ns]
        at = frame.time_ns - clip.number * stride_ns + round((clip.begin_s - kit.T0) * 1e9)
        near = [original.get((round(at / 1e3) + d, frame.id)) for d in (-1, 0, 1)]
        assert frame.data in near


def test_local_tells_no_date_and_the_clips_do_not_follow_the_drive(kit, rules, clips, local, kind):
    content = local[kind]
    assert scan(kit, rules, content, kind, local_times(clips)).clean
    assert b"2023" not in content[:200]
    begins = [c.begin_s for c in clips.clips]
    assert begins != sorted(begins)


def test_offset_keeps_the_spans_and_shifts_all_times_alike(kit, rules, offset, sealed, kind):
    released = unlink_can(io.BytesIO(sealed[kind]), kind, plan=offset, profile=rules)
    content = b"".join(released.chunks)
    found = kit.read(content, kind)
    start_s = kit.by_library(content, kind)[0].timestamp - found[0].time_ns / 1e9 if kind == "blf" else None
    kept = [f for f in kit.read(sealed[kind], kind) if offset.span_of(kit.T0 + f.time_ns / 1e9)[0] >= 0]
    assert [(f.id, f.data) for f in found] == [(f.id, f.data) for f in kept]
    assert np.diff([f.time_ns for f in found]) == pytest.approx(np.diff([f.time_ns for f in kept]), abs=1000)
    if start_s is not None:
        assert start_s == pytest.approx(int(start_s))
        first = start_s + found[0].time_ns / 1e9
        assert first == pytest.approx(kit.T0 + kept[0].time_ns / 1e9 + offset.shift_s, abs=1e-5)
    assert scan(kit, rules, content, kind, offset_times(kit)).clean


def test_frames_out_of_order_land_in_their_clip_all_the_same(kit, rules, track, clips, cleansed, kind):
    sent = list(kit.car(track))
    mixed = [sent[i] for i in np.random.default_rng(3).permutation(len(sent))]
    mixed = [sent[0], *mixed]
    source = (
        kit.log("blf", mixed) if kind == "blf" else kit.log("asc", sorted(mixed, key=lambda m: m.timestamp))
    )
    released = unlink_can(io.BytesIO(cleansed(source, kind)), kind, plan=clips, profile=rules)
    assert scan(kit, rules, b"".join(released.chunks), kind, local_times(clips)).clean


def test_a_release_in_which_no_frame_lies_is_dropped(kit, rules, clips, offset, cleansed, kind):
    content = cleansed(kit.log(kind, [kit.message(kit.CABIN, bytes(4))]), kind, start_s=kit.T0 + 1e6)
    for plan in (clips, offset):
        released = unlink_can(io.BytesIO(content), kind, plan=plan, profile=rules)
        assert released.dropped
        assert not list(released.chunks)


def test_a_log_without_a_date_or_from_elsewhere_cannot_be_released(kit, rules, clips, kind):
    undated = kit.written(
        [Frame(time_ns=0, channel=1, id=kit.CABIN, extended=False, data=bytes(4), length=4)], kind
    )
    with pytest.raises(MalformedItemError, match="no date"):
        unlink_can(io.BytesIO(undated), kind, plan=clips, profile=rules)


def test_an_asc_log_that_was_not_written_here_cannot_be_released(kit, rules, clips, track):
    with pytest.raises(MalformedItemError, match="cleansed here"):
        unlink_can(kit.log("asc", kit.car(track)), "asc", plan=clips, profile=rules)


def test_more_frames_than_the_profile_permits_are_refused(rules, clips, sealed):
    with pytest.raises(LimitExceededError):
        unlink_can(io.BytesIO(sealed["blf"]), "blf", plan=clips, profile=replace(rules, max_frames=3))


def test_what_was_cleansed_is_clean_and_what_was_not_is_not(kit, rules, track, sealed, kind):
    assert scan(kit, rules, sealed[kind], kind, CLEANSED, track).clean
    raw = kit.written(kit.read(kit.log(kind, kit.car(track)).getvalue(), kind), kind)
    report = scan(kit, rules, raw, kind, CLEANSED, track)
    found = {(f.kind, f.label) for f in report.residual}
    assert (FindingKind.DEVICE_ID, "identifier") in found
    assert (FindingKind.UNLISTED_FIELD, "dropped signal") in found


def test_a_place_near_the_track_is_found_even_where_the_rules_keep_it(kit, rules, track, kind):
    keeping = replace(rules, signals=(), unknown_signal="keep")
    raw = kit.log(kind, [m for m in kit.car(track) if m.arbitration_id == kit.PLACE])
    treated = cleanse_can(raw, kind, dbc=kit.DBC, spans_to_cut=(), profile=keeping)
    content = b"".join(treated.chunks)
    assert scan(kit, keeping, content, kind, CLEANSED).clean
    labels = {f.label for f in scan(kit, keeping, content, kind, CLEANSED, track).residual}
    assert labels == {"near the true track"}


@pytest.mark.parametrize("form", ["<i4", ">i4", "<f4", ">f4"])
def test_a_place_is_found_in_any_representation(kit, rules, track, form):
    keeping = replace(rules, signals=(), unknown_signal="keep")
    for order in (1, -1):
        pair = np.array([track.lat[7], track.lon[7]][::order])
        data = (pair * 1e7 if "i" in form else np.radians(pair)).astype(form).tobytes()
        content = kit.written(
            [Frame(time_ns=0, channel=1, id=kit.PLACE, extended=False, data=data, length=8)], "blf"
        )
        assert not scan(kit, keeping, content, "blf", CLEANSED, track).clean


@pytest.mark.parametrize("vin", [b"LVSHFFAC9GF123456", b"1HGBH41JXMN109186"])
def test_a_vin_over_several_frames_is_found(kit, rules, vin, kind):
    keeping = replace(rules, signals=(), unknown_signal="keep")
    sent = [
        Frame(
            time_ns=i * 10**6,
            channel=1,
            id=kit.VIN,
            extended=False,
            data=bytes([i]) + vin[7 * i : 7 * i + 7].ljust(7, b"\0"),
            length=8,
        )
        for i in range(3)
    ]
    report = scan(kit, keeping, kit.written(sent, kind), kind, CLEANSED)
    assert FindingKind.VIN in {f.kind for f in report.residual}


def spoil_asc(content: bytes, line: bytes, by: bytes) -> bytes:
    assert line in content
    return content.replace(line, by, 1)


ASC_HIDING = {
    "a comment": lambda c: c + b"// 39.9, 116.3\n",
    "an event": lambda c: c + b"1.000000 SV: lat\n",
    "a comment behind a frame": lambda c: spoil_asc(c, b" 21 00 00 00\n", b" 21 00 00 00 // 39.9\n"),
    "another head": lambda c: spoil_asc(c, b"base hex", b"base dec"),
    "a date in a local release": lambda c: spoil_asc(
        c, b"Thu Jan 01 00:00:00.000 1970", b"Tue Nov 14 22:13:20.000 2023"
    ),
    "a frame outside of the clips": lambda c: c + b"999999.000000 1  102             Rx   d 4 21 00 00 00\n",
    "an identifier that never leaves": lambda c: spoil_asc(c, b"  102 ", b"  7E8 "),
    "an identifier that no DBC describes": lambda c: spoil_asc(c, b"  102 ", b"  333 "),
    "a signal that is dropped": lambda c: spoil_asc(c, b" 00 00 00 00\n", b" 00 01 00 00\n"),
    "bits of no signal": lambda c: spoil_asc(c, b" 21 00 00 00\n", b" 21 12 34 56\n"),
    "half a line": lambda c: c[:-5],
    "nothing": lambda c: c[: c.index(b"logged\n") + 7],
}


@pytest.mark.parametrize("hide", ASC_HIDING.values(), ids=ASC_HIDING)
def test_whatever_is_hidden_in_a_released_asc_denies_it(kit, rules, clips, local, hide):
    assert not scan(kit, rules, hide(local["asc"]), "asc", local_times(clips)).clean


BLF_HIDING = {
    "an application": lambda c: c[:8] + b"\x02" + c[9:],
    "a date": lambda c: c[:40] + b"\xe7\x07\x0b\x00\x02\x00\x0e\x00" + c[48:],
    "bytes behind the header": lambda c: c[:100] + b"lat=39.9" + c[108:],
    "bytes at the end": lambda c: c + b"LOBJ",
    "totals that do not hold": lambda c: c[:32] + b"\x01\x00\x00\x00" + c[36:],
    "a damaged container": lambda c: c[:200] + b"\x00\x00\x00\x00" + c[204:],
    "half a file": lambda c: c[: len(c) // 2],
    "nothing": lambda _: b"",
}


@pytest.mark.parametrize("hide", BLF_HIDING.values(), ids=BLF_HIDING)
def test_whatever_is_hidden_in_a_released_blf_denies_it(kit, rules, clips, local, hide):
    assert not scan(kit, rules, hide(local["blf"]), "blf", local_times(clips)).clean


def test_a_true_date_in_an_offset_release_denies_it(kit, rules, sealed, kind):
    report = scan(kit, rules, sealed[kind], kind, offset_times(kit))
    assert {f.kind for f in report.residual} == {FindingKind.TIMESTAMP}


def test_a_log_of_python_can_is_no_released_one(kit, rules, track, kind):
    assert not scan(kit, rules, kit.log(kind, kit.car(track)).getvalue(), kind, CLEANSED).clean
