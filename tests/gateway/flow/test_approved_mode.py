"""APPROVED: tracks leave through the one installed and attested processor, at the level that only it can lower."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from pypcd4 import Encoding, PointCloud

from anonymize.geo.crs import geodesic_m
from anonymize.geo.secrecy_processor import installed_processor
from gateway.errors import InvalidRequestError
from gateway.flow.build import load_built
from gateway.flow.dossier import release_summary
from gateway.flow.gate import Gate
from gateway.flow.recording import Level, ReleaseMode
from gateway.flow.serve import read_item, read_manifest
from simulators import PURPOSE, House, candidate, cleanse, csv_track, grant, png, publish, route
from unsafe_secrecy_processor import ATTESTATION, UnsafeTestProcessor, install


@pytest.fixture
def processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The test double, installed as a package with the one entry point."""
    install(tmp_path, monkeypatch)
    yield UnsafeTestProcessor()
    installed_processor.cache_clear()


def test_a_track_leaves_where_the_processor_puts_it_and_lowered(
    sqlite_gate: Gate, sqlite_house: House, processor: UnsafeTestProcessor
):
    recording = cleanse(sqlite_gate, {"drive.csv": csv_track()})
    release = candidate(sqlite_gate, sqlite_house, recording, mode=ReleaseMode.APPROVED)
    publish(sqlite_gate, sqlite_house, release)
    with sqlite_gate.database.read() as session:
        (item,) = load_built(sqlite_gate, session, release).items
    assert item.level is Level.S1_PROCESSED
    assert item.payload["position_handling"] == "approved"
    assert item.payload["facts"]["secrecy_tech_id"] == ATTESTATION.secrecy_tech_id
    assert "before" in item.payload["kept"]["processor_sample"]
    summary = release_summary(sqlite_gate, release)
    assert "processor_sample" not in str(summary)
    (told,) = summary["processor"]
    assert (told["name"], told["attestation"]) == (item.name, ATTESTATION.as_dict())
    assert "deterministic" in told["checks"]
    grant(sqlite_gate, sqlite_house, release)
    reader = sqlite_house.people["engineer"].actor
    read_manifest(sqlite_gate, release, actor=reader, purpose=PURPOSE)
    reading = read_item(sqlite_gate, release, item.name, actor=reader, purpose=PURPOSE, wanted=None)
    rows = b"".join(reading.chunks).decode().splitlines()
    first = dict(zip(rows[0].split(","), rows[1].split(","), strict=True))
    lats, lons = route()
    out_lat, out_lon, _ = processor.process(_array(lats), _array(lons), None)
    released = _array([float(first["lat"])] * len(lats)), _array([float(first["lon"])] * len(lats))
    assert geodesic_m(out_lat, out_lon, *released)[0].min() < 0.02
    assert geodesic_m(_array(lats), _array(lons), *released)[0].min() > 50.0


def test_without_a_processor_nothing_leaves(sqlite_gate: Gate, sqlite_house: House):
    installed_processor.cache_clear()
    recording = cleanse(sqlite_gate, {"drive.csv": csv_track()})
    with pytest.raises(InvalidRequestError, match="no item"):
        candidate(sqlite_gate, sqlite_house, recording, mode=ReleaseMode.APPROVED)


def test_a_processor_with_another_certificate_is_refused(
    sqlite_gate: Gate, sqlite_house: House, processor: UnsafeTestProcessor
):
    del processor
    object.__setattr__(sqlite_gate.settings, "processor_certificate_sha256", "0" * 64)
    recording = cleanse(sqlite_gate, {"drive.csv": csv_track()})
    with pytest.raises(InvalidRequestError, match="no item"):
        candidate(sqlite_gate, sqlite_house, recording, mode=ReleaseMode.APPROVED)


