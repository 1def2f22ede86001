"""APPROVED, every kind that holds positions: one place comes out the same in all, where the processor puts it."""

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import laspy
import numpy as np
import pytest
from pypcd4 import Encoding, PointCloud
from pyproj import CRS

from anonymize.containers.mcap_writer import write_mcap
from anonymize.containers.open import open_container
from anonymize.containers.positions import tracks_of
from anonymize.containers.stream import ContainerKind
from anonymize.formats.csv_track import write_csv_track
from anonymize.formats.gpx import write_gpx
from anonymize.formats.nmea import read_nmea, write_nmea
from anonymize.geo.crs import from_wgs84, geodesic_m, to_wgs84
from anonymize.geo.secrecy_processor import installed_processor
from anonymize.profile import shipped_profile
from gateway.flow.build import load_built
from gateway.flow.dossier import recording_summary, release_summary
from gateway.flow.gate import Gate
from gateway.flow.recording import BuiltItem, Level, ReleaseMode
from gateway.flow.serve import read_item
from recorded_drive import UTM, Drive, drive
from simulators import PURPOSE, House, candidate, cleanse, grant, publish
from town_maps import osm
from unsafe_secrecy_processor import ATTESTATION, UnsafeTestProcessor, install

LIMITS = shipped_profile("cn-2026").profile
SECONDS = 500
TOLERANCE_M = 0.01
# Seven decimals of degrees in maps, and millimetres in clouds, say a place no better.
WRITTEN_M = 0.002


@dataclass(frozen=True)
class Out:
    """A release of one drive: what was built, and what its recipient reads, by ending of the name."""

    gate: Gate
    release: str
    built: dict[str, BuiltItem]
    content: dict[str, bytes]


def places(made: Drive) -> tuple[np.ndarray, np.ndarray]:
    """Nine true fixes about the middle of the drive, which every kind shows."""
    # Two fixes a second.
    middle = slice(SECONDS - 40, SECONDS + 50, 10)
    return made.track.lat[middle], made.track.lon[middle]


def las(made: Drive, *, compressed: bool) -> bytes:
    header = laspy.LasHeader(point_format=1, version="1.2")
    header.scales = [0.001] * 3
    header.add_crs(CRS.from_user_input(UTM))
    cloud = laspy.LasData(header)
    x, y = from_wgs84(*places(made), UTM)
    cloud.header.offsets = np.floor([x.min(), y.min(), 40.0])
    cloud.x, cloud.y, cloud.z = x, y, np.full(len(x), 43.5)
    out = io.BytesIO()
    cloud.write(out, do_compress=compressed, laz_backend=laspy.LazBackend.Lazrs if compressed else None)
    return out.getvalue()


def pcd(made: Drive, dtype: str = "f8") -> bytes:
    lat, lon = places(made)
    columns = [lon.astype(dtype), lat.astype(dtype), np.full(len(lat), 43.5, "f4")]
    cloud = PointCloud.from_points(columns, ("x", "y", "z"), [c.dtype for c in columns])
    out = io.BytesIO()
    cloud.save(out, Encoding("binary"))
    return out.getvalue()


def geojson(made: Drive) -> bytes:
    line = [[lon, lat] for lat, lon in zip(*(v.tolist() for v in places(made)), strict=True)]
    feature = {
        "type": "Feature",
        "properties": {"highway": "tertiary", "lanes": 2},
        "geometry": {"type": "LineString", "coordinates": line},
    }
    return json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()


def osm_map(made: Drive) -> bytes:
    lat, lon = places(made)
    nodes = {i + 1: (a, b, {}) for i, (a, b) in enumerate(zip(lat.tolist(), lon.tolist(), strict=True))}
    return osm("osm", nodes, {1: (list(nodes), {"highway": "tertiary"})})


def container(made: Drive) -> bytes:
    messages = [m for m in made.recorder.messages if "Image" not in m.channel.schema.name]
    return b"".join(write_mcap(messages, profile="ros2", chunk_bytes=1 << 18))


def files(made: Drive) -> dict[str, bytes]:
    return {
        "drive.csv": write_csv_track(made.track),
        "drive.gpx": write_gpx(made.track),
        "drive.nmea": write_nmea(made.track),
        "cloud/site.las": las(made, compressed=False),
        "cloud/site.laz": las(made, compressed=True),
        "cloud/site.pcd": pcd(made),
        "map.geojson": geojson(made),
        "map.osm": osm_map(made),
        "drive.mcap": container(made),
    }


@pytest.fixture(scope="module")
def made() -> Drive:
    return drive(seconds=SECONDS)


