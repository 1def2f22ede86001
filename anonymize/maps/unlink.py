"""Release of cleansed maps: positions, ids and order under the release's key.

The second pass (DESIGN.md §4, Two passes). An offset is not anonymisation: the names and shapes of a map's roads
find their place on any other map (docs/maps.md).
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import LimitExceededError, ProfileError
from anonymize.finding import FindingKind, Treatment, TreatmentKind
from anonymize.geo.approved_displacement import ApprovedDisplacement
from anonymize.geo.crs import geodesic_m, require_crs, to_wgs84
from anonymize.geo.ellipsoid import FloatArray, from_enu, to_enu
from anonymize.geo.offset import KeyedOffset
from anonymize.geo.prf import require_key, subkey, uniform
from anonymize.maps.cleanse import MEDIA_TYPES, read_graph, require_readable, write_graph
from anonymize.maps.geojson_cleanse import GeoJsonMap, as_feature, open_geojson, write_features
from anonymize.maps.geojson_geometry import as_arrays, positions_of, with_positions
from anonymize.maps.sniff import MapKind
from anonymize.profile import Profile

__all__ = ["MapUnlinked", "unlink_map"]

MapMode = Literal["LOCAL", "OFFSET", "APPROVED"]
Move = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]

_TREATMENTS: Mapping[MapMode, TreatmentKind] = {
    "LOCAL": TreatmentKind.LOCAL_FRAME,
    "OFFSET": TreatmentKind.KEYED_OFFSET,
    "APPROVED": TreatmentKind.SECRECY_PROCESSOR,
}
_DECIMALS = 7
_ID_RANGE = 2**40
_FARTHEST_ORIGIN_SHARE = 0.5
_PLANAR = 2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapUnlinked:
    """A map as it is released.

    Attributes:
        chunks: The content, made while it is read; of GeoJSON the file must stay open until then. Once only.
        media_type: IANA media type, or the one that OpenStreetMap uses.
        treatments: What was done.
        source_lat: True latitude of each released position in the order of the content (OSM: of each node),
            EPSG:4326; for the residual scan, never released.
        source_lon: True longitudes.
        facts: JSON-ready measures of the displacement.
    """

    chunks: Iterator[bytes]
    media_type: str
    treatments: tuple[Treatment, ...]
    source_lat: FloatArray
    source_lon: FloatArray
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"MapUnlinked({self.media_type}, <true positions>)"


def unlink_map(
    file: BinaryIO,
    kind: MapKind,
    *,
    mode: MapMode,
    offset: KeyedOffset | None,
    key: bytes,
    context: bytes,
    profile: Profile,
    crs: str,
) -> MapUnlinked:
    """Move a cleansed map under a release's key, number its features anew and put them in a keyed order.

    ``OFFSET`` displaces every vertex by the release's field, the same as for everything else in it, ``APPROVED``
    by a secrecy processor; elevations of vertices then go, as they are none of the processor's. ``LOCAL``
    takes only maps that fit within a clip: their positions become metres in a frame of keyed origin and
    direction, written as degrees about 0° N 0° E so that the format stays what it is. Positions are rounded to
    7 decimals (about 1 cm).

    Args:
        file: The cleansed map, seekable.
        kind: Its kind.
        mode: The release mode.
        offset: The release's displacement; needed for ``OFFSET``, and for ``APPROVED``, where it is a processor's.
        key: The release's key, 32 bytes.
        context: Names the item within the release.
        profile: Limits.
        crs: The declared reference system of the map; what leaves otherwise than in ``LOCAL`` stands in EPSG:4326.

    Raises:
        LimitExceededError: The map is wider than a clip (``LOCAL``), or a vertex stays near its place.
        ProcessorError: A secrecy processor does not answer as it has to, or fails a check.
        ProfileError: The key has another length, or the mode has no displacement of its own.
        MalformedItemError: The content violates its format.
        UnknownCrsError: The reference system is missing or unknown.
        UnknownFormatError: The kind cannot be treated.
    """
    require_readable(file, kind, profile.maps)
    known, own = require_crs(crs), subkey(require_key(key), "map", context)
    move = _mover(mode, offset, own, profile)
    if kind is MapKind.GEOJSON:
        return _geojson(file, move, mode, own, known, profile)
    return _osm(file, kind, move, mode, own, known, profile)


def _mover(mode: MapMode, offset: KeyedOffset | None, own: bytes, profile: Profile) -> Move:
    if mode == "LOCAL":
        return lambda lat, lon: _local(lat, lon, own, profile)
    approved = isinstance(offset, ApprovedDisplacement)
    if mode not in {"OFFSET", "APPROVED"} or offset is None or approved != (mode == "APPROVED"):
        raise ProfileError(
            f"a map is released locally or with a displacement of its mode "
            f"(got mode {mode!r} and {type(offset).__name__})"
        )
    return offset.displace


def _osm(
    file: BinaryIO, kind: MapKind, move: Move, mode: MapMode, own: bytes, crs: str, profile: Profile
) -> MapUnlinked:
    graph = read_graph(file, kind, profile=profile.maps, crs=crs)
    orders = [_order(own, f"order {name}", n) for name, n in zip("nwr", graph.counts, strict=True)]
    shuffled = graph.take(orders[0], orders[1], orders[2])
    lat, lon = shuffled.positions()
    moved = move(lat, lon)
    facts = _measure(lat, lon, *moved, mode=mode, profile=profile)
    chunks = write_graph(shuffled.moved(*moved), kind, first_id=_first_id(own))
    return _unlinked(chunks, kind, mode, lat, lon, {**facts, "features": sum(graph.counts)})


def _geojson(
    file: BinaryIO, move: Move, mode: MapMode, own: bytes, crs: str, profile: Profile
) -> MapUnlinked:
    source = open_geojson(file, profile=profile.maps, crs=crs)
    order = _order(own, "order features", len(source.index)).tolist()
    found: list[FloatArray] = [np.zeros((2, 0))]
    for number in order:
        feature = as_feature(source.index.read(file, number), f"feature {number}")
        found.append(np.stack(as_arrays(list(positions_of(feature["geometry"], f"feature {number}")))))
    declared_lat, declared_lon = np.concatenate(found, axis=1)
    lat, lon = to_wgs84(declared_lat, declared_lon, crs)
    del found
    moved = move(lat, lon) if len(lat) else (lat, lon)
    facts = _measure(lat, lon, *moved, mode=mode, profile=profile)
    # Others drop elevations whatever the profile: they tell where a place is, and are none of a processor's.
    keep_elevation = profile.maps.keep_elevation and mode == "OFFSET"
    features = _moved_features(file, source, order, moved, keep_elevation=keep_elevation)
    ranks, first = _order(own, "order ids", len(source.identities)), _first_id(own)
    chunks = write_features(features, source.identities, lambda number: first + int(ranks[number]))
    return _unlinked(chunks, MapKind.GEOJSON, mode, lat, lon, {**facts, "features": len(order)})


def _moved_features(
    file: BinaryIO,
    source: GeoJsonMap,
    order: list[int],
    moved: tuple[FloatArray, FloatArray],
    *,
    keep_elevation: bool,
) -> Iterator[dict[str, Any]]:
    at = 0

    def place(position: list[float]) -> list[float]:
        nonlocal at
        lat, lon = round(float(moved[0][at]), _DECIMALS), round(float(moved[1][at]), _DECIMALS)
        at += 1
        return [lon, lat, *position[_PLANAR : _PLANAR + 1]] if keep_elevation else [lon, lat]

    for number in order:
        feature = as_feature(source.index.read(file, number), f"feature {number}")
        yield {**feature, "geometry": with_positions(feature["geometry"], place)}


def _local(lat: FloatArray, lon: FloatArray, own: bytes, profile: Profile) -> tuple[FloatArray, FloatArray]:
    limit = profile.tracks.local_clip_m
    apart, _ = geodesic_m(np.full(len(lat), lat[0]), np.full(len(lon), lon[0]), lat, lon)
    wide = float(apart.max())
    if wide <= limit:
        east, north = to_enu(lat, lon, lat[0], lon[0])
        wide = math.hypot(float(np.ptp(east)), float(np.ptp(north)))
    if wide > limit:
        raise LimitExceededError(
            f"a map wider than a clip has no place in LOCAL mode (got {wide:.0f} m, expected at most {limit:g} m)"
        )
    turn, bearing, share = uniform(own, "frame", 3).tolist()
    away = limit * _FARTHEST_ORIGIN_SHARE * math.sqrt(share)
    centre = complex(float(east.min() + east.max()), float(north.min() + north.max())) / 2.0
    placed = (east + 1j * north - centre) * np.exp(2j * math.pi * turn)
    placed -= away * np.exp(2j * math.pi * bearing)
    return from_enu(placed.real, placed.imag, 0.0, 0.0)


def _measure(
    lat: FloatArray,
    lon: FloatArray,
    new_lat: FloatArray,
    new_lon: FloatArray,
    *,
    mode: MapMode,
    profile: Profile,
) -> dict[str, Any]:
    facts: dict[str, Any] = {"mode": mode, "positions": len(lat)}
    if not len(lat):
        return facts
    shift, _ = geodesic_m(lat, lon, np.round(new_lat, _DECIMALS), np.round(new_lon, _DECIMALS))
    # Nothing is demanded of a processor, and nothing is told of it.
    least = float(shift.min())
    expected = 0.0 if mode == "APPROVED" else profile.tracks.offset_min_shift_m
    if least < expected:
        raise LimitExceededError(
            f"a vertex stays near its place (got {least:.1f} m, expected at least {expected} m)"
        )
    if mode == "OFFSET":
        facts |= {
            "min_shift_m": least,
            "mean_shift_m": float(shift.mean()),
            "max_shift_m": float(shift.max()),
        }
    return facts


def _unlinked(
    chunks: Iterator[bytes],
    kind: MapKind,
    mode: MapMode,
    lat: FloatArray,
    lon: FloatArray,
    facts: dict[str, Any],
) -> MapUnlinked:
    return MapUnlinked(
        chunks=chunks,
        media_type=MEDIA_TYPES[kind],
        treatments=(Treatment(kind=_TREATMENTS[mode], of=FindingKind.POSITION, count=len(lat)),),
        source_lat=lat,
        source_lon=lon,
        facts=facts,
    )


def _order(own: bytes, purpose: str, count: int) -> NDArray[np.int64]:
    return np.argsort(uniform(own, purpose, count), kind="stable").astype(np.int64)


def _first_id(own: bytes) -> int:
    """Where the ids of a release begin; the ranges of two releases are most unlikely to meet."""
    return 1 + int(uniform(own, "ids", 1)[0] * _ID_RANGE)
