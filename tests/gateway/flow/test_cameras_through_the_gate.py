"""Described cameras in the real gate: frames that look at a zone are cut, frames that look away from it stay."""

import io
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from gateway.flow import evidence
from gateway.flow.classify import load_classified
from gateway.flow.dossier import recording_summary
from gateway.flow.gate import Gate
from gateway.flow.recording import Stage
from gateway.people.zones import install_zones
from gateway.vehicles.cameras import Camera
from simulators import ORIGIN, START, House, cleanse, csv_track, png, zone_file

SECOND = 30
FRONT, RIGHT, REAR, LEFT = 0.0, 90.0, 180.0, 270.0
LOOKS = {"front": FRONT, "right": RIGHT, "rear": REAR, "left": LEFT}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """One gate for all tests; each installs the zone file that it needs."""
    house = House(home=tmp_path_factory.mktemp("cameras") / "home")
    with house.opened() as gate:
        house.furnish(gate, zoned=False)
        yield SimpleNamespace(gate=gate, house=house, versions=itertools.count(1))


def looking(items: str, yaw_deg: float, **changes: float) -> Camera:
    given = {"fov_deg": 70.0, "heading_error_deg": 2.0, "offset_m": 0.0, **changes}
    return Camera(items=items, yaw_deg=yaw_deg, **given)


def zone_at(east_m: float, north_m: float) -> bytes:
    """A zone of 20 m with a margin of 50 m about a place, in metres from the drive at ``SECOND``."""
    dx = 1.0 / (111_320 * math.cos(math.radians(ORIGIN[0])))
    return zone_file(("MIL", ORIGIN[0] + north_m / 111_320, ORIGIN[1] + (SECOND * 12.0 + east_m) * dx, 10.0))


def csv_of(east_m: np.ndarray, north_m: np.ndarray) -> bytes:
    dy = 1.0 / 111_320
    dx = dy / math.cos(math.radians(ORIGIN[0]))
    rows = [
        f"{(START + timedelta(seconds=i)).strftime('%Y-%m-%dT%H:%M:%SZ')},"
        f"{ORIGIN[0] + north * dy:.7f},{ORIGIN[1] + east * dx:.7f}"
        for i, (east, north) in enumerate(zip(east_m, north_m, strict=True))
    ]
    return ("\n".join(["time,lat,lon", *rows]) + "\n").encode()


def install(world: SimpleNamespace, zones: bytes) -> None:
    """Put a zone file in force in place of the one before."""
    officer, version = world.house.people["officer"], next(world.versions)
    content = json.dumps({**json.loads(zones), "version": version}).encode()
    install_zones(world.gate, content, actor=officer.actor, key=officer.key)


def cleansed(
    world: SimpleNamespace,
    zones: bytes,
    cameras: Sequence[Camera],
    *,
    track: bytes | None = None,
    seconds: Mapping[str, float] | None = None,
) -> dict[str, tuple[str, dict[str, Any]]]:
    """State and cleansing evidence of a picture for each way to look, taken at ``SECOND`` of a drive east."""
    files = {f"{name}.png": png(seed=number) for number, name in enumerate(LOOKS)}
    at = {name: START + timedelta(seconds=(seconds or {}).get(name, SECOND)) for name in files}
    install(world, zones)
    everything = {"drive.csv": track or csv_track(), **files}
    recording = cleanse(world.gate, everything, captured=at, cameras=tuple(cameras))
    return {
        item["name"].removesuffix(".png"): (item["state"], payload_of(world.gate, item["item"]))
        for item in recording_summary(world.gate, recording)["items"]
        if item["name"].endswith(".png")
    }


def payload_of(gate: Gate, item: str) -> dict[str, Any]:
    with gate.database.read() as session:
        classified = load_classified(gate, session, item)
        found = evidence.load(
            gate, session, owner=item, stage=Stage.CLEANSED, previous=classified.evidence.digest
        )
    return dict(found.payload)


def states(found: Mapping[str, tuple[str, Any]]) -> dict[str, str]:
    return {name: state for name, (state, _) in found.items()}


