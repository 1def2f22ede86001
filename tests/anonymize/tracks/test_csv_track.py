import gzip
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anonymize.errors import AnonymizeError, MalformedItemError, UnknownCrsError
from anonymize.formats.csv_track import read_csv_track, write_csv_track
from anonymize.formats.track import Track

READABLE = {
    "comma": b"lat,lon\n39.5,116.25\n",
    "semicolon and names": b"Latitude;LNG;speed\n39.5;116.25;3\n",
    "tab": b"long\tlatitude\n116.25\t39.5\n",
    "byte order mark, carriage returns": b"\xef\xbb\xbflat,lon\r\n39.5,116.25\r\n",
    "Chinese": "经度,纬度,时间\n116.25,39.5,2024-01-02 03:04:05\n".encode(),
    "quoted": b'"lat","lon"\n"39.5","116.25"\n',
    "blank lines": b"lat,lon\n\n39.5,116.25\n\n",
    "no final newline": b"lat,lon\n39.5,116.25",
}

REFUSED = {
    "empty": (b"", "lacks"),
    "header only": (b"lat,lon\n", "no fixes"),
    "no longitude": (b"lat,time\n1,2\n", "lacks .*lon"),
    "not UTF-8": (b"lat,lon\n1,\xff\n", "not UTF-8 .*0xff"),
    "truncated row": (b"lat,lon\n1,2\n3\n", "row 2: wrong width"),
    "NaN": (b"lat,lon\n1,2\nnan,2\n", "row 2: latitude .*nan"),
    "infinite": (b"lat,lon\n1,inf\n", "row 1: longitude .*inf"),
    "out of range": (b"lat,lon\n1,2\n1,2\n91,2\n", "row 3: latitude .*91"),
    "empty cell": (b"lat,lon\n1,\n", "row 1: no lon"),
    "words": (b"lat,lon\nhere,there\n", "row 1: latitude .*'here'"),
    "grouped digits": (b"lat,lon\n1_0,2\n", "row 1: latitude .*'1_0'"),
    "two latitudes": (b"lat,latitude,lon\n1,2,3\n", "twice"),
    "unknown time": (b"lat,lon,time\n1,2,yesterday\n", "row 1: time .*'yesterday'"),
    "epoch of another unit": (b"lat,lon,time\n1,2,1700000000\n1,2,1700000000000\n", "row 2: time"),
    "seconds from zero": (b"lat,lon,time\n1,2,0\n", "row 1: time"),
    "unclosed quote": (b'lat,lon\n"1,2\n', "no delimited text|wrong width"),
    "elevation infinite": (b"lat,lon,ele\n1,2,inf\n", "row 1: elevation .*'inf'"),
}


@pytest.mark.parametrize("case", READABLE)
def test_common_spellings_are_read(case, profile):
    read = read_csv_track(READABLE[case], profile=profile, crs="EPSG:4326")
    assert (read.lat.tolist(), read.lon.tolist()) == ([39.5], [116.25])


@pytest.mark.parametrize("case", REFUSED)
def test_malformed_text_is_refused_with_row_and_value(case, profile):
    content, message = REFUSED[case]
    with pytest.raises(MalformedItemError, match=message):
        read_csv_track(content, profile=profile, crs="EPSG:4326")


@pytest.mark.parametrize("crs", [None, "", "LOCAL", "EPSG:3857", "EPSG:4610", "WGS 84"])
def test_an_unknown_reference_system_is_refused_by_name(crs, profile):
    with pytest.raises(UnknownCrsError, match=repr(crs)):
        read_csv_track(READABLE["comma"], profile=profile, crs=crs)


def test_cgcs2000_is_brought_to_wgs84_and_remembered(profile):
    read = read_csv_track(READABLE["comma"], profile=profile, crs="EPSG:4490")
    assert read.crs == "EPSG:4490"
    assert (read.lat[0], read.lon[0]) == pytest.approx((39.5, 116.25), abs=1e-5)


@pytest.mark.parametrize(
    "stamp",
    [
        "1704164645",
        "1704164645000",
        "1704164645000000",
        "1704164645000000000",
        "2024-01-02 03:04:05",
        "2024-01-02T03:04:05Z",
        "2024-01-02T11:04:05+08:00",
    ],
)
def test_times_are_read_in_every_unit(stamp, profile):
    read = read_csv_track(f"lat,lon,time\n1,2,{stamp}\n1,2,\n".encode(), profile=profile, crs="EPSG:4326")
    assert read.time_s[0] == 1704164645.0
    assert np.isnan(read.time_s[1])


