"""GPMF telemetry, in files that FFmpeg muxes: it names binary data ``gpmd``, as GoPro does."""

import io
import math
import struct
from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.media.video.facts import inspect_video
from anonymize.media.video.gpmf import read_gpmf, read_gpmf_track
from anonymize.media.video.klv import elements

E7 = 10_000_000


def klv(key: str, kind: str, size: int, content: bytes) -> bytes:
    head = key.encode() + (kind.encode() or b"\x00") + struct.pack(">BH", size, len(content) // size)
    return head + content + b"\x00" * (-len(content) % 4)


def nest(key: str, *inner: bytes) -> bytes:
    return klv(key, "", 1, b"".join(inner))


def longs(key: str, *values: int, per: int = 1) -> bytes:
    return klv(key, "l", 4 * per, struct.pack(f">{len(values)}l", *values))


SCALE5 = longs("SCAL", E7, E7, 1000, 1000, 100)
SCALE9 = longs("SCAL", E7, E7, 1000, 1000, 100, 1, 1000, 100, 1)
ACCELERATION = nest("STRM", klv("STNM", "c", 1, b"Accelerometer"), klv("ACCL", "s", 6, b"\x00" * 18))


def lock(value: int) -> bytes:
    return klv("GPSF", "L", 4, struct.pack(">L", value))


def at(text: str) -> bytes:
    return klv("GPSU", "U", 16, text.encode())


def gps5(
    *fixes: tuple[float, float], fix: int = 3, utc: str = "191118234514.000", scale: bytes = SCALE5
) -> bytes:
    values = [v for lat, lon in fixes for v in (round(lat * E7), round(lon * E7), 43_500, 12_250, 1230)]
    stream = nest(
        "STRM", lock(fix), at(utc), klv("GPSP", "S", 2, b"\x02\x5e"), scale, longs("GPS5", *values, per=5)
    )
    return nest("DEVC", klv("DVNM", "c", 1, b"Camera"), ACCELERATION, stream)


def gps9(*fixes: tuple[float, float, float, int]) -> bytes:
    """Latitude, longitude, seconds since midnight of 2024-03-01, lock."""
    rows = b"".join(
        struct.pack(
            ">7l2H", round(lat * E7), round(lon * E7), 43_500, 12_250, 1230, 8826, round(s * 1000), 150, f
        )
        for lat, lon, s, f in fixes
    )
    return nest("DEVC", nest("STRM", klv("TYPE", "c", 1, b"lllllllSS"), SCALE9, klv("GPS9", "?", 32, rows)))


def film(*samples: bytes, udta: bytes = b"") -> bytes:
    """An MP4 of one second of video per sample, with the samples as its telemetry."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        video = output.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        telemetry = output.add_data_stream("bin_data") if samples else None
        picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        for number in range(10 * max(len(samples), 1)):
            picture.pts = number
            output.mux(video.encode(picture))
        for number, sample in enumerate(samples):
            packet = av.Packet(sample)
            packet.stream, packet.time_base = telemetry, Fraction(1, 1000)
            packet.pts = packet.dts = 1000 * number
            packet.duration = 1000
            output.mux(packet)
        output.mux(video.encode())
    return _with_udta(file.getvalue(), udta)


def _with_udta(content: bytes, udta: bytes) -> bytes:
    """The file with GPMF in ``moov/udta``; ``moov`` is the last box of what FFmpeg writes."""
    if not udta:
        return content
    box = struct.pack(">I4s", 8 + len(udta), b"GPMF") + udta
    box = struct.pack(">I4s", 8 + len(box), b"udta") + box
    start = content.index(b"moov") - 4
    size = int.from_bytes(content[start : start + 4])
    assert start + size == len(content)
    return content[:start] + struct.pack(">I", size + len(box)) + content[start + 4 :] + box


def test_each_sample_is_interpolated_to_the_time_of_the_next():
    found = read_gpmf(
        io.BytesIO(
            film(
                gps5((33.1, -117.3), (33.2, -117.4)),
                gps5((33.3, -117.5), (33.4, -117.6), utc="191118234515.000"),
            )
        )
    )
    start = datetime(2019, 11, 18, 23, 45, 14, tzinfo=UTC).timestamp()
    assert found.track.lat == pytest.approx([33.1, 33.2, 33.3, 33.4])
    assert found.track.lon == pytest.approx([-117.3, -117.4, -117.5, -117.6])
    assert found.track.time_s == pytest.approx([start, start + 0.5, start + 1.0, start + 1.5])
    assert found.media_s == pytest.approx([0.0, 0.5, 1.0, 1.5])
    assert found.track.elevation_m == pytest.approx(43.5)
    assert found.track.speed_mps == pytest.approx(12.25)
    assert found.unlocked == 0


def test_gps9_carries_the_time_and_lock_of_each_fix():
    found = read_gpmf(
        io.BytesIO(film(gps9((33.1, -117.3, 10.0, 3), (0.0, 0.0, 10.1, 0), (33.2, -117.4, 10.2, 2))))
    )
    day = datetime(2024, 3, 1, tzinfo=UTC).timestamp()
    assert found.track.lat == pytest.approx([33.1, 33.2])
    assert found.track.time_s == pytest.approx([day + 10.0, day + 10.2])
    assert found.media_s == pytest.approx([0.0, 2 / 3])
    assert (found.unlocked, found.track.dropped) == (1, ("GPS without a lock (1)",))
    assert found.track.segment.tolist() == [0, 1]


def test_gps9_is_preferred_where_both_are_there():
    both = gps5((1.0, 2.0)) + gps9((33.1, -117.3, 10.0, 3))
    assert read_gpmf_track(io.BytesIO(film(both))).lat == pytest.approx([33.1])


def test_fixes_without_a_lock_are_dropped_and_part_the_way():
    samples = [gps5((33.1, -117.3)), gps5((0.0, 0.0), fix=0), gps5((33.2, -117.4))]
    found = read_gpmf(io.BytesIO(film(*samples)))
    assert found.track.lat == pytest.approx([33.1, 33.2])
    assert found.track.segment.tolist() == [0, 1]
    assert found.media_s == pytest.approx([0.0, 2.0])


def test_a_camera_that_never_had_a_lock_has_no_way():
    assert read_gpmf(io.BytesIO(film(gps5((0.0, 0.0), fix=0)))) is None


def test_telemetry_without_positions_and_video_without_telemetry_have_no_way():
    assert read_gpmf(io.BytesIO(film(nest("DEVC", ACCELERATION)))) is None
    assert read_gpmf(io.BytesIO(film())) is None


def test_positions_in_udta_are_read_too():
    found = read_gpmf(io.BytesIO(film(udta=gps5((33.1, -117.3)))))
    assert found.track.lat == pytest.approx([33.1])
    assert math.isnan(found.media_s[0])


def test_the_facts_of_a_video_carry_the_first_fix(whole_profile):
    content = film(gps5((0.0, 0.0), fix=0), gps5((33.1, -117.3), utc="191118234515.000"))
    facts = inspect_video(io.BytesIO(content), profile=whole_profile)
    assert (facts.latitude, facts.longitude) == pytest.approx((33.1, -117.3))
    assert facts.captured_at == datetime(2019, 11, 18, 23, 45, 15, tzinfo=UTC)
    assert "latitude" not in facts.as_dict()


def test_more_fixes_than_the_profile_permits_are_refused(whole_profile):
    content = film(gps5((33.1, -117.3), (33.2, -117.4)))
    few = replace(whole_profile, tracks=replace(whole_profile.tracks, max_points=1))
    with pytest.raises(LimitExceededError, match="at most 1"):
        inspect_video(io.BytesIO(content), profile=few)


GOOD = gps5((33.1, -117.3))
DAMAGED = {
    "cut short": (GOOD[:-8], "cut short"),
    "cut in a head": (GOOD + b"DE", "cut short"),
    "no text for a key": (b"\x01\x02\x03\x04" + GOOD[4:], "no text"),
    "an unknown type": (nest("DEVC", klv("ACCL", "z", 2, b"1234")), "unknown type"),
    "structures of a wrong size": (nest("DEVC", klv("ACCL", "l", 6, b"123456")), "wrong size"),
    "a stream longer than its device": (nest("DEVC", ACCELERATION[:12]), "cut short"),
    "no scale": (gps5((33.1, -117.3), scale=b""), "no scale"),
    "a scale of 0": (gps5((33.1, -117.3), scale=longs("SCAL", 0, 1, 1, 1, 1)), "no scale"),
    "a scale of another length": (gps5((33.1, -117.3), scale=longs("SCAL", 1, 1)), "no scale"),
    "a scale of words": (gps5((33.1, -117.3), scale=klv("SCAL", "c", 1, b"many")), "no numbers"),
    "an impossible position": (gps5((133.1, -117.3)), "impossible"),
    "an impossible time": (gps5((33.1, -117.3), utc="199918234514.000"), "no time"),
    "GPS5 of four values": (nest("DEVC", nest("STRM", SCALE5, longs("GPS5", 1, 2, 3, 4, per=4))), "GPS5 has"),
    "GPS9 without its form": (
        nest("DEVC", nest("STRM", SCALE9, klv("GPS9", "?", 32, b"\0" * 32))),
        "GPS9 has",
    ),
}


@pytest.mark.parametrize(("sample", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_telemetry_stops_the_video(sample, message, whole_profile):
    content = film(sample)
    with pytest.raises(MalformedItemError, match=message):
        read_gpmf(io.BytesIO(content))
    with pytest.raises(MalformedItemError, match=message):
        inspect_video(io.BytesIO(content), profile=whole_profile)


def test_elements_that_nest_too_deeply_are_refused():
    content = b""
    for _ in range(12):
        content = nest("STRM", content) if content else nest("STRM", ACCELERATION)
    with pytest.raises(MalformedItemError, match="too deeply"):
        _walk(content, 0)


def _walk(content: bytes, depth: int) -> None:
    for element in elements(content, depth=depth):
        if element.nests:
            _walk(element.content, depth + 1)


def test_a_truncated_file_is_refused():
    content = film(GOOD)
    with pytest.raises(MalformedItemError):
        read_gpmf(io.BytesIO(content[:-40]))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.integers(0, len(GOOD)), st.integers(0, 255))
def test_damage_anywhere_is_read_or_refused_but_nothing_else(tail, place, value):
    for content in (tail, GOOD[:place] + bytes([value]) + GOOD[place + 1 :], GOOD[:place] + tail):
        try:
            _walk(content, 0)
        except MalformedItemError:
            continue


@pytest.mark.parametrize(
    ("name", "fixes", "first", "seconds"),
    [
        ("hero5-trimmed.mp4", 36, (33.1264969, -117.3273542), 2.0),
        ("max-heromode.mp4", 191, (33.1267700, -117.3273436), 10.5),
    ],
)
def test_real_cameras(shared_data: Path, name, fixes, first, seconds):
    with (shared_data / "media" / "video_gnss" / name).open("rb") as file:
        found = read_gpmf(file)
    assert len(found.track) == fixes
    assert (found.track.lat[0], found.track.lon[0]) == pytest.approx(first, abs=1e-7)
    assert found.media_s[0] == 0.0
    assert seconds - 0.2 < found.media_s[-1] < seconds
    assert np.all(np.diff(found.track.time_s) > 0)
    assert np.all(np.diff(found.media_s) > 0)
    assert found.track.speed_mps.max() < 5.0
