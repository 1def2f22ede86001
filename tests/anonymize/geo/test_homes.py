import json

import numpy as np
import pytest

from anonymize.errors import MalformedItemError, ZoneFileError
from anonymize.formats.track import Track
from anonymize.geo.crs import geodesic_m
from anonymize.geo.cut import cut_track
from anonymize.geo.homes import KnownPlace, read_places, zones_of_places
from anonymize.geo.zones import ZoneKind, ZoneSet

SECRET = b"a secret of this test alone"
CSV = b"id,kind,lat,lon\nhome-1,HOME,39.9,116.3\ndepot-1,DEPOT,39.95,116.35\n"


def homes(count: int) -> list[KnownPlace]:
    return [
        KnownPlace(id=f"h{i}", kind=ZoneKind.HOME, lat=39.9 + 0.05 * (i % 10), lon=116.3 + 0.05 * (i // 10))
        for i in range(count)
    ]


def test_every_place_lies_well_inside_its_circle_and_seldom_at_its_centre():
    places = homes(100)
    zones = {z.id: z for z in ZoneSet.from_geojson(zones_of_places(places, secret=SECRET)).zones}
    off = []
    for place in places:
        ring = np.array(zones[place.id].shape.exterior.coords)
        border, _ = geodesic_m(
            np.full(len(ring), place.lat), np.full(len(ring), place.lon), ring[:, 1], ring[:, 0]
        )
        assert border.min() >= 149.0
        assert border.max() <= 2 * 605.0 - 150.0
        centre = zones[place.id].shape.centroid
        off.append(float(geodesic_m(place.lat, place.lon, centre.y, centre.x)[0]))
    assert np.mean(np.array(off) < 100.0) < 0.2
    assert np.median(off) > 180.0


def test_the_same_secret_gives_the_same_circles_and_another_gives_others():
    first, again = (zones_of_places(homes(5), secret=SECRET) for _ in range(2))
    assert first == again
    assert zones_of_places(homes(5), secret=SECRET + b"!") != first
    assert (
        json.loads(zones_of_places(homes(3), secret=SECRET))["features"] == json.loads(first)["features"][:3]
    )


def test_places_are_put_onto_the_operators_file(square, zone_file):
    operators = zone_file(
        {"coordinates": square(39.9, 116.3, 100.0), "id": "camp"},
        {"coordinates": square(39.8, 116.3, 100.0), "id": "home-1", "kind": "HOME"},
    )
    made = zones_of_places(read_places(CSV), secret=SECRET, onto=operators)
    zones = ZoneSet.from_geojson(made)
    assert (zones.version, zones.name) == (2, "test")
    assert {z.id: z.kind.value for z in zones.zones} == {"camp": "MIL", "home-1": "HOME", "depot-1": "DEPOT"}
    assert zones.test(39.9, 116.3).of_kind(ZoneKind.HOME)[0]
    assert not zones.test(39.8, 116.3).inside[0]


def test_tracks_are_trimmed_around_home_and_depot(profile):
    zones = ZoneSet.from_geojson(zones_of_places(read_places(CSV), secret=SECRET))
    count = 1001
    track = Track(
        lat=np.linspace(39.9, 39.95, count),
        lon=np.linspace(116.3, 116.35, count),
        time_s=1.7e9 + np.arange(count),
        elevation_m=np.full(count, np.nan),
        speed_mps=np.full(count, np.nan),
        segment=np.zeros(count, np.int32),
        crs="EPSG:4326",
    )
    cut = cut_track(track, zones, profile=profile)
    for lat, lon in ((39.9, 116.3), (39.95, 116.35)):
        away, _ = geodesic_m(
            np.full(len(cut.track), lat), np.full(len(cut.track), lon), cut.track.lat, cut.track.lon
        )
        assert away.min() >= 149.0
    assert set(cut.hits_by_kind) == {"HOME", "DEPOT"}
    assert len(cut.track) > 500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"id,kind,lat,lon\n", "empty"),
        (b"\xff", "no CSV"),
        (b'id,kind,lat,lon\na,HOME,"1"x,2\n', "no CSV"),
        (b"id,kind,lat,lon\n,HOME,1,2\n", "row 1: a place has an id"),
        (b"id,kind,lat,lon\na,MIL,1,2\n", "row 1: a place is a HOME or a DEPOT .*'MIL'"),
        (b"id,kind,lat,lon\na,HOME,x,2\n", "row 1: .* no number"),
        (b"id,kind,lat,lon\na,HOME,1\n", "row 1: .* impossible"),
        (b"id,kind,lat,lon\na,HOME,85,2\n", "row 1: .* impossible"),
        (b"id,kind,lat,lon\na,HOME,1,2\na,HOME,1,3\n", r"\['a'\] more than once"),
    ],
)
def test_malformed_lists_of_places_are_refused_by_row(content, message):
    with pytest.raises(MalformedItemError, match=message):
        read_places(content)


def test_short_secrets_bad_files_and_places_at_the_antimeridian_are_refused():
    with pytest.raises(MalformedItemError, match=r"too short .*got 3 bytes"):
        zones_of_places(homes(1), secret=b"abc")
    with pytest.raises(ZoneFileError, match="no JSON"):
        zones_of_places(homes(1), secret=SECRET, onto=b"{")
    edge = KnownPlace(id="edge", kind=ZoneKind.HOME, lat=0.0, lon=179.9999)
    with pytest.raises(ZoneFileError, match="'edge'"):
        zones_of_places([edge], secret=SECRET)
