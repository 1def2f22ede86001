"""Cleansing vector maps: what rules and zones forbid goes, everything else stays as it is.

The first pass, independent of any release (DESIGN.md §4, Two passes): positions stay true.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from anonymize.errors import LimitExceededError, MalformedItemError, UnknownCrsError, UnknownFormatError
from anonymize.finding import Finding, Treatment
from anonymize.geo.crs import WGS84, require_crs
from anonymize.geo.zones import ZoneSet
from anonymize.maps.evidence import MapEvidence, MapReview
from anonymize.maps.geojson_cleanse import cleanse_geojson, write_cleansed
from anonymize.maps.osm_cleanse import cleanse_graph
from anonymize.maps.osm_graph import OsmGraph
from anonymize.maps.osm_pbf import read_osm_pbf, write_osm_pbf
from anonymize.maps.osm_xml import read_osm_xml, write_osm_xml
from anonymize.maps.sniff import MapKind
from anonymize.profile import MapProfile, Profile

__all__ = ["MEDIA_TYPES", "MapReview", "MapTreated", "cleanse_map", "read_graph", "require_readable"]

MEDIA_TYPES: Mapping[MapKind, str] = {
    MapKind.GEOJSON: "application/geo+json",
    MapKind.OSM_XML: "application/vnd.openstreetmap.data+xml",
    MapKind.OSM_PBF: "application/vnd.openstreetmap.data+protobuf",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MapTreated:
    """A cleansed map.

    Attributes:
        chunks: The content, made while it is read; of GeoJSON the file must stay open until then. Once only.
        media_type: IANA media type, or the one that OpenStreetMap uses.
        findings: One per rule and key, kind of zone, and structural matter.
        treatments: What was done, with counts.
        tags: Tags of COMPLIANCE.md §2 that the map has by what was found in it, sorted.
        reviews: Attributes that wait for a person (``SLOPE_CURV``), at most 100,000; ``facts["reviews"]`` counts
            all.
        facts: JSON-ready measures: features in and out by type, attributes nulled by key, losses.
        dropped: Nothing is left; the map must not be released.
    """

    chunks: Iterator[bytes]
    media_type: str
    findings: tuple[Finding, ...]
    treatments: tuple[Treatment, ...]
    tags: tuple[str, ...]
    reviews: tuple[MapReview, ...]
    facts: Mapping[str, Any] = field(default_factory=dict)
    dropped: bool = False


def cleanse_map(file: BinaryIO, kind: MapKind, *, zones: ZoneSet, profile: Profile, crs: str) -> MapTreated:
    """Cleanse one map.

    1. The size and the kind are permitted, the reference system is known.
    2. The content is read strictly; what is malformed stops the item.
    3. Attributes meet the rules of ``profile.maps``, features meet the zones (on true positions).
    4. Third coordinates, ids, and everything about editing go.

    Args:
        file: The map, uncompressed and seekable.
        kind: Its kind.
        zones: The restricted zones.
        profile: Rules and limits.
        crs: The declared reference system; OSM data are EPSG:4326 by definition.

    Raises:
        MalformedItemError: The content violates its format.
        LimitExceededError: It is larger than the profile permits.
        UnknownCrsError: The reference system is missing, unknown, or contradicted by the content.
        UnknownFormatError: The kind cannot be treated (OpenDRIVE).
    """
    require_readable(file, kind, profile.maps)  # 1
    known = require_crs(crs)
    evidence = MapEvidence()
    if kind is MapKind.GEOJSON:
        source = cleanse_geojson(file, zones=zones, profile=profile.maps, crs=known, evidence=evidence)
        chunks, empty = write_cleansed(file, source, profile=profile.maps), not source.kept
    else:
        graph = cleanse_graph(
            read_graph(file, kind, profile=profile.maps, crs=known),
            zones=zones,
            profile=profile.maps,
            evidence=evidence,
        )
        chunks, empty = write_graph(graph, kind, first_id=1), not any(graph.counts)
    return MapTreated(
        chunks=iter(()) if empty else chunks,
        media_type=MEDIA_TYPES[kind],
        findings=evidence.findings(zones),
        treatments=evidence.treatments(zones),
        tags=tuple(sorted(evidence.tags)),
        reviews=tuple(evidence.reviews),
        facts=evidence.facts(),
        dropped=empty,
    )


def require_readable(file: BinaryIO, kind: MapKind, profile: MapProfile) -> int:
    """The size in bytes of a map that may be read.

    Raises:
        UnknownFormatError: The kind cannot be treated.
        MalformedItemError: The map is empty.
        LimitExceededError: It is too large.
    """
    if kind is MapKind.OPENDRIVE:
        raise UnknownFormatError(
            "OpenDRIVE maps cannot be treated: a displacement leaves gaps between the curves of their roads, "
            "whose slopes and curvatures are their geometry (got opendrive, expected GeoJSON, OSM XML or OSM PBF)"
        )
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not size:
        raise MalformedItemError("the map is empty (got 0 bytes)")
    if size > profile.max_bytes:
        raise LimitExceededError(
            f"the map is too large (got {size} bytes, expected at most {profile.max_bytes})"
        )
    return size


def read_graph(file: BinaryIO, kind: MapKind, *, profile: MapProfile, crs: str) -> OsmGraph:
    """Read OSM data of either form.

    Raises:
        UnknownCrsError: Another reference system than EPSG:4326 is declared.
        MalformedItemError: The content violates its format.
        LimitExceededError: There are too many features.
    """
    if crs != WGS84:
        raise UnknownCrsError(f"OSM data are in EPSG:4326 by definition (got {crs!r})")
    read = read_osm_xml if kind is MapKind.OSM_XML else read_osm_pbf
    return read(file, max_features=profile.max_features)


def write_graph(graph: OsmGraph, kind: MapKind, *, first_id: int) -> Iterator[bytes]:
    """Write OSM data in either form."""
    write = write_osm_xml if kind is MapKind.OSM_XML else write_osm_pbf
    return write(graph, first_id=first_id)
