"""Tracks through the gate: declared systems are undone before zones are tested; odd times and meridians pass."""

import io
from collections.abc import Iterator, Mapping
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from anonymize.containers.mcap_writer import write_mcap
from anonymize.formats.identify import ItemKind
from anonymize.geo.crs import from_wgs84, geodesic_m, kind_of
from gateway.flow.cleanse import load_cleansed, open_treated
from gateway.flow.dossier import recording_summary, release_summary
from gateway.flow.gate import Gate
from gateway.flow.intake import Delivery, announce, receive_item
from gateway.flow.kinds.tracks import read_track
from gateway.flow.recording import ItemState, ReleaseMode
from gateway.flow.records import ItemRow
from gateway.flow.serve import read_item
from gateway.workers import advance
from recorded_drive import drive as recorded_drive
from simulators import (
    PURPOSE,
    START,
    House,
    candidate,
    cleanse,
    grant,
    manifest_of,
    png,
    publish,
    route,
    vehicle_actor,
    zone_file,
)

COUNT, MIDDLE = 300, 150
ZONE_M, MARGIN_M = 60.0, 50.0
"""Half a side of the square zone, and the margin that ``zone_file`` gives it: less than GCJ-02 displaces."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A gate with a military zone about the middle of the route."""
    house = House(home=tmp_path_factory.mktemp("tracks") / "home")
    lats, lons = route(COUNT)
    with house.opened() as gate:
        house.furnish(gate, zone_file(("MIL", lats[MIDDLE], lons[MIDDLE], ZONE_M)))
        yield SimpleNamespace(gate=gate, house=house, lat=np.array(lats), lon=np.array(lons))


