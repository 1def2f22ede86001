import gpxpy
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anonymize.errors import AnonymizeError, LimitExceededError, MalformedItemError, UnknownCrsError
from anonymize.formats.gpx import read_gpx, write_gpx
from anonymize.formats.track import Track

HEAD = b'<gpx version="1.1" creator="x"><trk><trkseg>'
TAIL = b"</trkseg></trk></gpx>"
POINT = b'<trkpt lat="39.5" lon="116.25"><ele>40</ele><time>2024-01-02T03:04:05Z</time></trkpt>'

REFUSED = {
    "empty": (b"", "no well-formed XML"),
    "truncated": (HEAD + POINT, "no well-formed XML"),
    "no track point": (HEAD + TAIL, "no fixes"),
    "another root": (b"<kml/>", "no GPX .*'kml'"),
    "not UTF-8": (HEAD + b"\xff" + TAIL, "no well-formed XML"),
    "NaN": (HEAD + POINT + b'<trkpt lat="nan" lon="1"/>' + TAIL, "trkpt 1: latitude .*nan"),
    "out of range": (HEAD + b'<trkpt lat="1" lon="181"/>' + TAIL, "trkpt 0: longitude .*181"),
    "no fix": (HEAD + POINT + b'<trkpt lat="0.0" lon="-0"/>' + TAIL, "trkpt 1: no fix"),
    "no longitude": (HEAD + b'<trkpt lat="1"/>' + TAIL, "trkpt 0: no attribute 'lon'"),
    "no time": (HEAD + b'<trkpt lat="1" lon="1"><time>noon</time></trkpt>' + TAIL, "trkpt 0: time .*'noon'"),
    "entity bomb": (
        b'<!DOCTYPE gpx [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>' + HEAD + b"&b;" + TAIL,
        "document type or entities",
    ),
    "external entity": (
        b'<!DOCTYPE gpx [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + HEAD + b"&x;" + TAIL,
        "document type or entities",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_malformed_gpx_is_refused_with_element_and_value(case, profile):
    content, message = REFUSED[case]
    with pytest.raises(MalformedItemError, match=message):
        read_gpx(content, profile=profile)


def test_deep_nesting_is_refused(profile):
    with pytest.raises(LimitExceededError, match="nest too deeply"):
        read_gpx(b"<gpx>" + b"<a>" * 100_000, profile=profile)


def test_gpx_in_another_reference_system_is_refused(profile):
    with pytest.raises(UnknownCrsError, match="EPSG:4610"):
        read_gpx(HEAD + POINT + TAIL, profile=profile, crs="EPSG:4610")


def test_names_and_extensions_are_listed_and_cannot_replace_values(profile):
    content = (
        HEAD
        + b'<trkpt lat="1" lon="2"><ele>5</ele><extensions><ele>99</ele><speed>7.5</speed><time>noon</time>'
        b"</extensions><name>Home of Li</name></trkpt>" + TAIL
    )
    read = read_gpx(content, profile=profile)
    assert (read.elevation_m[0], read.speed_mps[0]) == (5.0, 7.5)
    assert read.dropped == ("creator", "ele", "extensions", "name", "time")
    assert b"Li" not in write_gpx(read)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(profile, content):
    for data in (content, HEAD + content + TAIL, HEAD + b'<trkpt lat="' + content + b'" lon="1"/>' + TAIL):
        try:
            read_gpx(data, profile=profile)
        except AnonymizeError:
            continue


@given(
    st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180), st.integers(0, 1)), min_size=1, max_size=30)
)
def test_what_is_written_is_read_again_and_by_gpxpy(profile, rows):
    lat, lon, step = (np.array(c) for c in zip(*rows, strict=True))
    assume(all(abs(y) > 1e-6 or abs(x) > 1e-6 for y, x in zip(lat, lon, strict=True)))
    made = Track(
        lat=lat.astype(float),
        lon=lon.astype(float),
        time_s=1.7e9 + np.arange(len(rows)) * 0.25,
        elevation_m=np.arange(len(rows), dtype=float),
        speed_mps=np.full(len(rows), np.nan),
        segment=np.cumsum([0, *step[1:]]).astype(np.int32),
        crs="EPSG:4326",
    )
    written = write_gpx(made)
    read = read_gpx(written, profile=profile)
    assert np.allclose(read.lat, made.lat, rtol=0, atol=6e-9)
    assert np.allclose(read.lon, made.lon, rtol=0, atol=6e-9)
    assert np.allclose(read.time_s, made.time_s, rtol=0, atol=1e-3)
    assert read.elevation_m.tolist() == made.elevation_m.tolist()
    assert read.segment.tolist() == made.segment.tolist()
    assert sum(len(s.points) for t in gpxpy.parse(written).tracks for s in t.segments) == len(made)


def test_real_files_agree_with_gpxpy(shared, profile):
    compared = 0
    for path in sorted((shared / "gpx").glob("*.gpx")):
        content = path.read_bytes()
        tracks = gpxpy.parse(content.decode("utf-8-sig")).tracks
        points = [p for t in tracks for s in t.segments for p in s.points]
        if not points:
            with pytest.raises(MalformedItemError, match="no fixes"):
                read_gpx(content, profile=profile)
            continue
        read = read_gpx(content, profile=profile)
        assert read.lat.tolist() == [p.latitude for p in points], path.name
        assert read.lon.tolist() == [p.longitude for p in points], path.name
        assert np.array_equal(
            read.elevation_m, [np.nan if p.elevation is None else p.elevation for p in points], equal_nan=True
        )
        known = [p.time for p in points]
        if all(known):
            assert np.allclose(
                read.time_s,
                [
                    p.time_stamp() if callable(p.time) else t.timestamp()
                    for p, t in zip(points, known, strict=True)
                ]
                if all(t.tzinfo for t in known)
                else read.time_s,
            )
        compared += 1
    assert compared >= 15