def test_an_identifier_splits_segments_and_is_not_carried(profile):
    content = b"lat,lon,uid,driver\n1,2,a,Li\n1,2,a,Li\n1,2,b,Wang\n"
    read = read_csv_track(content, profile=profile, crs="EPSG:4326")
    assert read.segment.tolist() == [0, 0, 1]
    assert read.dropped == ("driver", "uid")
    assert b"Li" not in write_csv_track(read)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(profile, content):
    for data in (content, b"lat,lon,time\n" + content):
        try:
            read_csv_track(data, profile=profile, crs="EPSG:4326")
        except AnonymizeError:
            continue


fixes = st.lists(
    st.tuples(
        st.floats(-90, 90),
        st.floats(-180, 180),
        st.one_of(st.none(), st.integers(0, 4_000_000_000_000)),
        st.one_of(st.none(), st.floats(-400, 9000)),
        st.one_of(st.none(), st.floats(0, 100)),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=30,
)


@given(fixes)
def test_what_is_written_is_read_again(profile, rows):
    lat, lon, ms, ele, speed, step = (list(c) for c in zip(*rows, strict=True))
    assume(all(abs(y) > 1e-6 or abs(x) > 1e-6 for y, x in zip(lat, lon, strict=True)))
    ms = sorted(m for m in ms if m is not None) + [None] * ms.count(None)
    made = Track(
        lat=np.array(lat),
        lon=np.array(lon),
        time_s=np.array([np.nan if m is None else m / 1000 + 1e8 for m in ms]),
        elevation_m=np.array([np.nan if v is None else v for v in ele]),
        speed_mps=np.array([np.nan if v is None else v for v in speed]),
        segment=np.cumsum([0, *step[1:]]).astype(np.int32),
        crs="EPSG:4326",
    )
    written = write_csv_track(made)
    read = read_csv_track(written, profile=profile, crs="EPSG:4326")
    assert np.allclose(read.lat, made.lat, rtol=0, atol=6e-9)
    assert np.allclose(read.lon, made.lon, rtol=0, atol=6e-9)
    assert np.allclose(read.time_s, made.time_s, rtol=0, atol=1e-3, equal_nan=True)
    assert np.allclose(read.elevation_m, made.elevation_m, rtol=0, atol=0.006, equal_nan=True)
    assert np.allclose(read.speed_mps, made.speed_mps, rtol=0, atol=6e-4, equal_nan=True)
    assert read.segment.tolist() == made.segment.tolist()
    assert write_csv_track(made) == written


def test_geolife_is_read_quickly_and_whole(shared, profile):
    content = gzip.decompress((shared / "traj" / "geolife_sample.txt.gz").read_bytes())
    started = time.perf_counter()
    read = read_csv_track(content, profile=profile, crs="EPSG:4326")
    assert time.perf_counter() - started < 15.0
    assert len(read) == content.count(b"\n") - 1
    assert (read.lat[0], read.lon[0], read.time_s[0]) == (39.984094, 116.319236, 1224741185.0)
    assert read.dropped == ("uid",)
    assert all((np.diff(read.time_s[part]) >= 0).all() for part in read.segments())


def test_text_is_read_in_parts_and_never_held_as_a_whole(profile):
    rows = 200_000
    line = "{:.7f},{:.7f},{:.1f},43.5,8.0,car\n"
    content = "lat,lon,time,ele,speed,uid\n" + "".join(
        line.format(39.9 + i * 1e-7, 116.3 + i * 1e-7, 1.7e9 + i * 0.1) for i in range(rows)
    )
    tracemalloc.start()
    read = read_csv_track(content.encode(), profile=profile, crs="EPSG:4326")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(read) == rows
    assert np.abs(np.diff(read.time_s) - 0.1).max() < 1e-5
    # Strings of all rows would take 300 bytes a row and more.
    assert peak < 150 * rows + 60_000_000


def test_a_unit_of_time_that_changes_far_down_the_file_is_refused(profile):
    rows = ["lat,lon,time", *["1,2,1700000000"] * 70_000, "1,2,1700000000000", ""]
    with pytest.raises(MalformedItemError, match="row 70001: time"):
        read_csv_track("\n".join(rows).encode(), profile=profile, crs="EPSG:4326")
    rows[-2] = "1,2"
    with pytest.raises(MalformedItemError, match="row 70001: wrong width"):
        read_csv_track("\n".join(rows).encode(), profile=profile, crs="EPSG:4326")