ALL = tuple(looking(f"{name}.png", yaw) for name, yaw in LOOKS.items())
CUT_ALL = dict.fromkeys(LOOKS, "cut")


def test_a_zone_left_of_the_road_cuts_what_looks_left_and_says_how_it_was_tested(world: SimpleNamespace):
    found = cleansed(world, zone_at(0.0, 110.0), ALL)
    assert states(found) == {"front": "cleansed", "right": "cleansed", "rear": "cleansed", "left": "cut"}
    for name, (state, payload) in found.items():
        assert payload["zone_check"] == "tested"
        assert payload["facts"]["zone_area"] == "sector"
        assert payload["facts"]["camera"] == {
            "fov_deg": 70.0, "yaw_deg": LOOKS[name], "heading_error_deg": 10.0, "pose_error_m": 10.0,
        }  # fmt: skip
        assert payload["tags"] == (["MIL"] if state == "cut" else [])


def test_a_zone_right_ahead_cuts_what_looks_ahead(world: SimpleNamespace):
    found = cleansed(world, zone_at(120.0, 0.0), ALL)
    assert states(found) == {"front": "cut", "right": "cleansed", "rear": "cleansed", "left": "cleansed"}


def test_a_zone_about_the_vehicle_cuts_everything(world: SimpleNamespace):
    assert states(cleansed(world, zone_at(0.0, 0.0), ALL)) == CUT_ALL


def test_cameras_that_nobody_describes_are_tested_by_the_disc(world: SimpleNamespace):
    found = cleansed(world, zone_at(0.0, 110.0), [looking("right.png", RIGHT)])
    assert states(found) == {**CUT_ALL, "right": "cleansed"}
    assert found["left"][1]["facts"] == {"zone_area": "disc"}
    assert found["right"][1]["facts"]["zone_area"] == "sector"


def test_a_vehicle_that_stands_is_tested_by_the_disc(world: SimpleNamespace):
    seconds = np.arange(120.0)
    east = np.where(seconds < 60.0, np.minimum(12.0 * seconds, SECOND * 12.0), SECOND * 12.0)
    found = cleansed(
        world,
        zone_at(0.0, 110.0),
        ALL,
        track=csv_of(east, np.zeros(120)),
        seconds={f"{name}.png": 90.0 for name in LOOKS},
    )
    assert states(found) == CUT_ALL
    assert {payload["facts"]["zone_area"] for _, payload in found.values()} == {"disc"}


def test_a_vehicle_that_backs_towards_a_zone_is_tested_by_the_disc(world: SimpleNamespace):
    """Its track goes south at 3 m/s; its front camera looks north, at the zone that it came from."""
    seconds = np.arange(120.0)
    found = cleansed(
        world,
        zone_at(0.0, 110.0),
        ALL,
        track=csv_of(np.full(120, SECOND * 12.0), 3.0 * (SECOND - seconds)),
    )
    assert states(found) == CUT_ALL


def test_the_ends_of_a_track_are_tested_by_the_disc(world: SimpleNamespace):
    """No fix before the first tells whether the vehicle turned into its course."""
    dx = SECOND * 12.0
    zones = zone_at(-dx, 110.0)
    found = cleansed(world, zones, ALL, seconds={f"{name}.png": 0.5 for name in LOOKS})
    assert states(found) == CUT_ALL


@pytest.mark.parametrize("second", [28.0, 31.0, 34.0])
def test_in_a_curve_nothing_that_may_look_at_the_zone_stays(world: SimpleNamespace, second: float):
    """A left turn from east to north on a circle of 20 m at 8 m/s, the zone north of where it begins.

    The front camera turns towards the zone, the left one away from it: the true sector is drawn from the true
    heading, and whatever it meets must be cut.
    """
    speed, radius, begin = 8.0, 20.0, 29.0
    seconds = np.arange(120.0)
    turned = np.clip((seconds - begin) * speed / radius, 0.0, math.pi / 2.0)
    after = np.maximum(seconds - begin - math.pi / 2.0 * radius / speed, 0.0) * speed
    east = SECOND * 12.0 + np.minimum(seconds - begin, 0.0) * speed + radius * np.sin(turned)
    north = radius * (1.0 - np.cos(turned)) + after
    found = states(
        cleansed(
            world,
            zone_at(0.0, 130.0),
            ALL,
            track=csv_of(east, north),
            seconds={f"{name}.png": second for name in LOOKS},
        )
    )
    heading = 90.0 - math.degrees(np.clip((second - begin) * speed / radius, 0.0, math.pi / 2.0))
    where = np.array([np.interp(second, seconds, east) - SECOND * 12.0, np.interp(second, seconds, north)])
    towards = math.degrees(math.atan2(-where[0], 130.0 - where[1]))
    assert math.hypot(where[0], 130.0 - where[1]) < 160.0
    for name, yaw in LOOKS.items():
        off = abs((heading + yaw - towards + 180.0) % 360.0 - 180.0)
        if off < 35.0:
            assert found[name] == "cut", name
    assert "cleansed" in found.values()


