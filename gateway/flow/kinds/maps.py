"""Vector maps: attributes and features that rules and zones forbid go, then every vertex is moved."""

import os
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, ClassVar

from anonymize.finding import Treated
from anonymize.formats.identify import ItemKind
from anonymize.formats.track import Track
from anonymize.geo.approved_displacement import measured
from anonymize.geo.crs import require_crs, to_wgs84
from anonymize.geo.displacement import KeyedOffset
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.hull_area import require_countable
from anonymize.geo.zones import ZoneSet
from anonymize.maps.cleanse import MapTreated, cleanse_map
from anonymize.maps.residual import scan_cleansed_map, scan_released_map
from anonymize.maps.residual_json import read_released_json
from anonymize.maps.residual_pbf import read_released_pbf
from anonymize.maps.residual_read import MapReading
from anonymize.maps.residual_xml import read_released_xml
from anonymize.maps.sniff import MapKind
from anonymize.maps.unlink import MapUnlinked, unlink_map
from gateway.flow.gate import Gate
from gateway.flow.kinds.approving import displacement_of, mode_of, settled
from gateway.flow.kinds.handling import (
    Cleansing,
    Examination,
    Outcome,
    Progress,
    Settled,
    Unlinked,
    Unlinking,
    cut_whole,
)
from gateway.flow.kinds.surroundings import Surroundings
from gateway.flow.recording import Classified, Cleansed, DataClass, Level

MAP_KINDS = {
    ItemKind.GEOJSON_MAP: MapKind.GEOJSON,
    ItemKind.OSM_XML: MapKind.OSM_XML,
    ItemKind.OSM_PBF: MapKind.OSM_PBF,
}
MOST_LISTED = 1000
"""Attributes waiting for a person that the evidence of a map lists one by one; beyond them it counts."""

_MOST_KEYS = 256
_EXTENSIONS = {MapKind.GEOJSON: "geojson", MapKind.OSM_XML: "osm", MapKind.OSM_PBF: "osm.pbf"}
_NO_ZONES = ZoneSet(zones=(), name="none", version=1, digest="0" * 64)
_READERS: Mapping[MapKind, Callable[[BinaryIO], MapReading]] = {
    MapKind.GEOJSON: read_released_json,
    MapKind.OSM_XML: read_released_xml,
    MapKind.OSM_PBF: read_released_pbf,
}


