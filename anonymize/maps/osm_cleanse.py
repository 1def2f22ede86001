"""Cleansing OSM data: attribute rules, restricted zones, and what no longer holds together after both.

A feature that meets a zone goes as a whole. A road cut at the border of a zone would end there, and many such
ends draw its outline.
"""

from dataclasses import replace

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from anonymize.finding import FindingKind
from anonymize.geo.ellipsoid import FloatArray
from anonymize.geo.zones import ZoneSet
from anonymize.maps.evidence import MapEvidence
from anonymize.maps.osm_graph import MISSING, NAMES, NODE, RELATION, WAY, Column, Flags, OsmGraph
from anonymize.maps.rules import AttributeRules, Hit, holds_position, is_editor_key, is_position_key
from anonymize.profile import MapProfile

_AREA_TYPES = frozenset({"multipolygon", "boundary"})
_LEAST_LINE, _LEAST_RING = 2, 4
_HALF_TURN_DEG = 180.0
_BOXES_AT_ONCE = 1 << 16


def cleanse_graph(graph: OsmGraph, *, zones: ZoneSet, profile: MapProfile, evidence: MapEvidence) -> OsmGraph:
    """The graph without what rules and zones forbid, its features renumbered in their order.

    1. Ways that lack nodes keep their longest known stretch; closed ones go, their area is unknown.
    2. Attributes meet the rules of the profile: they go, or their feature goes, or they wait for a person.
    3. Nodes in zones go; ways with a node or a stretch in a zone go, and areas that a zone lies in.
    4. Relations that are areas or restrictions go when they lost a member; others when none is left.
    5. Ways and nodes that have no attributes go when what used them has gone.

    Returns:
        A graph that may be empty.
    """
    evidence.features_in.update(dict(zip(NAMES, graph.counts, strict=True)))
    whole, keep_ways = _complete(graph, evidence)  # 1
    ruled, dropped, named = _apply_rules(whole, profile, evidence)  # 2
    keep = _Kept(
        nodes=np.ones(graph.counts[NODE], dtype=bool),
        ways=keep_ways & ~dropped[WAY],
        relations=~dropped[RELATION],
    )
    in_zone = _cut_zones(ruled, zones, keep, evidence)  # 3
    _cut_relations(ruled, keep, evidence)  # 4
    _cut_unused(ruled, keep, evidence, dropped[NODE] | in_zone, named, profile)  # 5
    # A node that a rule drops may be a vertex of a road: the vertex stays, its attributes go.
    bare = replace(
        ruled, tags=(ruled.tags[NODE].where(~dropped[NODE][ruled.tags[NODE].owner()]), *ruled.tags[1:])
    )
    made = bare.take(*(np.flatnonzero(flags) for flags in (keep.nodes, keep.ways, keep.relations)))
    evidence.features_out.update(dict(zip(NAMES, made.counts, strict=True)))
    _list_reviews(made, profile, evidence)
    return made


class _Kept:
    """Which nodes, ways and relations are still there."""

    __slots__ = ("nodes", "relations", "ways")

    def __init__(self, *, nodes: Flags, ways: Flags, relations: Flags) -> None:
        self.nodes, self.ways, self.relations = nodes, ways, relations

    def members(self, graph: OsmGraph) -> Flags:
        """For each member whether it is still there."""
        there = np.zeros(len(graph.members.values), dtype=bool)
        for kind, flags in enumerate((self.nodes, self.ways, self.relations)):
            of = (graph.member_type == kind) & (graph.members.values != MISSING)
            there[of] = flags[graph.members.values[of]]
        return there