def test_a_position_in_the_picture_itself_comes_without_a_heading(world: SimpleNamespace):
    """Its time may be another clock's, so that the track does not say where the vehicle headed then."""
    lon = ORIGIN[1] + SECOND * 12.0 / (111_320 * math.cos(math.radians(ORIGIN[0])))
    gps = {1: "N", 2: sexagesimal(ORIGIN[0]), 3: "E", 4: sexagesimal(lon)}
    picture = Image.open(io.BytesIO(png()))
    exif = picture.getexif()
    exif.get_ifd(0x8825).update(gps)
    out = io.BytesIO()
    picture.save(out, "JPEG", exif=exif)
    install(world, zone_at(0.0, 110.0))
    recording = cleanse(
        world.gate,
        {"drive.csv": csv_track(), "own.jpg": out.getvalue()},
        captured={"own.jpg": START + timedelta(seconds=SECOND)},
        cameras=(looking("own.jpg", RIGHT),),
    )
    (item,) = (i for i in recording_summary(world.gate, recording)["items"] if i["name"] == "own.jpg")
    assert item["state"] == "cut"
    assert payload_of(world.gate, item["item"])["facts"]["zone_area"] == "disc"


def sexagesimal(degrees: float) -> tuple[IFDRational, ...]:
    whole, minutes = int(degrees), (degrees % 1.0) * 60.0
    seconds = round((minutes % 1.0) * 60.0 * 10_000)
    return IFDRational(whole), IFDRational(int(minutes)), IFDRational(seconds, 10_000)


@pytest.mark.parametrize("fov", [1e-6, 5.0, 60.0])
def test_a_camera_is_never_tested_narrower_than_the_profile_allows(world: SimpleNamespace, fov: float):
    """The zone lies 33 degrees off the axis: half of 60 degrees, an error of 10 and 10 m of position reach it."""
    off = math.radians(33.0)
    zones = zone_at(140.0 * math.cos(off), 140.0 * math.sin(off))
    sly = looking("front.png", FRONT, fov_deg=fov, heading_error_deg=0.0)
    found = cleansed(world, zones, [sly])
    assert found["front"][0] == "cut"
    assert found["front"][1]["facts"]["camera"]["fov_deg"] == 60.0
    assert found["front"][1]["facts"]["camera"]["heading_error_deg"] == 10.0


def test_what_the_vehicle_is_unsure_of_widens_the_sector(world: SimpleNamespace):
    sure, unsure = looking("front.png", FRONT), looking("rear.png", FRONT, heading_error_deg=70.0)
    far = looking("right.png", RIGHT, offset_m=30.0)
    found = cleansed(world, zone_at(0.0, 110.0), [sure, unsure, far])
    assert states(found) == {"front": "cleansed", "rear": "cut", "right": "cleansed", "left": "cut"}
    assert found["right"][1]["facts"]["camera"]["pose_error_m"] == 40.0


def test_a_camera_off_the_antenna_is_tested_where_it_may_be(world: SimpleNamespace):
    zones = zone_at(0.0, 188.0)
    near, off = looking("front.png", LEFT), looking("left.png", LEFT, offset_m=30.0)
    found = cleansed(world, zones, [near, off])
    assert states(found)["front"] == "cleansed"
    assert states(found)["left"] == "cut"