class MapHandler:
    """GeoJSON maps, OpenStreetMap XML and PBF."""

    states_tracks: ClassVar[bool] = False

    def examine(
        self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str, zones: ZoneSet | None
    ) -> Examination:
        """See ``ItemHandler``."""
        # The first pass reads everything that classification wants to know; what it would write is not taken.
        found = _first_pass(gate, kind, original, zones=zones or _NO_ZONES, crs=crs)
        return Examination(
            data_class=DataClass.MAP_VECTOR,
            level=Level.S3_SENSITIVE_GEO,
            tags=found.tags,
            facts={"crs": str(require_crs(crs)), "features": dict(found.facts["features_in"])},
        )

    def tracks(self, gate: Gate, kind: ItemKind, original: BinaryIO, *, crs: str) -> tuple[Track, ...]:
        """See ``ItemHandler``."""
        del gate, kind, original, crs
        return ()

    def treat(
        self,
        gate: Gate,
        item: Classified,
        original: BinaryIO,
        surroundings: Surroundings,
        progress: Progress,
    ) -> Cleansing:
        """See ``ItemHandler``."""
        del progress
        # A map states positions: no attestation stands for a test of them.
        zones = surroundings.require_zones().zones
        crs = str(item.facts["crs"])
        treated = _first_pass(gate, item.kind, original, zones=zones, crs=crs)
        if treated.dropped:
            return cut_whole(item, treated.findings, "tested")

        def settle(sealed: BinaryIO) -> Outcome:
            return Outcome(
                treated=Treated(
                    content=b"",
                    media_type=treated.media_type,
                    findings=treated.findings,
                    treatments=treated.treatments,
                    facts={**treated.facts, **_reviews(treated)},
                ),
                residual=scan_cleansed_map(
                    sealed, MAP_KINDS[item.kind], zones=zones, profile=gate.profile.profile, crs=crs
                ),
                zone_check="tested",
                # Still true coordinates: they leave only after the release's own unlinking.
                position_handling="raw",
                level=Level.S3_SENSITIVE_GEO,
                tags=treated.tags,
            )

        return Cleansing(chunks=treated.chunks, settle=settle)

    def unlink(self, gate: Gate, cleansed: Cleansed, treated: BinaryIO, unlinking: Unlinking) -> Unlinked:
        """See ``ItemHandler``."""
        kind = MAP_KINDS[cleansed.classified.kind]
        profile, mode = gate.profile.profile, mode_of(unlinking)
        offset = displacement_of(gate, unlinking)
        moved = unlink_map(
            treated,
            kind,
            mode=mode,
            offset=offset,
            key=unlinking.key,
            context=unlinking.item,
            profile=profile,
            crs=str(cleansed.classified.facts["crs"]),
        )
        # Rule 18 counts the ground within a map; what cannot be counted does not leave.
        require_countable(moved.source_lat, moved.source_lon)
        facts, placed = {**moved.facts, **_measured(gate, offset, moved)}, bool(len(moved.source_lat))

        def settle(sealed: BinaryIO) -> Settled:
            residual = scan_released_map(
                sealed,
                kind,
                source_lat=moved.source_lat,
                source_lon=moved.source_lon,
                mode=mode,
                profile=profile,
                processor=unlinking.processor,
            )
            if not placed:
                return Settled(residual=residual, facts=facts)
            return settled(offset, residual, facts)

        return Unlinked(
            chunks=moved.chunks,
            extension=_EXTENSIONS[kind],
            media_type=moved.media_type,
            data_class=DataClass.MAP_VECTOR,
            # Features without geometries leave nothing to be moved, and nothing to measure.
            position_handling=mode.lower() if placed else "stripped",
            absolute_time="stripped",
            settle=settle,
            # Displaced streets lie across streets that were driven; the map's own scan holds each vertex against
            # its true place, and every attribute against all of them.
            searched="everything" if mode == "LOCAL" else "identifiers",
            level=Level.S1_PROCESSED if mode == "APPROVED" and placed else None,
        )


def map_positions(cleansed: Cleansed, treated: BinaryIO) -> tuple[FloatArray, FloatArray]:
    """True latitudes and longitudes, degrees WGS-84, of everything in a treated map."""
    reading = _READERS[MAP_KINDS[cleansed.classified.kind]](treated)
    lat, lon = reading.positions()
    return to_wgs84(lat, lon, str(cleansed.classified.facts["crs"]))[:2]


def _first_pass(gate: Gate, kind: ItemKind, original: BinaryIO, *, zones: ZoneSet, crs: str) -> MapTreated:
    original.seek(0, os.SEEK_SET)
    return cleanse_map(original, MAP_KINDS[kind], zones=zones, profile=gate.profile.profile, crs=crs)


def _reviews(treated: MapTreated) -> dict[str, Any]:
    """What waits for a person, as the evidence keeps it: features and keys, no values and no places.

    ``reviews_by_key`` counts the most frequent keys of the reviews that the first pass lists (100,000),
    ``reviews_listed`` holds the first ``MOST_LISTED``.
    """
    return {
        "reviews_by_key": dict(Counter(review.key for review in treated.reviews).most_common(_MOST_KEYS)),
        "reviews_tags": sorted({review.tag for review in treated.reviews}),
        "reviews_listed": [
            {
                "feature": review.feature,
                "key": review.key,
                "tag": review.tag,
                "source": review.source,
                "confidence": review.confidence,
            }
            for review in treated.reviews[:MOST_LISTED]
        ],
    }


def _measured(gate: Gate, offset: KeyedOffset | None, moved: MapUnlinked) -> dict[str, float]:
    """What the offset does to the vertices; empty of a processor, and where there is no offset or no vertex.

    Raises:
        LimitExceededError: It distorts more, or moves less, than the profile permits.
    """
    if offset is None or not len(moved.source_lat):
        return {}
    lat, lon = moved.source_lat, moved.source_lon
    found = measured(offset, lat, lon, profile=gate.profile.profile.tracks)
    if found is None:
        return {}
    return {
        "max_distance_error": found.max_distance_error,
        "min_shift_m": found.min_shift_m,
        "mean_shift_m": found.mean_shift_m,
        "max_heading_error_deg": found.max_heading_error_deg,
    }