def stamp(second: float) -> str:
    return (START + timedelta(seconds=second)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def gpx(first: np.ndarray, second: np.ndarray) -> bytes:
    points = "".join(
        f'<trkpt lat="{y!r}" lon="{x!r}"><time>{stamp(i)}</time></trkpt>'
        for i, (y, x) in enumerate(zip(first.tolist(), second.tolist(), strict=True))
    )
    return f'<gpx version="1.1"><trk><trkseg>{points}</trkseg></trk></gpx>'.encode()


def csv(first: np.ndarray, second: np.ndarray, header: str = "time,lat,lon", times: object = None) -> bytes:
    seconds = np.arange(len(first)) if times is None else np.asarray(times)
    rows = [
        f"{stamp(float(t))},{y!r},{x!r}"
        for t, y, x in zip(seconds, first.tolist(), second.tolist(), strict=True)
    ]
    return "\n".join([header, *rows, ""]).encode()


def delivered(gate: Gate, files: Mapping[str, bytes], crs: str) -> str:
    manifest = manifest_of(files, captured={}, crs=crs)
    delivery = Delivery(manifest=manifest, source="vehicle", manifest_signed=True)
    recording = announce(gate, delivery, actor=vehicle_actor())
    for position, item in enumerate(manifest.items):
        receive_item(gate, recording, position, [files[item.name]], actor=vehicle_actor())
    advance(gate, recording)
    return recording


def treated(gate: Gate, recording: str):
    """The track that the first pass left."""
    with gate.database.read() as session:
        (row,) = session.scalars(sa.select(ItemRow).where(ItemRow.recording_id == recording))
        assert row.state == ItemState.CLEANSED, recording_summary(gate, recording)["items"]
        cleansed = load_cleansed(gate, session, row.id)
    content = open_treated(gate, cleansed).read()
    return read_track(gate, cleansed.classified.kind, content, crs="EPSG:4326"), cleansed


@pytest.mark.parametrize(
    ("crs", "form"),
    [
        ("GCJ-02", "gpx"),
        ("BD-09", "gpx"),
        ("EPSG:4490", "gpx"),
        ("GCJ-02", "csv"),
        ("EPSG:32650", "csv"),
        ("EPSG:4548", "csv"),
    ],
)
def test_a_declared_system_is_undone_before_zones_are_tested(world, crs, form):
    """The zone is cut where it truly lies, and what is left lies where it was driven to 2 cm."""
    first, second = from_wgs84(world.lat, world.lon, crs)
    header = "time,lat,lon" if kind_of(crs) == "geographic" else "time,easting,northing"
    content = gpx(first, second) if form == "gpx" else csv(first, second, header)
    track, cleansed = treated(world.gate, delivered(world.gate, {f"drive.{form}": content}, crs))
    assert "MIL" in cleansed.payload["tags"]
    index = np.round(track.time_s - START.timestamp()).astype(int)
    assert geodesic_m(track.lat, track.lon, world.lat[index], world.lon[index])[0].max() < 0.02
    away, _ = geodesic_m(
        world.lat, world.lon, np.full(COUNT, world.lat[MIDDLE]), np.full(COUNT, world.lon[MIDDLE])
    )
    assert not np.isin(np.flatnonzero(away < ZONE_M + MARGIN_M - 1.0), index).any()
    assert np.isin(np.flatnonzero(away > ZONE_M + MARGIN_M + 25.0), index).all()


def test_an_undeclared_system_would_have_missed_the_zone(world):
    """What the test before rests on: read as WGS-84, these fixes pass the zone without touching it."""
    first, second = from_wgs84(world.lat, world.lon, "GCJ-02")
    content = gpx(first, second)
    _, cleansed = treated(world.gate, delivered(world.gate, {"drive.gpx": content}, "EPSG:4326"))
    assert "MIL" not in cleansed.payload["tags"]


@pytest.mark.parametrize(
    ("crs", "form"), [("EPSG:32650", "gpx"), ("EPSG:4978", "gpx"), ("EPSG:32650", "nmea")]
)
def test_degrees_under_a_system_of_metres_are_held(world, crs, form):
    content = {
        "gpx": gpx(world.lat, world.lon),
        "nmea": b"$GPGLL,3957.0000,N,11618.0000,E,013000.00,A*01\r\n",
    }[form]
    recording = delivered(world.gate, {f"drive.{form}": content}, crs)
    (item,) = recording_summary(world.gate, recording)["items"]
    assert (item["state"], item["reason"]) == ("held", "unknown_crs")
    assert crs in item["detail"]


def test_a_container_under_a_system_that_its_fixes_cannot_be_in_is_held(world):
    """Fixes of ROS are WGS-84 by their definition: under GCJ-02 nobody knows where they were."""
    made = recorded_drive(seconds=10)
    messages = [m for m in made.recorder.messages if "Image" not in m.channel.schema.name]
    content = b"".join(write_mcap(messages, profile="ros2", chunk_bytes=1 << 16))
    recording = delivered(world.gate, {"drive.mcap": content}, "GCJ-02")
    (item,) = recording_summary(world.gate, recording)["items"]
    assert (item["state"], item["reason"]) == ("held", "unknown_crs")
    assert "GCJ-02" in item["detail"]


def photograph(lat: float, lon: float) -> bytes:
    picture, out = Image.open(io.BytesIO(png())), io.BytesIO()
    exif = picture.getexif()
    exif.get_ifd(0x8825).update(
        {1: "N", 2: sexagesimal(lat), 3: "E", 4: sexagesimal(lon), 0x12: "WGS-84"}  # GPSMapDatum
    )
    picture.save(out, "JPEG", exif=exif)
    return out.getvalue()


def sexagesimal(degrees: float) -> tuple[IFDRational, ...]:
    whole, minutes = int(degrees), (degrees % 1.0) * 60.0
    seconds = round((minutes % 1.0) * 60.0 * 10_000)
    return IFDRational(whole), IFDRational(int(minutes)), IFDRational(seconds, 10_000)


@pytest.mark.parametrize("crs", ["GCJ02", "BD-09", "EPSG:4326"])
def test_a_place_in_a_picture_is_tested_in_both_systems_that_it_may_be_in(world, crs):
    """The manifest declares a map of China, also by an alias; EXIF says WGS-84 whatever the device wrote."""
    there = float(world.lat[MIDDLE]), float(world.lon[MIDDLE])
    y, x = from_wgs84([there[0]], [there[1]], "GCJ-02" if crs == "EPSG:4326" else crs)
    files = {
        "true.jpg": photograph(*there),
        "shown.jpg": photograph(float(y[0]), float(x[0])),
        "far.jpg": photograph(there[0] + 0.05, there[1]),
    }
    recording = cleanse(world.gate, files, captured={}, crs=crs)
    states = {item["name"]: item["state"] for item in recording_summary(world.gate, recording)["items"]}
    ambiguous = crs != "EPSG:4326"
    assert states == {
        "true.jpg": ItemState.CUT,
        "shown.jpg": ItemState.CUT if ambiguous else ItemState.CLEANSED,
        "far.jpg": ItemState.CLEANSED,
    }


@pytest.mark.parametrize("name", ["GCJ02", "BD09", "BD09LL", "OGC:CRS84", "epsg:4490"])
def test_other_names_of_a_system_are_admitted_as_the_system_is(world, name):
    manifest = manifest_of({"notes.txt": b"Sunny.\n"}, captured={}, crs=name)
    delivery = Delivery(manifest=manifest, source="vehicle", manifest_signed=True)
    assert announce(world.gate, delivery, actor=vehicle_actor())


TIMES = {
    "duplicates": np.repeat(np.arange(COUNT // 2), 2),
    "all at once": np.zeros(COUNT),
    "backwards": np.arange(COUNT)[::-1],
    "one step back": np.r_[np.arange(200), np.arange(100, 200)],
}


@pytest.mark.parametrize("case", TIMES)
def test_odd_times_lose_no_fix_outside_the_zone_and_join_nothing_across_a_step_back(world, case):
    content = csv(world.lat, world.lon, times=TIMES[case])
    track, cleansed = treated(world.gate, delivered(world.gate, {"drive.csv": content}, "EPSG:4326"))
    assert "MIL" in cleansed.payload["tags"]
    assert len(track) > COUNT - 2 * (ZONE_M + MARGIN_M + 25.0) / 12.0 - 1
    for part in track.segments():
        assert (np.diff(track.time_s[part]) >= 0.0).all()


@pytest.mark.parametrize(
    ("mode", "lat", "step_m"), [(ReleaseMode.LOCAL, -17.0, 12.0), (ReleaseMode.OFFSET, -16.5, 14.0)]
)
def test_a_drive_across_the_antimeridian_leaves_as_any_other(world, mode, lat, step_m):
    gate, house = world.gate, world.house
    east = step_m / (111_320.0 * np.cos(np.radians(lat)))
    count = 600
    # Fiji: a road crosses the meridian on Taveuni.
    lon = (179.97 + np.arange(count) * east + 180.0) % 360.0 - 180.0
    recording = cleanse(gate, {"drive.csv": csv(np.full(count, lat), lon)}, captured={})
    track, _ = treated(gate, recording)
    assert len(track) == count
    assert track.path_length_m() == pytest.approx(step_m * (count - 1), rel=0.01)
    release = candidate(gate, house, recording, mode=mode)
    publish(gate, house, release)
    grant(gate, house, release)
    engineer = house.people["engineer"].actor
    (name,) = (item["name"] for item in release_summary(gate, release)["items"])
    content = b"".join(
        read_item(gate, release, name, actor=engineer, purpose=PURPOSE, wanted=None).chunks
    ).decode()
    if mode is ReleaseMode.LOCAL:
        xy = np.array([row.split(",")[2:4] for row in content.splitlines()[1:]], dtype=float)
        assert np.hypot(*xy.T).max() <= 2 * gate.profile.profile.tracks.local_clip_m
    else:
        shown = read_track(gate, ItemKind.CSV_TRACK, content.encode(), crs="EPSG:4326")
        assert len(list(shown.segments())) == 1
        assert np.abs(np.diff(shown.time_s) - 1.0).max() < 0.001
        limit = gate.profile.profile.tracks.offset_max_strain
        assert shown.path_length_m() / (len(shown) - 1) == pytest.approx(step_m, rel=limit + 0.002)
