"""Tracks in other reference systems than WGS-84: the same ground, whatever the file counts in."""

import json

import numpy as np
import pytest

from anonymize.errors import MalformedItemError, UnknownCrsError
from anonymize.formats.csv_track import read_csv_track
from anonymize.formats.geojson_track import read_geojson_track
from anonymize.formats.gpx import read_gpx
from anonymize.formats.nmea import read_nmea, write_nmea
from anonymize.geo.crs import from_wgs84, geodesic_m, kind_of

LAT, LON, HEIGHT = np.array([39.9, 39.9001, 39.9003]), np.array([116.9, 116.9002, 116.9001]), np.full(3, 43.5)
SYSTEMS = [
    "EPSG:4326",
    "EPSG:4490",
    "EPSG:32650",
    "EPSG:4527",
    "EPSG:4548",
    "EPSG:3857",
    "EPSG:4978",
    "EPSG:4479",
    "GCJ-02",
    "BD-09",
    "EPSG:32650+5773",
    "urn:ogc:def:crs:EPSG::32650",
]
HEADERS = {
    "geographic": ("lat,lon,ele", "纬度,经度,高程"),
    "projected": ("easting,northing,ele", "x,y,alt"),
    "geocentric": ("x,y,z", "ecef_x,ecef_y,ecef_z"),
}


def rows(crs: str) -> list[list[float]]:
    return np.column_stack(from_wgs84(LAT, LON, crs, HEIGHT)).tolist()


@pytest.mark.parametrize("crs", SYSTEMS)
def test_a_csv_track_in_any_system_is_the_same_ground(crs, profile):
    for header in HEADERS[kind_of(crs)]:
        lines = [header, *(",".join(repr(v) for v in row) for row in rows(crs))]
        read = read_csv_track("\n".join(lines).encode(), profile=profile, crs=crs)
        assert geodesic_m(read.lat, read.lon, LAT, LON)[0].max() < 1e-3
        assert np.abs(read.elevation_m - HEIGHT).max() < 1e-3


@pytest.mark.parametrize("crs", SYSTEMS)
def test_a_geojson_track_in_any_system_is_the_same_ground(crs, profile):
    order = [1, 0, 2] if kind_of(crs) == "geographic" else [0, 1, 2]
    document = {"type": "LineString", "coordinates": [[row[i] for i in order] for row in rows(crs)]}
    if crs.startswith("urn"):
        document["crs"] = {"type": "name", "properties": {"name": "EPSG:32650"}}
    read = read_geojson_track(json.dumps(document).encode(), profile=profile, crs=crs)
    assert geodesic_m(read.lat, read.lon, LAT, LON)[0].max() < 1e-3
    assert np.abs(read.elevation_m - HEIGHT).max() < 1e-3


DEGREES = [crs for crs in SYSTEMS if kind_of(crs) == "geographic"]


@pytest.mark.parametrize("crs", DEGREES)
def test_gpx_and_nmea_declared_in_a_system_of_degrees_are_the_same_ground(crs, profile):
    lat, lon, _ = np.array(rows(crs)).T
    points = "".join(
        f'<trkpt lat="{y!r}" lon="{x!r}"/>' for y, x in zip(lat.tolist(), lon.tolist(), strict=True)
    )
    gpx = f'<gpx version="1.1"><trk><trkseg>{points}</trkseg></trk></gpx>'.encode()
    nmea = write_nmea(read_gpx(gpx, profile=profile))
    for read in (read_gpx(gpx, profile=profile, crs=crs), read_nmea(nmea, profile=profile, crs=crs)):
        assert geodesic_m(read.lat, read.lon, LAT, LON)[0].max() < 1e-3
        assert read.crs == ("EPSG:4326" if crs == "EPSG:4326" else crs)


