import math
from dataclasses import replace
from datetime import UTC, datetime
from functools import reduce
from operator import xor
from pathlib import Path

import numpy as np
import pynmea2
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from anonymize.errors import LimitExceededError, MalformedItemError, UnknownCrsError
from anonymize.formats.nmea import is_nmea, read_nmea, write_nmea
from anonymize.formats.nmea_residual import read_released_nmea
from anonymize.formats.track import Track
from anonymize.profile import TrackProfile, shipped_profile

PROFILE: TrackProfile = shipped_profile("cn-2026").profile.tracks


def sentence(body: str) -> str:
    return f"${body}*{reduce(xor, body.encode()):02X}"


def log(*bodies: str) -> bytes:
    return "\r\n".join([*map(sentence, bodies), ""]).encode()


def stamp(*parts: int) -> float:
    return datetime(*parts, tzinfo=UTC).timestamp()


def track(lat, lon, *, time_s=None, elevation=None, speed=None, segment=None) -> Track:
    count = len(lat)
    return Track(
        lat=np.array(lat, dtype=np.float64),
        lon=np.array(lon, dtype=np.float64),
        time_s=np.array([math.nan] * count if time_s is None else time_s, dtype=np.float64),
        elevation_m=np.array([math.nan] * count if elevation is None else elevation, dtype=np.float64),
        speed_mps=np.array([math.nan] * count if speed is None else speed, dtype=np.float64),
        segment=np.array([0] * count if segment is None else segment, dtype=np.int32),
        crs="EPSG:4326",
    )


def test_sentences_of_one_time_are_one_fix_with_place_height_speed_and_date():
    content = log(
        "GPGGA,092750.00,5321.6802,N,00630.3372,W,1,8,1.03,61.7,M,55.2,M,,",
        "GPRMC,092750.00,A,5321.6802,N,00630.3372,W,10.00,31.66,280511,,,A",
        "GPGLL,5321.6802,N,00630.3372,W,092750.00,A,A",
        "GPGSV,1,1,00",
        "GPGGA,092751.00,5321.6803,N,00630.3373,W,1,8,1.03,61.8,M,55.2,M,,",
    )
    found = read_nmea(content, profile=PROFILE)
    assert len(found) == 2
    assert found.lat[0] == pytest.approx(53 + 21.6802 / 60)
    assert found.lon[0] == pytest.approx(-(6 + 30.3372 / 60))
    assert found.elevation_m.tolist() == [61.7, 61.8]
    assert found.speed_mps[0] == pytest.approx(10 * 1852 / 3600)
    assert found.time_s.tolist() == [stamp(2011, 5, 28, 9, 27, 50), stamp(2011, 5, 28, 9, 27, 51)]
    assert found.dropped == ("GSV",)


@pytest.mark.parametrize("talker", ["GN", "GP", "GL", "BD", "GA", "GB"])
def test_every_talker_of_a_receiver_is_read_and_none_leaves(talker):
    content = log(f"{talker}RMC,092750.00,A,5321.6802,N,00630.3372,W,0.02,31.66,280511,,,A")
    released = write_nmea(read_nmea(content, profile=PROFILE)).decode()
    assert {line[1:3] for line in released.split()} == {"GN"}


def test_other_talkers_proprietary_sentences_and_ships_are_dropped_by_name():
    content = log(
        "GPGLL,5321.6802,N,00630.3372,W,092750.00,A", "PGRME,15.0,M,45.0,M,25.0,M", "LCGLL,1,2,3,4,5,A"
    )
    ship = b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C\n"
    assert read_nmea(content + ship, profile=PROFILE).dropped == (
        "!AIVDM",
        "LCGLL",
        "PGRM",
        "time without a date (1)",
    )


def test_gns_and_zda_give_a_dated_fix():
    content = log(
        "GNZDA,235959.00,31,12,2024,00,00",
        "GNGNS,235959.00,3954.0000,N,11618.0000,E,AAN,15,0.6,43.5,-9.2,,",
        "GNGNS,000000.00,3954.0010,N,11618.0010,E,AAN,15,0.6,43.5,-9.2,,",
    )
    found = read_nmea(content, profile=PROFILE)
    assert found.time_s.tolist() == [stamp(2024, 12, 31, 23, 59, 59), stamp(2025, 1, 1)]


def test_midnight_turns_the_date_forwards_and_backwards():
    gga = "GPGGA,{},5321.6802,N,00630.3372,W,1,8,1.03,61.7,M,55.2,M,,"
    content = log(
        gga.format("235958.00"),
        gga.format("000001.00"),
        "GPRMC,000002.00,A,5321.6802,N,00630.3372,W,0.02,31.66,010324,,,A",
        gga.format("235959.00"),
    )
    found = read_nmea(content, profile=PROFILE)
    assert found.time_s.tolist() == [
        stamp(2024, 2, 29, 23, 59, 58),
        stamp(2024, 3, 1, 0, 0, 1),
        stamp(2024, 3, 1, 0, 0, 2),
        stamp(2024, 2, 29, 23, 59, 59),
    ]
    assert found.segment.tolist() == [0, 0, 0, 1]