@pytest.fixture(scope="module")
def out(made: Drive, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Out]:
    """Everything of one drive in one release through the real gate."""
    folder = tmp_path_factory.mktemp("approved")
    with pytest.MonkeyPatch.context() as patch:
        install(folder, patch)
        house = House(home=folder / "home")
        with house.opened() as gate:
            house.furnish(gate)
            recording = cleanse(gate, files(made))
            states = {i["name"]: i["state"] for i in recording_summary(gate, recording)["items"]}
            assert set(states.values()) == {"cleansed"}, states
            release = candidate(gate, house, recording, mode=ReleaseMode.APPROVED)
            summary = release_summary(gate, release)
            assert summary["left_out"] == {}, summary["left_out"]
            publish(gate, house, release)
            grant(gate, house, release)
            with gate.database.read() as session:
                items = load_built(gate, session, release).items
            engineer = house.people["engineer"].actor
            content = {
                i.name.partition(".")[2]: b"".join(
                    read_item(gate, release, i.name, actor=engineer, purpose=PURPOSE, wanted=None).chunks
                )
                for i in items
            }
            yield Out(gate, release, {i.name.partition(".")[2]: i for i in items}, content)
    installed_processor.cache_clear()


Places = tuple[np.ndarray, np.ndarray]


def of_las(content: bytes) -> Places:
    cloud = laspy.read(io.BytesIO(content))
    return to_wgs84(np.asarray(cloud.x), np.asarray(cloud.y), UTM)


def of_pcd(content: bytes) -> Places:
    xy = PointCloud.from_fileobj(io.BytesIO(content)).numpy(("x", "y"))
    return xy[:, 1], xy[:, 0]


def of_geojson(content: bytes) -> Places:
    (feature,) = json.loads(content)["features"]
    lon, lat = np.array(feature["geometry"]["coordinates"]).T
    return lat, lon


def of_xml(content: bytes) -> Places:
    """Of every element with ``lat`` and ``lon``: nodes of OSM, points of GPX."""
    found = re.findall(rb"<(?:node|trkpt)\b[^>]*>", content)
    lat, lon = (
        np.array([float(re.search(rb'\b%s="([^"]+)"' % name, each)[1]) for each in found])
        for name in (b"lat", b"lon")
    )
    return lat, lon


def of_csv(content: bytes) -> Places:
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    return np.array([float(r["lat"]) for r in rows]), np.array([float(r["lon"]) for r in rows])


def of_nmea(content: bytes) -> Places:
    track = read_nmea(content, profile=LIMITS.tracks, crs="EPSG:4326")
    return track.lat, track.lon


def of_mcap(content: bytes) -> Places:
    released = open_container(io.BytesIO(content), ContainerKind.MCAP, profile=LIMITS.containers)
    (track,) = tracks_of(released, profile=LIMITS)
    return track.lat, track.lon


READ = {
    "csv": of_csv, "gpx": of_xml, "nmea": of_nmea, "las": of_las, "laz": of_las, "pcd": of_pcd,
    "geojson": of_geojson, "osm": of_xml, "mcap": of_mcap,
}  # fmt: skip


@pytest.mark.parametrize("ending", READ)
def test_one_place_comes_out_the_same_in_every_kind(out: Out, made: Drive, ending: str):
    lat, lon = places(made)
    want = UnsafeTestProcessor().process(lat.copy(), lon.copy(), None)
    shown = READ[ending](out.content[ending])
    # NMEA writes minutes, of which a true fix is already rounded.
    limit = TOLERANCE_M + (0.02 if ending == "nmea" else WRITTEN_M)
    for i in range(len(lat)):
        one = np.full(len(shown[0]), want[0][i]), np.full(len(shown[0]), want[1][i])
        assert geodesic_m(*one, *shown)[0].min() <= limit
        true = np.full(len(shown[0]), lat[i]), np.full(len(shown[0]), lon[i])
        assert geodesic_m(*true, *shown)[0].min() > 50.0


@pytest.mark.parametrize("ending", READ)
def test_the_level_is_lowered_by_attestation_only_and_the_operator_keeps_a_sample(out: Out, ending: str):
    item = out.built[ending]
    assert item.payload["position_handling"] == "approved"
    facts = item.payload["facts"]
    assert facts["secrecy_tech_id"] == ATTESTATION.secrecy_tech_id
    assert facts["attestation"] == ATTESTATION.as_dict()
    assert "turns directions alike" in facts["checks"]
    assert item.payload["residual"]["residual"] == []
    # The container holds an IMU: no processor treated its motion, so it keeps its level.
    assert item.level is (Level.S3_SENSITIVE_GEO if ending == "mcap" else Level.S1_PROCESSED)
    told = json.dumps(facts)
    assert "shift" not in told
    assert "strain" not in told
    sample = json.loads(item.payload["kept"]["processor_sample"])
    before, after = np.array(sample["before"]), np.array(sample["after"])
    want = UnsafeTestProcessor().process(before[:, 0].copy(), before[:, 1].copy(), None)
    assert 1 < len(before) <= 20
    assert geodesic_m(want[0], want[1], after[:, 0], after[:, 1])[0].max() < TOLERANCE_M


def test_what_the_recipient_and_the_dossier_read_holds_no_sample(out: Out):
    assert "processor_sample" not in json.dumps(release_summary(out.gate, out.release))