def _complete(graph: OsmGraph, evidence: MapEvidence) -> tuple[OsmGraph, Flags]:
    column = graph.way_nodes
    lengths = np.diff(column.ptr)
    lacking = column.any(column.values == MISSING)
    known = column.values != MISSING
    evidence.losses["node_references_missing"] += int((~known).sum())
    for way in np.flatnonzero(lacking).tolist():
        part = slice(int(column.ptr[way]), int(column.ptr[way + 1]))
        known[part] = _longest_run(known[part], column.values[part])
    trimmed = column.where(known)
    keep: Flags = np.diff(trimmed.ptr) >= _LEAST_LINE
    evidence.losses["ways_trimmed_to_known_nodes"] += int((lacking & keep).sum())
    evidence.losses["ways_without_known_stretch"] += int((~keep & (lengths > 0)).sum())
    return replace(graph, way_nodes=trimmed), keep


def _longest_run(known: Flags, nodes: NDArray[np.int64] | NDArray[np.int32]) -> Flags:
    kept = np.zeros(len(known), dtype=bool)
    if nodes[0] == nodes[-1] and len(nodes) > 1:
        return kept
    edges = np.flatnonzero(np.diff(np.r_[False, known, False].astype(np.int8))).reshape(-1, 2)
    if len(edges):
        start, end = edges[np.argmax(edges[:, 1] - edges[:, 0])]
        kept[start:end] = True
    return kept


def _apply_rules(
    graph: OsmGraph, profile: MapProfile, evidence: MapEvidence
) -> tuple[OsmGraph, list[Flags], list[Flags]]:
    """The graph without nulled attributes; which features rules drop, and which any rule names."""
    rules = AttributeRules(profile)
    hits: list[Hit | None] = [rules.meeting(key, _values(value)) for key, value in graph.pairs]
    structural = np.array(
        [is_editor_key(k) or is_position_key(k) or holds_position(v) for k, v in graph.pairs], dtype=bool
    )
    actions = {
        action: np.array([h is not None and h.rule.action == action for h in hits], dtype=bool) & ~structural
        for action in ("null", "drop")
    }
    met = np.array([h is not None for h in hits], dtype=bool)
    tags, dropped, named = [], [], []
    for column in graph.tags:
        values = column.values
        tags.append(column.where(~(structural | actions["null"])[values]))
        dropped.append(column.any(actions["drop"][values]))
        named.append(column.any(met[values]))
        counts = np.bincount(values, minlength=len(hits))
        for index in np.flatnonzero(counts).tolist():
            _count_hit(graph.pairs[index], hits[index], int(counts[index]), evidence)
    return replace(graph, tags=(tags[0], tags[1], tags[2])), dropped, named


def _count_hit(pair: tuple[str, str], hit: Hit | None, count: int, evidence: MapEvidence) -> None:
    key, value = pair
    if is_editor_key(key):
        evidence.structural[FindingKind.METADATA, "editor"] += count
    elif is_position_key(key) or holds_position(value):
        evidence.structural[FindingKind.POSITION, "attributes"] += count
    elif hit is not None and hit.rule.action in {"null", "drop"}:
        evidence.rule_hit(hit, key, count)


def _values(value: str) -> list[str]:
    """OSM lists several values with semicolons."""
    return [value, *value.split(";")] if ";" in value else [value]


def _cut_zones(graph: OsmGraph, zones: ZoneSet, keep: _Kept, evidence: MapEvidence) -> Flags:
    nowhere = np.zeros(graph.counts[NODE], dtype=bool)
    if zones.empty:
        return nowhere
    lat, lon = graph.positions()
    hits = zones.test(lat, lon)
    keep.nodes &= ~hits.inside
    shapes = zones.shapes()
    tree = shapely.STRtree(list(shapes))
    ways = np.flatnonzero(keep.ways)
    crossing = _crossing(graph.way_nodes, ways, lat, lon, tree)
    through = graph.way_nodes.any(hits.inside[graph.way_nodes.values])
    lost = np.zeros(len(keep.ways), dtype=bool)
    lost[ways[np.fromiter(crossing, np.int64, len(crossing))]] = True
    lost |= through & keep.ways
    areas = _areas(graph, keep, lat, lon, tree)
    keep.ways &= ~lost
    keep.relations[list(areas)] = False
    met = sum(1 for found in areas.values() if found)
    evidence.losses["features_in_zones"] += int(hits.inside.sum() + lost.sum()) + met
    evidence.losses["areas_incomplete"] += len(areas) - met
    kinds = [zones.zones[i].kind.value for found in (*crossing.values(), *areas.values()) for i in found]
    evidence.zones.update(kinds)
    evidence.zones.update({kind.value: count for kind, count in hits.kinds().items()})
    evidence.tags.update(evidence.zones)
    return hits.inside


