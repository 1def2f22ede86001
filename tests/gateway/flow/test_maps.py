"""Vector maps through the gate: cleansed against rules and zones, reviewed, moved, and nothing planted leaves."""

import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import osmium
import osmium.io
import pytest
import sqlalchemy as sa
from osmium.osm import mutable

from anonymize.geo.crs import geodesic_m
from audit.events import EventType, Outcome
from audit.query import EntryFilter, find_all
from gateway.errors import (
    ApprovalInvalidError,
    DeniedError,
    ForbiddenError,
    InvalidRequestError,
    ObligationError,
    ReviewPendingError,
    StageOrderError,
)
from gateway.flow.build import build_release, load_built
from gateway.flow.cleanse import load_cleansed
from gateway.flow.dossier import release_summary
from gateway.flow.gate import Gate
from gateway.flow.judge import judge_release
from gateway.flow.recording import Cleansed, ItemState, ReleaseMode, ReleaseState
from gateway.flow.records import ItemRow, ReleaseRow, SlopeReviewRow
from gateway.flow.release import load_approved
from gateway.flow.request import ReleaseRequest, request_release
from gateway.flow.serve import read_item
from gateway.people.records import PersonRow
from gateway.review.slope_evidence import Verdict
from gateway.review.slopes import decide_slopes, list_waiting, sign_review
from simulators import ORIGIN, PURPOSE, RECIPIENT, House, candidate, cleanse, grant, publish, sign, zone_file

PLANTED = (b"zhangsan", b"4.2", b"17.5", b"Third Garrison", b"2024-01-02", b"777123", b"osmium")
EDITED: dict[str, Any] = {
    "version": 3,
    "changeset": 777123,
    "uid": 5,
    "user": "zhangsan",
    "timestamp": "2024-01-02T03:04:05Z",
}
Tags = dict[str, str]


def at(north_m: float, east_m: float) -> tuple[float, float]:
    """Latitude and longitude of a place given in metres from the origin."""
    return (
        ORIGIN[0] + north_m / 111_200.0,
        ORIGIN[1] + east_m / (111_200.0 * math.cos(math.radians(ORIGIN[0]))),
    )


GARRISON = at(2_000.0, 0.0)


def osm(
    form: str, nodes: Mapping[int, tuple[float, float, Tags]], ways: Mapping[int, tuple[list[int], Tags]]
) -> bytes:
    """OSM XML or PBF by osmium, with editor metadata and the generator's name."""
    descriptor = os.memfd_create("test")
    writer = osmium.SimpleWriter(osmium.io.File(f"/proc/self/fd/{descriptor}", form), overwrite=True)
    for number, (lat, lon, tags) in nodes.items():
        writer.add_node(mutable.Node(id=number, location=(lon, lat), tags=tags, **EDITED))
    for number, (refs, tags) in ways.items():
        writer.add_way(mutable.Way(id=number, nodes=refs, tags=tags, **EDITED))
    writer.close()
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return file.read()


def town(form: str = "osm", *, sloped: bool = True, extent_m: float = 400.0) -> bytes:
    """A street with a height limit, a peak, a hill where wanted, and a garrison inside the zone."""
    nodes = {i: (*at(0.0, extent_m * i / 3), {}) for i in range(4)}
    nodes |= {i + 10: (*at(20.0 * i, 60.0), {}) for i in range(4)}
    nodes[30] = (*at(100.0, 100.0), {"natural": "peak", "name": "Kite Hill", "ele": "17.5"})
    nodes |= {40 + i: (GARRISON[0] + 1e-4 * i, GARRISON[1] + 1e-4 * (i % 2), {}) for i in range(4)}
    slope = {"incline": "9%"} if sloped else {}
    ways = {
        1: ([0, 1, 2, 3], {"highway": "tertiary", "name": "Reed Street", "maxheight": "4.2"}),
        2: ([10, 11, 12, 13], {"highway": "residential", "name": "Mill Lane", **slope}),
        3: ([40, 41, 42, 43, 40], {"landuse": "military", "name": "Third Garrison"}),
    }
    if extent_m < 300.0:
        # Within one clip: the zone lies far outside.
        ways.pop(3)
        nodes = {i: node for i, node in nodes.items() if i < 40}
    return osm(form, {i + 1: node for i, node in nodes.items()}, _from_one(ways))


def _from_one(ways: Mapping[int, tuple[list[int], Tags]]) -> dict[int, tuple[list[int], Tags]]:
    return {number: ([i + 1 for i in refs], tags) for number, (refs, tags) in ways.items()}


def geojson_town() -> bytes:
    def feature(kind: str, coordinates: Any, **properties: Any) -> dict[str, Any]:
        return {
            "type": "Feature",
            "id": 777123,
            "properties": properties,
            "geometry": {"type": kind, "coordinates": coordinates},
        }

    def place(north_m: float, east_m: float, *more: float) -> list[float]:
        return [*reversed(at(north_m, east_m)), *more]

    lat, lon = GARRISON
    inside = [[lon, lat], [lon + 1e-4, lat], [lon, lat + 1e-4], [lon, lat]]
    street = feature("LineString", [place(0, 0, 17.5), place(0, 300, 17.5)], lanes=2, maxheight="4.2", editor="zhangsan")
    hill = feature("LineString", [place(0, 60), place(90, 60)], lanes=1, 坡度="0.09")
    garrison = feature("Polygon", [inside], landuse="military", name="Third Garrison")
    features = [{**each, "id": i} for i, each in enumerate((street, hill, garrison), start=777123)]
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False).encode()


