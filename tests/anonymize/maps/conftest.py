import io
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import osmium
import osmium.io
import pytest
from osmium.osm import mutable

from anonymize.geo.zones import ZoneSet
from anonymize.maps.sniff import MapKind
from anonymize.profile import Profile, shipped_profile

LAT, LON = 39.9, 116.3


@pytest.fixture(scope="session")
def osm_samples() -> Path:
    root = Path(os.environ.get("FLEETGATE_SHARED", Path(__file__).resolve().parents[4] / "shared"))
    folder = root / "data" / "formats" / "osm"
    if not folder.is_dir():
        pytest.skip("the real samples are not here (FLEETGATE_SHARED names their folder)")
    return folder


@pytest.fixture(scope="session")
def profile() -> Profile:
    return shipped_profile("cn-2026").profile


@pytest.fixture(scope="session")
def no_zones() -> ZoneSet:
    return zone_set()


@pytest.fixture(scope="session")
def zones() -> ZoneSet:
    """A square of 200 m about the origin with a margin of 50 m."""
    return zone_set((LAT, LON, 100.0))


def zone_set(*squares: tuple[float, float, float]) -> ZoneSet:
    features = [
        {
            "type": "Feature",
            "properties": {"id": f"z{i}", "kind": "MIL", "margin_m": 50.0},
            "geometry": {"type": "Polygon", "coordinates": [ring(lat, lon, half)]},
        }
        for i, (lat, lon, half) in enumerate(squares)
    ]
    document = {"type": "FeatureCollection", "name": "test", "version": 1, "features": features}
    return ZoneSet.from_geojson(json.dumps(document).encode())


def ring(lat: float, lon: float, half_m: float) -> list[list[float]]:
    corners = [(-half_m, -half_m), (half_m, -half_m), (half_m, half_m), (-half_m, half_m), (-half_m, -half_m)]
    return [list(reversed(at(north, east, lat=lat, lon=lon))) for east, north in corners]


def at(north_m: float, east_m: float, *, lat: float = LAT, lon: float = LON) -> tuple[float, float]:
    """Latitude and longitude of a place given in metres from the origin."""
    return (
        round(lat + north_m / 111_200.0, 7),
        round(lon + east_m / (111_200.0 * math.cos(math.radians(lat))), 7),
    )


def osm_pbf(
    nodes: dict[int, tuple[float, float, dict[str, str]]],
    ways: dict[int, tuple[list[int], dict[str, str]]],
    relations: dict[int, tuple[list[tuple[str, int, str]], dict[str, str]]],
) -> bytes:
    """PBF with editor metadata, by osmium."""
    descriptor = os.memfd_create("test")
    writer = osmium.SimpleWriter(osmium.io.File(f"/proc/self/fd/{descriptor}", "pbf"), overwrite=True)
    edited: dict[str, Any] = {
        "version": 3,
        "changeset": 77,
        "uid": 5,
        "user": "zhangsan",
        "timestamp": "2024-01-02T03:04:05Z",
    }
    for number, (lat, lon, tags) in nodes.items():
        writer.add_node(mutable.Node(id=number, location=(lon, lat), tags=tags, **edited))
    for number, (refs, tags) in ways.items():
        writer.add_way(mutable.Way(id=number, nodes=refs, tags=tags, **edited))
    for number, (members, tags) in relations.items():
        writer.add_relation(mutable.Relation(id=number, members=members, tags=tags, **edited))
    writer.close()
    os.lseek(descriptor, 0, os.SEEK_SET)
    content = os.read(descriptor, 1 << 24)
    os.close(descriptor)
    return content


def osm_xml(
    nodes: dict[int, tuple[float, float, dict[str, str]]],
    ways: dict[int, tuple[list[int], dict[str, str]]],
    relations: dict[int, tuple[list[tuple[str, int, str]], dict[str, str]]],
) -> bytes:
    """OSM XML with editor metadata, by osmium."""
    content = osm_pbf(nodes, ways, relations)
    descriptor = os.memfd_create("test")
    writer = osmium.SimpleWriter(osmium.io.File(f"/proc/self/fd/{descriptor}", "osm"), overwrite=True)
    for feature in osmium.FileProcessor(osmium.io.FileBuffer(content, "pbf")):
        writer.add(feature)
    writer.close()
    os.lseek(descriptor, 0, os.SEEK_SET)
    made = os.read(descriptor, 1 << 24)
    os.close(descriptor)
    return made


ENCODERS: dict[MapKind, Callable[..., bytes]] = {MapKind.OSM_XML: osm_xml, MapKind.OSM_PBF: osm_pbf}


def osm_features(content: bytes, kind: MapKind) -> dict[str, dict[int, Any]]:
    """What osmium reads: by type letter and id, tags with location, nodes or members, and the user."""
    found: dict[str, dict[int, Any]] = {"n": {}, "w": {}, "r": {}}
    form = "osm" if kind is MapKind.OSM_XML else "pbf"
    for o in osmium.FileProcessor(osmium.io.FileBuffer(content, form)):
        tags = {t.k: t.v for t in o.tags}
        edited = (o.user, o.uid, o.version, o.changeset, o.timestamp.timestamp())
        letter = o.type_str()
        if letter == "n":
            body: Any = (o.location.lat, o.location.lon)
        elif letter == "w":
            body = [n.ref for n in o.nodes]
        else:
            body = [(m.type, m.ref, m.role) for m in o.members]
        found[letter][o.id] = (body, tags, edited)
    return found


def collection(*features: dict[str, Any], **members: Any) -> bytes:
    document = {"type": "FeatureCollection", **members, "features": list(features)}
    return json.dumps(document, ensure_ascii=False).encode()


def feature(kind: str, coordinates: Any, *, id: Any = None, **properties: Any) -> dict[str, Any]:  # noqa: A002
    made: dict[str, Any] = {
        "type": "Feature",
        "geometry": {"type": kind, "coordinates": coordinates},
        "properties": properties,
    }
    return made if id is None else {**made, "id": id}


def line(*places: tuple[float, float], **properties: Any) -> dict[str, Any]:
    """A line through places in metres north and east of the origin."""
    return feature("LineString", [list(reversed(at(*p))) for p in places], **properties)


def file(content: bytes) -> io.BytesIO:
    return io.BytesIO(content)


def spread(count: int, seed: int = 1) -> np.ndarray:
    """Places in metres, 1 to 5 km from the origin."""
    rng = np.random.default_rng(seed)
    return rng.uniform(1000.0, 5000.0, (count, 2))


@pytest.fixture(name="make", scope="session")
def _make() -> Any:
    """The functions of this module: tests import nothing from one another."""
    import types  # noqa: PLC0415

    return types.SimpleNamespace(**{k: v for k, v in globals().items() if not k.startswith("_")})
