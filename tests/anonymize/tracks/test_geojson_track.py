import json

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anonymize.errors import AnonymizeError, MalformedItemError, UnknownCrsError
from anonymize.formats.geojson_track import read_geojson_track, write_geojson_track
from anonymize.formats.track import Track

LINE = {"type": "LineString", "coordinates": [[116.25, 39.5, 44.0], [116.26, 39.6]]}
TIMES = ["2024-01-02T03:04:05Z", "2024-01-02T03:04:06Z"]


def encoded(document: object) -> bytes:
    return json.dumps(document).encode()


def feature(geometry: object, properties: object = None) -> dict[str, object]:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


REFUSED = {
    "empty": (b"", "no JSON"),
    "truncated": (encoded(LINE)[:-4], "no JSON"),
    "not UTF-8": (b'{"type": "\xff"}', "no JSON"),
    "deep nesting": (b"[" * 100_000, "no JSON"),
    "no object": (b"[1]", "no GeoJSON object"),
    "no features": (encoded({"type": "FeatureCollection"}), "list of features"),
    "no fix": (encoded({"type": "FeatureCollection", "features": []}), "no fixes"),
    "polygon": (encoded(feature({"type": "Polygon", "coordinates": []})), "no track .*'Polygon'"),
    "one position": (encoded({"type": "LineString", "coordinates": [[1, 2]]}), "two positions"),
    "NaN": (b'{"type":"Point","coordinates":[NaN,1]}', "NaN"),
    "huge": (b'{"type":"Point","coordinates":[1e999,1]}', "longitude|inf"),
    "out of range": (encoded({"type": "Point", "coordinates": [116, 99]}), "position 0: latitude .*99"),
    "null": (encoded({"type": "Point", "coordinates": [None, 1]}), "no longitude"),
    "text": (encoded({"type": "Point", "coordinates": ["116", "39"]}), "longitude is no number"),
    "boolean": (encoded({"type": "Point", "coordinates": [True, 1]}), "longitude is no value"),
    "times do not match": (encoded(feature(LINE, {"coordTimes": TIMES[:1]})), "times do not match .*got 1"),
    "time unreadable": (encoded(feature(LINE, {"times": ["x", "y"]})), "time .*'x'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_malformed_geojson_is_refused_with_place_and_value(case, profile):
    content, message = REFUSED[case]
    with pytest.raises(MalformedItemError, match=message):
        read_geojson_track(content, profile=profile, crs="EPSG:4326")


@pytest.mark.parametrize(
    ("name", "shown"), [("urn:ogc:def:crs:EPSG::3857", "EPSG:3857"), ("GCJ-02", "GCJ-02"), (None, "None")]
)
def test_a_foreign_crs_member_is_refused_wherever_it_stands(name, shown, profile):
    member = {"crs": {"type": "name", "properties": {"name": name}}}
    for document in (LINE | member, feature(LINE) | member, feature(LINE | member)):
        with pytest.raises(UnknownCrsError, match=shown):
            read_geojson_track(encoded(document), profile=profile, crs="EPSG:4326")


def test_a_missing_declaration_is_refused_and_the_crs84_member_accepted(profile):
    document = LINE | {"crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}}
    assert len(read_geojson_track(encoded(document), profile=profile, crs="EPSG:4326")) == 2
    with pytest.raises(UnknownCrsError, match="None"):
        read_geojson_track(encoded(document), profile=profile, crs=None)


def test_lines_points_and_multilines_become_segments(profile):
    features = [
        feature(LINE, {"coordTimes": TIMES, "driver": "Li"}),
        feature({"type": "MultiLineString", "coordinates": [LINE["coordinates"], LINE["coordinates"]]}),
        feature({"type": "Point", "coordinates": [116.3, 39.9]}, {"time": TIMES[0], "speed": 4.5}),
        feature({"type": "Point", "coordinates": [116.4, 39.9]}, {"time": TIMES[1]}),
    ]
    read = read_geojson_track(
        encoded({"type": "FeatureCollection", "features": features}), profile=profile, crs="EPSG:4326"
    )
    assert read.segment.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert read.elevation_m[0] == 44.0
    assert read.speed_mps[6] == 4.5
    assert read.time_s[[0, 1, 6, 7]].tolist() == [1704164645.0, 1704164646.0] * 2
    assert read.dropped == ("driver",)
    assert b"Li" not in write_geojson_track(read).replace(b"LineString", b"")


@given(
    st.binary(max_size=200),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "coordinates", "features", "geometry", "properties", "coordTimes"]),
                x,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(["Point", "LineString", "MultiLineString"]),
)
def test_anything_is_read_or_refused(profile, content, value, kind):
    for data in (
        content,
        encoded(value),
        encoded({"type": kind, "coordinates": value}),
        encoded(feature(LINE, value)),
        encoded(feature(LINE, {"times": value, "crs": value})),
    ):
        try:
            read_geojson_track(data, profile=profile, crs="EPSG:4326")
        except AnonymizeError:
            continue


@given(
    st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180), st.integers(0, 1)), min_size=1, max_size=30)
)
def test_what_is_written_is_read_again(profile, rows):
    lat, lon, step = (np.array(c) for c in zip(*rows, strict=True))
    assume(np.all(np.hypot(lat, lon) > 1e-5))
    made = Track(
        lat=lat.astype(float),
        lon=lon.astype(float),
        time_s=1.7e9 + np.arange(len(rows)) * 0.25,
        elevation_m=np.full(len(rows), np.nan),
        speed_mps=np.full(len(rows), np.nan),
        segment=np.cumsum([0, *step[1:]]).astype(np.int32),
        crs="EPSG:4326",
    )
    read = read_geojson_track(write_geojson_track(made), profile=profile, crs="EPSG:4326")
    assert np.allclose(read.lat, made.lat, rtol=0, atol=6e-9)
    assert np.allclose(read.lon, made.lon, rtol=0, atol=6e-9)
    assert np.allclose(read.time_s, made.time_s, rtol=0, atol=1e-3)
    assert read.segment.tolist() == made.segment.tolist()
