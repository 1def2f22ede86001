"""Zones about the known homes and depots of a fleet, in which every track begins and ends.

A zone centred on a home gives the home away: the tracks that end on its border draw a circle, and its centre is
the door. So the circle's radius and the place of the home within it follow from a secret; the same secret gives
the same zone again, for circles drawn anew at each version would close in on the home.
"""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import shapely

from anonymize.errors import MalformedItemError, ZoneFileError
from anonymize.geo.ellipsoid import from_enu
from anonymize.geo.prf import hkdf_extract, subkey, uniform
from anonymize.geo.zone_file import ZoneKind, read_zones
from anonymize.geo.zone_margin import widened

LEAST_M = 150.0
RADIUS_M = (400.0, 600.0)
LEAST_SECRET = 16
_KINDS = (ZoneKind.DEPOT, ZoneKind.HOME)
_COLUMNS = ("id", "kind", "lat", "lon")
_LATITUDE_DEG = 80.0
_HALF_TURN_DEG = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownPlace:
    """A home or a depot.

    Attributes:
        id: Pseudonymous id, unique among the zones of the operator's file.
        kind: ``HOME`` or ``DEPOT``.
        lat: Latitude in degrees, EPSG:4326.
        lon: Longitude in degrees.
    """

    id: str
    kind: ZoneKind
    lat: float
    lon: float


def read_places(content: bytes) -> tuple[KnownPlace, ...]:
    """Read known places from CSV in UTF-8 with the columns ``id``, ``kind``, ``lat`` and ``lon``.

    Raises:
        MalformedItemError: Names the row, never its coordinates.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise MalformedItemError("the list of places is no CSV in UTF-8") from error
    places = tuple(_place(row, f"row {number}") for number, row in enumerate(rows, start=1))
    if not places:
        raise MalformedItemError(f"the list of places is empty (expected the columns {', '.join(_COLUMNS)})")
    if twice := [i for i, count in Counter(p.id for p in places).items() if count > 1]:
        raise MalformedItemError(f"ids of places are unique (got {sorted(twice)[:5]} more than once)")
    return places


def zones_of_places(places: Sequence[KnownPlace], *, secret: bytes, onto: bytes | None = None) -> bytes:
    """A zone file with a circle about each place, in which the place lies anywhere but near the border.

    Args:
        places: Homes and depots.
        secret: At least 16 bytes that the operator keeps; the same secret and id give the same circle.
        onto: A zone file whose other zones are kept; zones of the same ids are replaced and its version goes up
            by one. None: a new file of version 1.

    Returns:
        GeoJSON in UTF-8, read again as a zone file. Each place lies at least 150 m inside its circle, whose radius
        is 400 to 600 m.

    Raises:
        ZoneFileError: ``onto`` is malformed, or a place is near a pole or the antimeridian.
        MalformedItemError: The secret is too short.
    """
    if len(secret) < LEAST_SECRET:
        raise MalformedItemError(
            f"the secret is too short (got {len(secret)} bytes, expected {LEAST_SECRET} or more)"
        )
    document: dict[str, Any] = {
        "type": "FeatureCollection",
        "name": "homes and depots",
        "version": 0,
        "features": [],
    }
    if onto is not None:
        read_zones(onto)
        document = json.loads(onto.decode("utf-8-sig"))
    ours = {place.id for place in places}
    others = [f for f in document["features"] if f["properties"]["id"] not in ours]
    document["version"] += 1
    document["features"] = others + [_feature(place, secret) for place in places]
    made = json.dumps(document, ensure_ascii=False, indent=1).encode()
    read_zones(made)
    return made


def _place(row: dict[str, str | None], where: str) -> KnownPlace:
    identity, kind, lat, lon = (row.get(name) for name in _COLUMNS)
    if not identity:
        raise MalformedItemError(f"{where}: a place has an id (got {identity!r})")
    if kind not in _KINDS:
        raise MalformedItemError(f"{where}: a place is a HOME or a DEPOT (got {kind!r})")
    try:
        y, x = float(lat or "nan"), float(lon or "nan")
    except ValueError as error:
        raise MalformedItemError(f"{where}: latitude or longitude is no number") from error
    if not (abs(y) <= _LATITUDE_DEG and abs(x) <= _HALF_TURN_DEG):
        raise MalformedItemError(
            f"{where}: latitude or longitude is impossible (expected within 80 and 180 degrees)"
        )
    return KnownPlace(id=identity, kind=ZoneKind(kind), lat=y, lon=x)


def _feature(place: KnownPlace, secret: bytes) -> dict[str, Any]:
    key = subkey(hkdf_extract(b"", secret), "places", place.id.encode())
    size, distance, turn = uniform(key, "circle", 3)
    radius = RADIUS_M[0] + float(size) * (RADIUS_M[1] - RADIUS_M[0])
    off = (radius - LEAST_M) * math.sqrt(float(distance))
    angle = 2.0 * math.pi * float(turn)
    lat, lon = from_enu(off * math.sin(angle), off * math.cos(angle), place.lat, place.lon)
    try:
        circle = widened(shapely.Point(float(lon), float(lat)), radius)
    except ZoneFileError as error:
        raise ZoneFileError(f"place {place.id!r} is near a pole or the antimeridian") from error
    return {
        "type": "Feature",
        "properties": {"id": place.id, "kind": place.kind.value, "margin_m": 0},
        "geometry": json.loads(shapely.to_geojson(shapely.orient_polygons(circle))),
    }
