"""Independent re-reading of cleansed and released maps.

Each kind is read again by a reader that is not its writer and shares no code with it: OSM XML and GeoJSON by
grammars of their lines, PBF from its wire format. A line, field or element that the grammar does not know is a
finding. Rules are matched anew without regular expressions.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import BinaryIO, Literal

import numpy as np

from anonymize.errors import ResidualError
from anonymize.finding import FieldPath, Finding, FindingKind
from anonymize.geo.approved_displacement import ApprovedDisplacement
from anonymize.geo.crs import geodesic_m, to_wgs84
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.positions import find_positions
from anonymize.geo.zones import ZoneSet
from anonymize.maps.residual_json import read_released_json
from anonymize.maps.residual_pbf import read_released_pbf
from anonymize.maps.residual_read import MapReading
from anonymize.maps.residual_xml import read_released_xml
from anonymize.maps.rules import ELEVATION_TAG, finding_kind, holds_position, is_editor_key, is_position_key
from anonymize.maps.sniff import MapKind
from anonymize.profile import AttributeRule, MapProfile, Profile
from anonymize.residual import ResidualReport

__all__ = ["scan_cleansed_map", "scan_released_map"]

_SCANNER = "map-residual@1"
_READERS: Mapping[MapKind, Callable[[BinaryIO], MapReading]] = {
    MapKind.GEOJSON: read_released_json,
    MapKind.OSM_XML: read_released_xml,
    MapKind.OSM_PBF: read_released_pbf,
}
_MOST_FINDINGS = 1000
_EQUAL_M = 0.01
_TEXT_AT_ONCE = 1 << 22
_NUMBER = re.compile(r"\d+")
_A_PAIR = 2
# Numbers that are no coordinates keep those of two attributes from being taken for a pair.
_APART = "\n" + " 999.999" * 4 + " 9999999999" * 4 + "\n"


def scan_cleansed_map(
    file: BinaryIO, kind: MapKind, *, zones: ZoneSet, profile: Profile, crs: str
) -> ResidualReport:
    """Scan a cleansed map.

    1. The grammar holds: no editor metadata, no bounds, ids numbered in order.
    2. No attribute meets a rule that nulls or drops; no elevation is left unless the profile keeps it.
    3. No position lies in a zone, as judged by the exact geometry.

    Args:
        file: The cleansed map.
        kind: Its kind.
        zones: The restricted zones.
        profile: Rules.
        crs: The declared reference system, in which the map still is.

    Raises:
        ResidualError: There is no scan for the kind.
        MalformedItemError: The content cannot be read at all, or a position is out of range.
    """
    reading = _read(file, kind)
    findings = [*_faults(reading, profile.maps), *_rule_findings(reading, profile.maps)]
    lat, lon = reading.positions()
    if len(lat):
        hits = zones.test_exact(*to_wgs84(lat, lon, crs))
        findings += [
            _finding(FindingKind.RESTRICTED_ZONE, "positions", kind.value, detector=zones.detector)
            for kind in hits.kinds()
        ]
    return _report(findings, reading, "cleansed")


def scan_released_map(
    file: BinaryIO,
    kind: MapKind,
    *,
    source_lat: FloatArray,
    source_lon: FloatArray,
    mode: Literal["LOCAL", "OFFSET", "APPROVED"],
    profile: Profile,
    processor: ApprovedDisplacement | None = None,
) -> ResidualReport:
    """Scan a map as it is released.

    1. The grammar holds and no attribute meets a rule, as in the cleansed map.
    2. There is one position per true one, in the same order.
    3. ``OFFSET``: none is near its truth. ``LOCAL``: all lie within a clip's size about 0° N 0° E.
    ``APPROVED``: all are where the processor, asked once more, puts them, to 1 cm; no elevation is left whatever
    the profile.
    4. No attribute holds a position near a true one, in whatever notation.

    Args:
        file: The released map.
        kind: Its kind.
        source_lat: True latitude of each position in the order of the content (``MapUnlinked.source_lat``).
        source_lon: True longitudes.
        mode: The release mode.
        profile: Rules and limits.
        processor: What placed the positions of an ``APPROVED`` release.

    Raises:
        ProcessorError: The processor does not answer.
        ResidualError: There is no scan for the kind or mode, or the mode lacks its processor.
        MalformedItemError: The content cannot be read at all.
    """
    if mode not in {"LOCAL", "OFFSET", "APPROVED"} or (mode == "APPROVED") != (processor is not None):
        raise ResidualError(
            f"no scan for this release (got mode {mode!r} and {'a' if processor else 'no'} processor)"
        )
    if mode == "APPROVED":
        profile = replace(profile, maps=replace(profile.maps, keep_elevation=False))
    reading = _read(file, kind)
    findings = [*_faults(reading, profile.maps), *_rule_findings(reading, profile.maps)]
    lat, lon = reading.positions()
    if len(lat) != len(source_lat):
        findings.append(_finding(FindingKind.POSITION, "positions", "not aligned with the original"))
    elif len(lat):
        source = (source_lat, source_lon)
        findings += (
            _place_findings(lat, lon, *source, mode=mode, profile=profile)
            if processor is None
            else _processed_findings(lat, lon, *processor.displace(*source))
        )
    findings += _text_findings(reading, source_lat, source_lon)
    return _report(findings, reading, mode)


def _read(file: BinaryIO, kind: MapKind) -> MapReading:
    if kind not in _READERS:
        raise ResidualError(f"no scan for this kind of map (got {kind!r})")
    return _READERS[kind](file)


def _faults(reading: MapReading, profile: MapProfile) -> Iterator[Finding]:
    for kind, name in sorted(reading.faults):
        if not (kind is FindingKind.ELEVATION and profile.keep_elevation):
            yield _finding(kind, name)
    if not reading.features:
        yield _finding(FindingKind.UNLISTED_FIELD, "no features")


def _rule_findings(reading: MapReading, profile: MapProfile) -> Iterator[Finding]:
    found: set[tuple[FindingKind, str, str]] = set()
    matcher = _Matcher(profile)
    for key, value in reading.pairs:
        if is_editor_key(key):
            found.add((FindingKind.METADATA, key, "editor"))
        if is_position_key(key) or holds_position(value):
            found.add((FindingKind.POSITION, key, "attribute"))
        rule = matcher.meeting(key, value)
        if rule is not None and rule.action in {"null", "drop"}:
            found.add((finding_kind(rule.tag), key, rule.tag))
    for kind, key, label in sorted(found)[:_MOST_FINDINGS]:
        yield _finding(kind, f"attributes/{key[:64]}", label)


class _Matcher:
    """The rules in order, their patterns folded once."""

    def __init__(self, profile: MapProfile) -> None:
        self._rules = [
            (rule, [_folded(p) for p in rule.keys], [_folded(p) for p in rule.values])
            for rule in profile.attributes
            if not (profile.keep_elevation and rule.tag == ELEVATION_TAG)
        ]
        self._of_key: dict[str, list[tuple[AttributeRule, list[str]]]] = {}

    def meeting(self, key: str, value: str) -> AttributeRule | None:
        """The first rule that meets an attribute."""
        if key not in self._of_key:
            name = _folded(key)
            self._of_key[key] = [(r, v) for r, k, v in self._rules if any(_globs(p, name) for p in k)]
        texts = [_folded(v) for v in (value, *value.split(";"))] if self._of_key[key] else []
        for rule, values in self._of_key[key]:
            if not values or any(_globs(p, t) for p in values for t in texts):
                return rule
        return None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().strip()


def _globs(pattern: str, text: str) -> bool:
    """Whether ``text`` is ``pattern`` with ``*`` for any run of characters."""
    first, *rest = pattern.split("*")
    if not rest:
        return text == pattern
    *middle, last = rest
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _place_findings(
    lat: FloatArray,
    lon: FloatArray,
    source_lat: FloatArray,
    source_lon: FloatArray,
    *,
    mode: str,
    profile: Profile,
) -> Iterator[Finding]:
    shift, _ = geodesic_m(source_lat, source_lon, lat, lon)
    if not (shift >= profile.tracks.offset_min_shift_m).all():
        yield _finding(FindingKind.POSITION, "positions", "near its true place")
    if mode == "LOCAL":
        away, _ = geodesic_m(np.zeros(len(lat)), np.zeros(len(lon)), lat, lon)
        if not (away <= profile.tracks.local_clip_m).all():
            yield _finding(FindingKind.POSITION, "positions", "outside the map's frame")


def _processed_findings(
    lat: FloatArray, lon: FloatArray, expected_lat: FloatArray, expected_lon: FloatArray
) -> Iterator[Finding]:
    if not (geodesic_m(expected_lat, expected_lon, lat, lon)[0] <= _EQUAL_M).all():
        yield _finding(FindingKind.POSITION, "positions", "not the processor's position")


def _text_findings(reading: MapReading, lat: FloatArray, lon: FloatArray) -> Iterator[Finding]:
    part: list[str] = []
    size = 0
    for key, value in reading.pairs:
        if len(_NUMBER.findall(value)) >= _A_PAIR:
            part.append(f"{key} {value}")
            size += len(key) + len(value)
        if size > _TEXT_AT_ONCE:
            yield from _true_positions(part, lat, lon)
            part, size = [], 0
    yield from _true_positions(part, lat, lon)


def _true_positions(part: list[str], lat: FloatArray, lon: FloatArray) -> Iterator[Finding]:
    if part and len(lat) and find_positions(_APART.join(part).encode(), lat=lat, lon=lon):
        yield _finding(FindingKind.POSITION, "attributes", "near a true place")


def _finding(kind: FindingKind, path: str, label: str = "", *, detector: str = _SCANNER) -> Finding:
    return Finding(kind=kind, where=FieldPath(path=path), confidence=1.0, detector=detector, label=label)


def _report(findings: list[Finding], reading: MapReading, stage: str) -> ResidualReport:
    facts = {
        "stage": stage,
        "features": reading.features,
        "positions": len(reading.lat),
        "attributes": len(reading.pairs),
    }
    return ResidualReport(scanners=(_SCANNER,), residual=tuple(findings), facts=facts)