def test_pictures_leave_beside_it_at_their_own_level(
    sqlite_gate: Gate, sqlite_house: House, processor: UnsafeTestProcessor
):
    del processor
    files = {"drive.csv": csv_track(), "front.png": png(80, 60)}
    recording = cleanse(sqlite_gate, files, attestation="a closed test track")
    release = candidate(sqlite_gate, sqlite_house, recording, mode=ReleaseMode.APPROVED)
    with sqlite_gate.database.read() as session:
        handling = {i.payload["position_handling"] for i in load_built(sqlite_gate, session, release).items}
    assert handling == {"approved", "stripped"}


def _line(lats, lons) -> bytes:
    """A GeoJSON map of one road."""
    road = {"type": "LineString", "coordinates": [list(place) for place in zip(lons, lats, strict=True)]}
    feature = {"type": "Feature", "properties": {"highway": "tertiary", "lanes": 2}, "geometry": road}
    return json.dumps({"type": "FeatureCollection", "features": [feature]}).encode()


def _pcd(lats, lons, dtype: str) -> bytes:
    columns = [np.asarray(v, dtype) for v in (lons, lats, np.zeros(len(lats)))]
    out = io.BytesIO()
    PointCloud.from_points(columns, ("x", "y", "z"), [c.dtype for c in columns]).save(out, Encoding("binary"))
    return out.getvalue()


def test_a_map_without_a_track_goes_to_the_processor_too(
    sqlite_gate: Gate, sqlite_house: House, processor: UnsafeTestProcessor
):
    lats, lons = (values[:40] for values in route())
    recording = cleanse(sqlite_gate, {"map.geojson": _line(lats, lons)})
    release = candidate(sqlite_gate, sqlite_house, recording, mode=ReleaseMode.APPROVED)
    publish(sqlite_gate, sqlite_house, release)
    with sqlite_gate.database.read() as session:
        (item,) = load_built(sqlite_gate, session, release).items
    assert (item.level, item.payload["position_handling"]) == (Level.S1_PROCESSED, "approved")
    assert item.payload["facts"]["attestation"] == ATTESTATION.as_dict()
    grant(sqlite_gate, sqlite_house, release)
    reader = sqlite_house.people["engineer"].actor
    reading = read_item(sqlite_gate, release, item.name, actor=reader, purpose=PURPOSE, wanted=None)
    (feature,) = json.loads(b"".join(reading.chunks))["features"]
    lon, lat = np.array(feature["geometry"]["coordinates"]).T
    want = processor.process(_array(lats), _array(lons), None)
    assert geodesic_m(want[0], want[1], lat, lon)[0].max() < 0.01


def test_a_cloud_whose_numbers_are_too_coarse_for_the_processors_places_stays(
    sqlite_gate: Gate, sqlite_house: House, processor: UnsafeTestProcessor
):
    del processor
    lats, lons = (values[:40] for values in route())
    files = {
        "drive.csv": csv_track(),
        "a/fine.pcd": _pcd(lats, lons, "f8"),
        "b/coarse.pcd": _pcd(lats, lons, "f4"),
    }
    recording = cleanse(sqlite_gate, files)
    release = candidate(sqlite_gate, sqlite_house, recording, mode=ReleaseMode.APPROVED)
    with sqlite_gate.database.read() as session:
        built = load_built(sqlite_gate, session, release)
    assert sorted(item.name.rpartition(".")[2] for item in built.items) == ["csv", "pcd"]
    assert list(built.left_out.values()) == ["limit_exceeded"]


def test_a_processor_that_forgets_what_it_said_lets_nothing_out(
    sqlite_gate: Gate, sqlite_house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    install(tmp_path, monkeypatch, "UnsafeCountingProcessor")
    lats, lons = (values[:40] for values in route())
    files = {"drive.csv": csv_track(), "site.pcd": _pcd(lats, lons, "f8"), "map.geojson": _line(lats, lons)}
    recording = cleanse(sqlite_gate, files)
    with pytest.raises(InvalidRequestError, match="no item"):
        candidate(sqlite_gate, sqlite_house, recording, mode=ReleaseMode.APPROVED)
    installed_processor.cache_clear()


def _array(values):
    return np.asarray(values, dtype=np.float64)
