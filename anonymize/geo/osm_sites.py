"""Sites in an OpenStreetMap extract: the objects that a table of tags asks for, with their shapes on the ground.

The extract is read from memory by osmium. Shapes cover at least what is mapped: outlines that cross themselves are
filled, and what is mapped as a point or an open line, or only in part within the extract, is widened to an area.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, BinaryIO

import osmium
import shapely
from shapely.geometry.base import BaseGeometry

from anonymize.errors import LimitExceededError, MalformedItemError, UnknownFormatError, ZoneFileError
from anonymize.geo.zone_margin import widened
from anonymize.geo.zone_tags import TagRule, TagTable

MAX_BYTES = 4 << 30
_PBF_HEADER_WITHIN = 64
_LEAST_RING = 4
_SLIVER_DEG = 1e-9

Line = tuple[tuple[float, float], ...]


class Problem(StrEnum):
    """What a reviewer has to look at in particular."""

    POINT_WIDENED = "point_widened"
    LINE_WIDENED = "line_widened"
    OUTLINE_REPAIRED = "outline_repaired"
    PARTLY_IN_EXTRACT = "partly_in_extract"
    NOT_IN_EXTRACT = "not_in_extract"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Site:
    """One object that a rule fits; ``shape`` is in degrees, None where nothing can be drawn."""

    id: str
    rule: TagRule
    tags: Mapping[str, str]
    shape: BaseGeometry | None
    problems: tuple[Problem, ...]


@dataclass(slots=True, kw_only=True)
class _Relation:
    rule: TagRule
    tags: Mapping[str, str]
    members: tuple[tuple[str, int], ...]
    area: BaseGeometry | None = None
    lines: list[Line] = field(default_factory=list)
    points: list[tuple[float, float]] = field(default_factory=list)
    found: int = 0


def read_sites(file: BinaryIO, table: TagTable, *, max_bytes: int = MAX_BYTES) -> tuple[Site, ...]:
    """Read every object of an extract that a rule fits, in the order of their ids.

    Args:
        file: OSM PBF or XML, plain or compressed by gzip or bzip2.
        table: Which objects.
        max_bytes: Larger files are refused; the file is held in memory.

    Raises:
        UnknownFormatError: It is none of these formats.
        LimitExceededError: It is larger than ``max_bytes``.
        MalformedItemError: It is truncated or damaged.
    """
    content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise LimitExceededError(f"the extract is too large (expected at most {max_bytes} bytes)")
    source = osmium.io.FileBuffer(content, format_of(content))
    try:
        sites, relations = _first_pass(source, table)
        _collect_members(source, relations)
    except osmium.InvalidLocationError as error:
        raise MalformedItemError("the extract holds a coordinate that is none") from error
    except RuntimeError as error:
        raise MalformedItemError(f"the extract cannot be read ({str(error)[:120]})") from error
    sites += [_relation_site(number, relation) for number, relation in relations.items()]
    return tuple(sorted(sites, key=lambda site: site.id))


def format_of(content: bytes) -> str:
    """The name under which osmium reads an extract: by its first bytes."""
    start = content[:_PBF_HEADER_WITHIN]
    if start.startswith(b"\x1f\x8b"):
        return "osm.gz"
    if start.startswith(b"BZh"):
        return "osm.bz2"
    if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return "osm"
    if b"OSMHeader" in start:
        return "pbf"
    raise UnknownFormatError(f"no OSM extract (got {start[:8]!r}, expected PBF or XML)")


def _first_pass(source: Any, table: TagTable) -> tuple[list[Site], dict[int, _Relation]]:
    wanted = osmium.filter.KeyFilter(*table.keys())
    sites: list[Site] = []
    relations: dict[int, _Relation] = {}
    areas: dict[int, BaseGeometry] = {}
    polygons = osmium.geom.WKBFactory()
    for found in osmium.FileProcessor(source).with_areas(wanted).with_filter(wanted):
        tags = {tag.k: tag.v for tag in found.tags}
        rule = table.rule_for(tags)
        if rule is None:
            continue
        if isinstance(found, osmium.osm.Node):
            sites.append(_node_site(found, rule, tags))
        elif isinstance(found, osmium.osm.Way):
            sites.append(_way_site(found, rule, tags))
        elif isinstance(found, osmium.osm.Relation):
            members = tuple((member.type, member.ref) for member in found.members)
            relations[found.id] = _Relation(rule=rule, tags=tags, members=members)
        elif isinstance(found, osmium.osm.Area) and _of_relation(found, relations):
            areas[found.orig_id()] = shapely.from_wkb(bytes.fromhex(polygons.create_multipolygon(found)))
    for number, area in areas.items():
        relations[number].area = area
    return sites, relations


def _of_relation(area: osmium.osm.Area, relations: Mapping[int, _Relation]) -> bool:
    return not area.from_way() and area.num_rings()[0] > 0 and area.orig_id() in relations


def _collect_members(source: Any, relations: Mapping[int, _Relation]) -> None:
    """Fetch the members of relations without an area: those of type site, and incomplete multipolygons."""
    owners: dict[tuple[str, int], list[_Relation]] = {}
    for relation in relations.values():
        for member in relation.members if relation.area is None else ():
            owners.setdefault(member, []).append(relation)
    if not owners:
        return
    processor = osmium.FileProcessor(source).with_locations()
    processor.with_filter(osmium.filter.EntityFilter(osmium.osm.NODE | osmium.osm.WAY))
    for letter, entity in (("n", osmium.osm.NODE), ("w", osmium.osm.WAY)):
        asked = osmium.filter.IdFilter([number for kind, number in owners if kind == letter])
        asked.enable_for(entity)
        processor.with_filter(asked)
    for found in processor:
        lines, missing, points = _member(found)
        for relation in owners.get((found.type_str(), found.id), ()):
            relation.found += not missing
            relation.lines += lines
            relation.points += points


def _member(found: Any) -> tuple[list[Line], int, list[tuple[float, float]]]:
    if isinstance(found, osmium.osm.Way):
        return *_lines(found), []
    valid = found.location.valid()
    return [], int(not valid), [(found.location.lon, found.location.lat)] if valid else []


def _node_site(node: Any, rule: TagRule, tags: Mapping[str, str]) -> Site:
    at = [(node.location.lon, node.location.lat)] if node.location.valid() else []
    return _site(f"osm-node-{node.id}", rule, tags, points=at, problems=[Problem.POINT_WIDENED])


def _way_site(way: Any, rule: TagRule, tags: Mapping[str, str]) -> Site:
    lines, missing = _lines(way)
    problems = [Problem.PARTLY_IN_EXTRACT] if missing and lines else []
    return _site(f"osm-way-{way.id}", rule, tags, lines=lines, problems=problems)


def _relation_site(number: int, relation: _Relation) -> Site:
    name = f"osm-relation-{number}"
    if relation.area is not None:
        return _site(name, relation.rule, relation.tags, area=relation.area)
    drawn = bool(relation.lines or relation.points)
    problems = [Problem.PARTLY_IN_EXTRACT] if drawn and relation.found < len(relation.members) else []
    return _site(
        name, relation.rule, relation.tags, lines=relation.lines, points=relation.points, problems=problems
    )


def _lines(way: Any) -> tuple[list[Line], int]:
    """The runs of a way's nodes that are in the extract, and how many nodes are not."""
    runs: list[list[tuple[float, float]]] = [[]]
    missing = 0
    for node in way.nodes:
        if node.location.valid():
            runs[-1].append((node.location.lon, node.location.lat))
        else:
            missing += 1
            runs.append([])
    return [tuple(run) for run in runs if run], missing