def test_times_without_any_date_are_left_out_and_said():
    found = read_nmea(
        log("GPGGA,184353.07,1929.045,S,02410.506,E,1,04,2.6,100.00,M,-33.9,M,,0000"), profile=PROFILE
    )
    assert math.isnan(found.time_s[0])
    assert found.dropped == ("time without a date (1)",)


def test_fixes_that_the_receiver_calls_invalid_are_dropped_and_counted():
    content = log(
        "GPGGA,092749.00,5321.6802,N,00630.3372,W,0,0,,,M,,M,,",
        "GPRMC,092749.00,V,5321.6802,N,00630.3372,W,,,280511,,,N",
        "GPGLL,5321.6802,N,00630.3372,W,092749.00,V,N",
        "GNGNS,092749.00,5321.6802,N,00630.3372,W,NN,00,,,,,",
        "GPRMC,092750.00,A,5321.6802,N,00630.3372,W,0.02,31.66,280511,,,A",
        "GPRMC,092751.00,A,5321.6802,N,00630.3372,W,0.02,31.66,280511,,,N",
    )
    found = read_nmea(content, profile=PROFILE)
    assert len(found) == 1
    assert found.dropped == (
        "GGA without a fix (1)",
        "GLL without a fix (1)",
        "GNS without a fix (1)",
        "RMC without a fix (2)",
    )


def test_repeated_times_of_a_fast_receiver_are_fixes_of_their_own():
    gga = "GPGGA,092750,{},N,00630.3372,W,1,8,1.03,61.7,M,55.2,M,,"
    found = read_nmea(log(gga.format("5321.6802"), gga.format("5321.6803")), profile=PROFILE)
    assert len(found) == 2


def test_a_tag_block_is_dropped_and_its_checksum_demanded():
    body = "s:r003669959,c:1120959341"
    tag = f"\\{body}*{reduce(xor, body.encode()):02X}\\".encode()
    line = log("GPGLL,5321.6802,N,00630.3372,W,092750.00,A")
    assert "tag block" in read_nmea(tag + line, profile=PROFILE).dropped
    with pytest.raises(MalformedItemError, match="line 1: the tag block"):
        read_nmea(tag.replace(b"c:", b"d:") + line, profile=PROFILE)