def _crossing(
    column: Column, ways: NDArray[np.int64], lat: FloatArray, lon: FloatArray, tree: shapely.STRtree
) -> dict[int, list[int]]:
    """Places in ``ways`` whose line, or area where closed, meets a zone, with the zones' indices."""
    found: dict[int, list[int]] = {}
    for place in _near(column, ways, lat, lon, tree):
        nodes = column.values[column.ptr[ways[place]] : column.ptr[ways[place] + 1]]
        line = np.column_stack([lon[nodes], lat[nodes]])
        if (np.abs(np.diff(line[:, 0])) >= _HALF_TURN_DEG).any():
            # Across the antimeridian; which zones it meets is not known, so it meets one.
            found[place] = []
            continue
        closed = nodes[0] == nodes[-1] and len(nodes) >= _LEAST_RING
        met = tree.query(_area(line) if closed else shapely.linestrings(line), predicate="intersects")
        if len(met):
            found[place] = met.tolist()
    return found


def _near(
    column: Column, ways: NDArray[np.int64], lat: FloatArray, lon: FloatArray, tree: shapely.STRtree
) -> list[int]:
    """Places in ``ways`` whose bounding box meets a zone's."""
    if not len(ways):
        return []
    mine = column.take(ways)
    x, y = lon[mine.values], lat[mine.values]
    west, south = np.minimum.reduceat(x, mine.ptr[:-1]), np.minimum.reduceat(y, mine.ptr[:-1])
    east, north = np.maximum.reduceat(x, mine.ptr[:-1]), np.maximum.reduceat(y, mine.ptr[:-1])
    near: list[int] = []
    for start in range(0, len(ways), _BOXES_AT_ONCE):
        part = slice(start, start + _BOXES_AT_ONCE)
        met = tree.query(shapely.box(west[part], south[part], east[part], north[part]))[0]
        near += (np.unique(met) + start).tolist()
    return near


def _area(ring: FloatArray) -> BaseGeometry:
    polygon = shapely.Polygon(ring)
    # The inside of a ring that crosses itself is a matter of opinion: its hull holds every opinion.
    return polygon if shapely.is_valid(polygon) else shapely.MultiPoint(ring).convex_hull


def _areas(
    graph: OsmGraph, keep: _Kept, lat: FloatArray, lon: FloatArray, tree: shapely.STRtree
) -> dict[int, list[int]]:
    """Relations that are areas and hold or meet a zone, or whose area is not all in this map."""
    found: dict[int, list[int]] = {}
    for relation in np.flatnonzero(keep.relations).tolist():
        if graph.tags_of(RELATION, relation).get("type") not in _AREA_TYPES:
            continue
        part = slice(int(graph.members.ptr[relation]), int(graph.members.ptr[relation + 1]))
        members, types = graph.members.values[part], graph.member_type[part]
        if (members == MISSING).any() or (types == RELATION).any():
            found[relation] = []
            continue
        lines = []
        for way in members[types == WAY].tolist():
            nodes = graph.way_nodes.values[graph.way_nodes.ptr[way] : graph.way_nodes.ptr[way + 1]]
            if len(nodes) >= _LEAST_LINE:
                lines.append(shapely.LineString(np.column_stack([lon[nodes], lat[nodes]])))
        if not lines:
            continue
        rings, *loose = shapely.polygonize_full(lines)
        # Lines that are not all sides of rings leave the area open: their hull is at least as large.
        open_ = shapely.is_empty(rings) or not all(map(shapely.is_empty, loose))
        shape = shapely.convex_hull(shapely.union_all(lines)) if open_ else rings
        met = tree.query(shape, predicate="intersects").tolist()
        if met:
            found[relation] = met
    return found