def _site(
    name: str,
    rule: TagRule,
    tags: Mapping[str, str],
    *,
    area: BaseGeometry | None = None,
    lines: list[Line] | None = None,
    points: list[tuple[float, float]] | None = None,
    problems: list[Problem] | None = None,
) -> Site:
    found = list(problems or [])
    parts: list[BaseGeometry] = []
    try:
        if area is not None:
            parts += _valid(area, rule, found)
        if lines:
            parts += _drawn(lines, rule, found)
        parts += [widened(shapely.Point(point), rule.point_m) for point in points or []]
        if Problem.PARTLY_IN_EXTRACT in found and parts and not rule.line:
            # The rest of the outline is unknown: what lies between the known parts belongs to the site.
            parts.append(shapely.convex_hull(shapely.unary_union(parts)))
        shape = _united(parts)
    except ZoneFileError:
        return Site(id=name, rule=rule, tags=tags, shape=None, problems=(Problem.REFUSED,))
    if shape is None:
        return Site(id=name, rule=rule, tags=tags, shape=None, problems=(Problem.NOT_IN_EXTRACT,))
    return Site(id=name, rule=rule, tags=tags, shape=shape, problems=tuple(dict.fromkeys(found)))


def _valid(area: BaseGeometry, rule: TagRule, problems: list[Problem]) -> list[BaseGeometry]:
    if area.is_valid:
        return [area]
    problems.append(Problem.OUTLINE_REPAIRED)
    return list(_filled([shapely.boundary(part) for part in shapely.get_parts(area)], rule))


def _drawn(lines: list[Line], rule: TagRule, problems: list[Problem]) -> list[BaseGeometry]:
    """What lines enclose, filled, and what they do not enclose, widened; a plain closed outline stays as it is."""
    if len(lines) == 1 and not rule.line and len(lines[0]) >= _LEAST_RING and lines[0][0] == lines[0][-1]:
        outline = shapely.Polygon(lines[0])
        if outline.is_valid:
            return [outline]
        problems.append(Problem.OUTLINE_REPAIRED)
    else:
        problems.append(Problem.LINE_WIDENED)
    points = [shapely.Point(line[0]) for line in lines if len(set(line)) == 1]
    strings = [shapely.LineString(line) for line in lines if len(set(line)) > 1]
    parts = [widened(point, rule.line_m) for point in points]
    if rule.line:
        return parts + [widened(string, rule.line_m) for string in strings]
    return parts + list(_filled(strings, rule))


def _filled(lines: Sequence[BaseGeometry], rule: TagRule) -> Iterator[BaseGeometry]:
    noded = shapely.unary_union(lines)
    faces = shapely.unary_union(shapely.get_parts(shapely.polygonize(shapely.get_parts(noded))))
    for face in shapely.get_parts(faces):
        yield shapely.Polygon(face.exterior)
    left = shapely.difference(noded, shapely.buffer(faces, _SLIVER_DEG))
    if not left.is_empty:
        yield widened(left, rule.line_m)


def _united(parts: list[BaseGeometry]) -> BaseGeometry | None:
    areas = [part for part in parts if not part.is_empty]
    if not areas:
        return None
    united = areas[0] if len(areas) == 1 else shapely.unary_union(areas)
    return united if shapely.area(united) > 0.0 else None