GOOD = "GPGGA,092750.00,5321.6802,N,00630.3372,W,1,8,1.03,61.7,M,55.2,M,,"
BAD_LINES = {
    "no checksum": f"${GOOD}",
    "wrong checksum": f"${GOOD}*00",
    "wrong checksum of a kind that is not read": "$GPGSV,1,1,00*00",
    "cut short": sentence(GOOD)[:30],
    "no sentence": "foobar",
    "too few fields": sentence("GPGGA,092750.00"),
    "impossible latitude": sentence(GOOD.replace("5321", "9121")),
    "sixty minutes": sentence(GOOD.replace("5321", "5360")),
    "no side": sentence(GOOD.replace(",N,", ",X,")),
    "empty place of a valid fix": sentence(GOOD.replace("5321.6802,N", ",")),
    "impossible time": sentence(GOOD.replace("092750", "252750")),
    "altitude in feet": sentence(GOOD.replace("61.7,M", "61.7,f")),
    "altitude in words": sentence(GOOD.replace("61.7", "high")),
    "impossible date": sentence("GPRMC,092750.00,A,5321.6802,N,00630.3372,W,0.02,31.66,310211,,,A"),
    "a line too long": sentence("GPTXT," + "x" * 2000),
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_named_by_number_without_the_place(line):
    with pytest.raises(MalformedItemError, match="line 2: ") as caught:
        read_nmea(log(GOOD) + line.encode() + b"\n", profile=PROFILE)
    assert "5321" not in str(caught.value)
    assert "1.6802" not in str(caught.value)


def test_bytes_that_are_no_ascii_are_named_by_line():
    with pytest.raises(MalformedItemError, match="line 2: not ASCII"):
        read_nmea(log(GOOD) + b"\xff\n", profile=PROFILE)


def test_a_log_without_positions_holds_no_track():
    with pytest.raises(MalformedItemError, match="no fixes"):
        read_nmea(log("GPGSV,1,1,00"), profile=PROFILE)


def test_more_fixes_than_the_profile_permits_are_refused():
    content = write_nmea(track([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]))
    with pytest.raises(LimitExceededError):
        read_nmea(content, profile=replace(PROFILE, max_points=2))


@pytest.mark.parametrize("datum", ["W72", "999"])
def test_another_datum_stops_the_log(datum):
    with pytest.raises(UnknownCrsError, match=datum):
        read_nmea(log(f"GPDTM,{datum},,0.0,N,0.0,E,0.0,W84", GOOD), profile=PROFILE)


def test_segments_stay_apart():
    written = write_nmea(track([1.0, 1.1, 1.2], [4.0, 5.0, 6.0], segment=[0, 0, 1]))
    assert read_nmea(written, profile=PROFILE).segment.tolist() == [0, 0, 1]
    assert read_released_nmea(written.decode()) is not None


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_is_written_reads_the_same_here_in_pynmea2_and_in_the_scan(data):
    count = data.draw(st.integers(1, 8))

    def many(strategy):
        return data.draw(st.lists(strategy, min_size=count, max_size=count))

    times = sorted(many(st.integers(int(stamp(1980, 1, 1)), int(stamp(2079, 12, 31))).map(float)))
    original = track(
        many(st.floats(-90, 90)),
        many(st.floats(-180, 180)),
        time_s=times,
        elevation=many(st.floats(-400, 9000)),
        speed=many(st.floats(0, 100)),
    )
    assume(np.all(np.hypot(original.lat, original.lon) > 1e-5))
    written = write_nmea(original)
    again, scanned = read_nmea(written, profile=PROFILE), read_released_nmea(written.decode())
    assert len(again) == count or len(set(times)) < count
    assert np.abs(again.lat - original.lat).max() < 1e-8
    assert np.abs(again.lon - original.lon).max() < 1e-8
    assert np.abs(again.speed_mps - original.speed_mps).max() < 1e-3
    # Steps of more than half a day are told from dates, which every RMC has.
    assert again.time_s.tolist() == times
    assert scanned is not None
    assert scanned.elevation
    assert list(scanned.time_s) == times
    assert np.abs(np.array(scanned.lat) - original.lat).max() < 1e-8
    parsed = [pynmea2.parse(line, check=True) for line in written.decode().split()]
    assert [p.latitude for p in parsed[::2]] == pytest.approx(original.lat.tolist(), abs=1e-8)
    assert [p.longitude for p in parsed[1::2]] == pytest.approx(original.lon.tolist(), abs=1e-8)


def test_years_that_nmea_cannot_write_are_refused():
    with pytest.raises(MalformedItemError, match="1979"):
        write_nmea(track([1.0], [2.0], time_s=[stamp(1979, 12, 31)]))


HIDDEN = {
    "another talker": lambda text: text.replace("$GNRMC", "$GPRMC"),
    "a course": lambda text: text.replace(",,141123", ",12.3,141123"),
    "satellites": lambda text: text.replace(",1,,,", ",1,8,,"),
    "a sentence more": lambda text: text + sentence("PGRME,15.0,M") + "\r\n",
    "two places in one pair": lambda text: text.replace("$GNGGA,221320.000,0100", "$GNGGA,221320.000,0200"),
    "nothing": lambda _: "",
}


@pytest.mark.parametrize("hide", HIDDEN.values(), ids=HIDDEN)
def test_the_scan_refuses_whatever_the_grammar_does_not_know(hide):
    text = write_nmea(track([1.0], [2.0], time_s=[1.7e9])).decode()
    assert read_released_nmea(text) is not None
    lines = [f"{line[:-2]}{reduce(xor, line[1:-3].encode()):02X}" for line in hide(text).split()]
    assert read_released_nmea("\r\n".join([*lines, ""]) if lines else "") is None


def test_the_scan_refuses_a_wrong_checksum():
    text = write_nmea(track([1.0], [2.0])).decode()
    assert read_released_nmea(text.replace("*4", "*5").replace("*3", "*2").replace("*6", "*7")) is None


def test_logs_are_told_from_other_text():
    assert is_nmea(log(GOOD).decode())
    assert is_nmea("\n\n" + log(GOOD).decode() + "foobar\n")
    assert not is_nmea("lat,lon\n1,2\n")
    assert not is_nmea("")
    assert not is_nmea("a\nb\nc\n" + log(GOOD).decode())


def test_the_real_sample_is_named_line_by_line(shared_data: Path):
    content = (shared_data / "formats" / "nmea" / "data.log").read_bytes()
    assert is_nmea(content.decode())
    with pytest.raises(MalformedItemError, match="line 4: no NMEA sentence"):
        read_nmea(content, profile=PROFILE)
    whole = b"\n".join(line for line in content.splitlines() if line.startswith(b"$"))
    found = read_nmea(whole, profile=PROFILE)
    assert len(found) == 1
    assert found.dropped == ("MWV", "R00", "RTE", "time without a date (1)")