@pytest.fixture
def zoned(sqlite_house: House) -> Iterator[Gate]:
    """A furnished gate with a military zone two kilometres north of the origin."""
    with sqlite_house.opened() as gate:
        sqlite_house.furnish(gate, zone_file(("MIL", *GARRISON, 100.0)))
        yield gate


def cleansed_of(gate: Gate, recording: str) -> Cleansed:
    with gate.database.read() as session:
        (item,) = session.scalars(sa.select(ItemRow).where(ItemRow.recording_id == recording))
        return load_cleansed(gate, session, item.id)


def built(gate: Gate, house: House, recording: str, mode: ReleaseMode = ReleaseMode.OFFSET) -> str:
    request = ReleaseRequest(
        recordings=(recording,),
        purpose=PURPOSE,
        recipient=RECIPIENT,
        mode=mode,
        expires_at=gate.clock() + timedelta(days=30),
    )
    made = request_release(gate, request, actor=house.people["submitter"].actor)
    build_release(gate, made)
    return made


def decide(
    gate: Gate, house: House, release: str, verdict: Verdict = Verdict.APPROVE, person: str = "officer"
) -> None:
    who = house.people[person]
    statement = sign_review(gate, release, verdict, "ordinary roads", reviewer=person, key=who.key)
    decide_slopes(gate, release, statement, actor=who.actor)


def state_of(gate: Gate, release: str) -> str:
    with gate.database.read() as session:
        return session.get_one(ReleaseRow, release).state


def content_of(gate: Gate, house: House, release: str) -> tuple[dict[str, Any], bytes]:
    """The only item of a release that is out, as its recipient reads it."""
    (item,) = release_summary(gate, release)["items"]
    grant(gate, house, release)
    engineer = house.people["engineer"].actor
    reading = read_item(gate, release, item["name"], actor=engineer, purpose=PURPOSE, wanted=None)
    return item, b"".join(reading.chunks)


def read_osm(content: bytes, form: str) -> list[tuple[str, Tags, tuple[float, float] | None]]:
    buffer = osmium.io.FileBuffer(content, "pbf" if form == "pbf" else "osm")
    return [
        (o.type_str(), {t.k: t.v for t in o.tags}, (o.location.lat, o.location.lon) if o.is_node() else None)
        for o in osmium.FileProcessor(buffer)
    ]


@pytest.mark.parametrize("form", ["osm", "pbf"])
def test_an_osm_map_waits_for_its_review_and_then_leaves_moved_without_what_was_planted(
    zoned: Gate, sqlite_house: House, form: str
):
    recording = cleanse(zoned, {f"town.{'osm.pbf' if form == 'pbf' else 'osm'}": town(form)})
    found = cleansed_of(zoned, recording)
    assert found.classified.data_class.value == "MAP_VECTOR"
    assert found.level.name == "S3_SENSITIVE_GEO"
    assert {"LIMIT_HWW", "ELEV", "SLOPE_CURV", "MIL"} <= set(found.payload["tags"])
    assert found.payload["facts"]["reviews_by_key"] == {"incline": 1}
    with pytest.raises(ReviewPendingError):
        candidate(zoned, sqlite_house, recording, mode=ReleaseMode.OFFSET)
    with zoned.database.read() as session:
        release = session.scalars(sa.select(ReleaseRow.id)).one()
    assert state_of(zoned, release) == ReleaseState.BUILT
    decide(zoned, sqlite_house, release)
    judge_release(zoned, release)
    publish(zoned, sqlite_house, release)
    item, content = content_of(zoned, sqlite_house, release)
    assert item["class"] == "MAP_VECTOR"
    assert item["name"].endswith(".osm.pbf" if form == "pbf" else ".osm")
    assert [planted for planted in PLANTED if planted in content] == []
    features = read_osm(content, form)
    tags = [t for _, t, _ in features if t]
    assert {"highway": "tertiary", "name": "Reed Street"} in tags
    assert {"highway": "residential", "name": "Mill Lane", "incline": "9%"} in tags
    assert {"natural": "peak", "name": "Kite Hill"} in tags
    places = np.array([place for _, _, place in features if place])
    truth = np.array([at(0.0, 0.0)] * len(places))
    away, _ = geodesic_m(truth[:, 0], truth[:, 1], places[:, 0], places[:, 1])
    assert len(places) == 9
    assert float(away.max()) < 1_500.0  # nothing of the garrison, two kilometres away
    (offset,) = release_summary(zoned, release)["offset"]
    assert offset["min_shift_m"] > 200.0
    assert 0.0 < offset["max_distance_error"] < 0.007
    assert offset["mean_shift_m"] >= offset["min_shift_m"]
