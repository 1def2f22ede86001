"""A made town as a vector map, with everything planted in it that must not leave."""

import json
import math
import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import osmium
import osmium.io
from osmium.osm import mutable

from gateway.flow.build import build_release
from gateway.flow.gate import Gate
from gateway.flow.recording import ReleaseMode
from gateway.flow.records import ReleaseRow
from gateway.flow.request import ReleaseRequest, request_release
from gateway.review.slope_evidence import Verdict
from gateway.review.slopes import decide_slopes, sign_review
from simulators import ORIGIN, PURPOSE, RECIPIENT, House

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
    level = [place(0, 0, 17.5), place(0, 300, 17.5)]
    street = feature("LineString", level, lanes=2, maxheight="4.2", editor="zhangsan")
    hill = feature("LineString", [place(0, 60), place(90, 60)], lanes=1, 坡度="0.09")
    garrison = feature("Polygon", [inside], landuse="military", name="Third Garrison")
    features = [{**each, "id": i} for i, each in enumerate((street, hill, garrison), start=777123)]
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False).encode()


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