def _cut_relations(graph: OsmGraph, keep: _Kept, evidence: MapEvidence) -> None:
    column = graph.members
    strict = np.array([_needs_all(t) for t in _types(graph)], dtype=bool)
    present = column.values != MISSING
    evidence.losses["members_missing"] += int((~present).sum())
    before = int(keep.relations.sum())
    while True:
        there = keep.members(graph)
        broken = strict & column.any(present & ~there)
        empty = ~column.any(there)
        after = keep.relations & ~broken & ~empty
        if (after == keep.relations).all():
            break
        keep.relations = after
    evidence.losses["relations_broken"] += before - int(keep.relations.sum())


def _types(graph: OsmGraph) -> list[str]:
    column = graph.tags[RELATION]
    types = [""] * len(column)
    for owner, pair in zip(column.owner().tolist(), column.values.tolist(), strict=True):
        if graph.pairs[pair][0] == "type":
            types[owner] = graph.pairs[pair][1]
    return types


def _needs_all(kind: str) -> bool:
    return kind in _AREA_TYPES or kind.startswith("restriction")


def _cut_unused(
    graph: OsmGraph, keep: _Kept, evidence: MapEvidence, gone: Flags, named: list[Flags], profile: MapProfile
) -> None:
    members = graph.members
    with_tags = [np.diff(column.ptr) > 0 for column in graph.tags]
    if not profile.keep_untagged:
        keep.relations &= named[RELATION]
    used = [_used(graph, kind, keep.members(graph) & keep.relations[members.owner()]) for kind in (NODE, WAY)]
    was_member = _used(graph, WAY, np.ones(len(members.values), dtype=bool))
    bare = ~with_tags[WAY] & was_member if profile.keep_untagged else ~named[WAY]
    unused = keep.ways & bare & ~used[WAY]
    keep.ways &= ~unused
    vertex = np.zeros(graph.counts[NODE], dtype=bool)
    vertex[graph.way_nodes.values[keep.ways[graph.way_nodes.owner()]]] = True
    own = with_tags[NODE] & ~gone & (True if profile.keep_untagged else named[NODE])
    nodes = keep.nodes & (vertex | used[NODE] | own)
    evidence.losses["ways_no_longer_used"] += int(unused.sum())
    evidence.losses["nodes_no_longer_used"] += int(keep.nodes.sum() - nodes.sum())
    keep.nodes = nodes


def _used(graph: OsmGraph, kind: int, flags: Flags) -> Flags:
    used = np.zeros(graph.counts[kind], dtype=bool)
    of = flags & (graph.member_type == kind) & (graph.members.values != MISSING)
    used[graph.members.values[of]] = True
    return used


def _list_reviews(graph: OsmGraph, profile: MapProfile, evidence: MapEvidence) -> None:
    rules = AttributeRules(profile)
    waiting: dict[int, Hit] = {}
    for index, (key, value) in enumerate(graph.pairs):
        hit = rules.meeting(key, _values(value))
        if hit is not None and hit.rule.action == "review":
            waiting[index] = hit
    flags = np.zeros(len(graph.pairs), dtype=bool)
    flags[list(waiting)] = True
    for kind, column in enumerate(graph.tags):
        at = np.flatnonzero(flags[column.values])
        owners = column.owner()[at]
        for owner, pair in zip(owners.tolist(), column.values[at].tolist(), strict=True):
            evidence.review(waiting[pair], f"{NAMES[kind]}/{owner + 1}", graph.pairs[pair][0])