@pytest.mark.parametrize("crs", ["EPSG:32650", "EPSG:4978", "LOCAL", None])
def test_gpx_and_nmea_hold_degrees_only(crs, profile):
    gpx = b'<gpx version="1.1"><trk><trkseg><trkpt lat="39.9" lon="116.9"/></trkseg></trk></gpx>'
    nmea = write_nmea(read_gpx(gpx, profile=profile))
    for read, content in ((read_gpx, gpx), (read_nmea, nmea)):
        with pytest.raises(UnknownCrsError, match=repr(crs)):
            read(content, profile=profile, crs=crs)


def test_columns_that_contradict_the_declared_system_are_refused(profile):
    with pytest.raises(UnknownCrsError, match="contradicts 'EPSG:32650'"):
        read_csv_track(b"lat,lon\n39.9,116.9\n", profile=profile, crs="EPSG:32650")
    with pytest.raises(UnknownCrsError, match="contradicts 'EPSG:4326'"):
        read_csv_track(b"x,y\n491451.5,4416663.0\n", profile=profile, crs="EPSG:4326")


def test_rows_of_mixed_systems_are_refused(profile):
    same = b"lat,lon,srid\n39.9,116.9,4326\n39.9,116.9,\n"
    assert len(read_csv_track(same, profile=profile, crs="EPSG:4326")) == 2
    for other in (b"4490", b"GCJ02", b"nonsense"):
        with pytest.raises(UnknownCrsError, match=r"EPSG:4490|GCJ-02|nonsense"):
            read_csv_track(same + b"39.9,116.9," + other + b"\n", profile=profile, crs="EPSG:4326")


OUTSIDE = {
    "degrees declared as metres": (b"x,y\n116.9,39.9\n", "EPSG:32650"),
    "northing before easting": (b"easting,northing\n4418430.4,39491448.1\n", "EPSG:4527"),
    "another zone": (b"easting,northing\n20491448.1,4418430.4\n", "EPSG:4527"),
    "around the Earth": (b"x,y\n1e9,4851421.1\n", "EPSG:3857"),
    "the centre of the Earth": (b"x,y,z\n0,0,0\n", "EPSG:4978"),
    "China's system abroad": (b"lat,lon\n48.8,2.3\n", "EPSG:4490"),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_values_outside_the_area_of_a_system_are_refused(case, profile):
    content, crs = OUTSIDE[case]
    with pytest.raises(MalformedItemError, match=r"position 0: .*(area|Earth|finite)"):
        read_csv_track(content, profile=profile, crs=crs)


@pytest.mark.parametrize("crs", ["EPSG:4326", "GCJ-02", "BD-09"])
def test_a_row_without_a_fix_is_refused_by_name(crs, profile):
    with pytest.raises(MalformedItemError, match="row 2: no fix"):
        read_csv_track(b"lat,lon\n39.9,116.9\n0,0\n", profile=profile, crs=crs)
    point = {"type": "LineString", "coordinates": [[116.9, 39.9], [0.0, -0.0]]}
    with pytest.raises(MalformedItemError, match="position 1: no fix"):
        read_geojson_track(json.dumps(point).encode(), profile=profile, crs=crs)
    gpx = b'<gpx version="1.1"><trk><trkseg><trkpt lat="0" lon="0"/></trkseg></trk></gpx>'
    with pytest.raises(MalformedItemError, match="trkpt 0: no fix"):
        read_gpx(gpx, profile=profile, crs=crs)
    void = b"$GPGLL,0000.0000,N,00000.0000,E,120000.00,A*07\r\n"
    with pytest.raises(MalformedItemError, match="fix 0: no fix"):
        read_nmea(void, profile=profile, crs=crs)


def test_a_missing_third_coordinate_in_a_geocentric_system_is_refused(profile):
    with pytest.raises(UnknownCrsError, match="contradicts"):
        read_csv_track(b"x,y\n1,2\n", profile=profile, crs="EPSG:4978")
    line = {"type": "LineString", "coordinates": [row[:2] for row in rows("EPSG:4978")]}
    with pytest.raises(MalformedItemError, match=r"coordinate 3 .* not finite"):
        read_geojson_track(json.dumps(line).encode(), profile=profile, crs="EPSG:4978")
