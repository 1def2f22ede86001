"""OSM XML (API 0.6), read as a stream and written one element a line."""

from collections.abc import Iterator
from typing import Any, BinaryIO
from xml.etree.ElementTree import ParseError
from xml.sax.saxutils import escape

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from anonymize.errors import MalformedItemError
from anonymize.maps.osm_graph import NAMES, NODE, RELATION, WAY, OsmGraph, OsmGraphBuilder, each

_HEAD = b"<?xml version='1.0' encoding='UTF-8'?>\n<osm version=\"0.6\">\n"
_FOOT = b"</osm>\n"
_VERSIONS = frozenset({"0.6", "0.5"})
_LEFT_OUT = frozenset({"bounds", "bound", "note", "meta"})
_WITHIN = {"node": {"tag"}, "way": {"tag", "nd"}, "relation": {"tag", "member"}}
_CHUNK_LINES = 4096
_ESCAPES = {'"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}


def read_osm_xml(file: BinaryIO, *, max_features: int) -> OsmGraph:
    """Read nodes, ways and relations; bounds, notes and every attribute about editing are left out.

    Raises:
        MalformedItemError: No well-formed XML, a document type or entities, an unknown version or element, an
            object that is deleted, a missing or impossible id or coordinate, ids or keys that are there twice.
        LimitExceededError: There are too many features.
    """
    builder = OsmGraphBuilder(max_features=max_features)
    try:
        events = iterparse(file, events=("start", "end"), forbid_dtd=True)
        _, root = next(events)
        if root.tag != "osm" or root.get("version") not in _VERSIONS:
            raise MalformedItemError(
                f"no OSM XML (got root {str(root.tag)[:40]!r} of version {str(root.get('version'))[:20]!r}, "
                f"expected 'osm' of version '0.6')"
            )
        depth = 0
        for event, element in events:
            depth += 1 if event == "start" else -1
            if event == "end" and depth == 0:
                _collect(element, builder)
                root.clear()
    except DefusedXmlException as error:
        raise MalformedItemError(
            f"XML carries a document type or entities (got {type(error).__name__})"
        ) from error
    except (ParseError, StopIteration, UnicodeError, LookupError) as error:
        raise MalformedItemError(f"XML is malformed ({str(error)[:80]})") from error
    return builder.build()


def write_osm_xml(graph: OsmGraph, *, first_id: int) -> Iterator[bytes]:
    """Write the graph in chunks, its features numbered from ``first_id`` on in their order."""
    yield _HEAD
    lines: list[str] = []
    for line in _lines(graph, first_id):
        lines.append(line)
        if len(lines) >= _CHUNK_LINES:
            yield "".join(lines).encode()
            lines.clear()
    yield "".join(lines).encode() + _FOOT


def _collect(element: Any, builder: OsmGraphBuilder) -> None:
    name = element.tag
    if name in _LEFT_OUT:
        return
    if name not in _WITHIN:
        raise MalformedItemError(f"unknown element (got {str(name)[:40]!r}, expected one of {list(NAMES)})")
    if element.get("visible") == "false" or element.get("action") == "delete":
        raise MalformedItemError(f"a {name} is deleted (expected a map as it is, without its history)")
    if odd := [c.tag for c in element if c.tag not in _WITHIN[name]]:
        raise MalformedItemError(f"unknown element within a {name} (got {str(odd[0])[:40]!r})")
    identity, tags = _integer(element, "id"), _tags(element)
    if name == NAMES[NODE]:
        builder.node(identity, _degrees(element, "lat"), _degrees(element, "lon"), tags)
    elif name == NAMES[WAY]:
        builder.way(identity, [_integer(c, "ref") for c in element if c.tag == "nd"], tags)
    else:
        members = [
            (_member_type(c), _integer(c, "ref"), c.get("role", "")) for c in element if c.tag == "member"
        ]
        builder.relation(identity, members, tags)


def _tags(element: Any) -> dict[str, str]:
    tags: dict[str, str] = {}
    for child in element:
        if child.tag == "tag":
            key, value = child.get("k"), child.get("v")
            if key is None or value is None or key in tags:
                raise MalformedItemError(
                    f"a tag of a {element.tag} lacks its key or value, or is there twice"
                )
            tags[key] = value
    return tags


def _integer(element: Any, name: str) -> int:
    text = element.get(name, "")
    try:
        return int(text)
    except ValueError as error:
        raise MalformedItemError(f"{element.tag}: {name} is no integer (got {text[:20]!r})") from error


def _degrees(element: Any, name: str) -> float:
    try:
        return float(element.get(name, ""))
    except ValueError as error:
        raise MalformedItemError(f"{element.tag}: {name} is no number") from error


def _member_type(element: Any) -> int:
    kind = element.get("type", "")
    if kind not in NAMES:
        raise MalformedItemError(
            f"unknown type of a member (got {kind[:20]!r}, expected one of {list(NAMES)})"
        )
    return NAMES.index(kind)


def _lines(graph: OsmGraph, first_id: int) -> Iterator[str]:
    pairs = [f"  <tag k={_quoted(k)} v={_quoted(v)}/>\n" for k, v in graph.pairs]
    for number, (lat, lon, tags) in enumerate(
        zip(each(graph.lat_e7), each(graph.lon_e7), graph.tags[NODE].lists(), strict=True), first_id
    ):
        head = f' <node id="{number}" lat="{_decimal(lat)}" lon="{_decimal(lon)}"'
        yield from _element(head, NODE, [pairs[t] for t in tags.tolist()])
    for number, (nodes, tags) in enumerate(
        zip(graph.way_nodes.lists(), graph.tags[WAY].lists(), strict=True), first_id
    ):
        inner = [f'  <nd ref="{n + first_id}"/>\n' for n in nodes.tolist()]
        yield from _element(f' <way id="{number}"', WAY, inner + [pairs[t] for t in tags.tolist()])
    at = 0
    for number, (members, tags) in enumerate(
        zip(graph.members.lists(), graph.tags[RELATION].lists(), strict=True), first_id
    ):
        inner = [
            f'  <member type="{NAMES[graph.member_type[at + i]]}" ref="{ref + first_id}"'
            f" role={_quoted(graph.roles[graph.member_role[at + i]])}/>\n"
            for i, ref in enumerate(members.tolist())
        ]
        at += len(members)
        yield from _element(f' <relation id="{number}"', RELATION, inner + [pairs[t] for t in tags.tolist()])


def _element(head: str, kind: int, inner: list[str]) -> Iterator[str]:
    if not inner:
        yield f"{head}/>\n"
        return
    yield f"{head}>\n"
    yield from inner
    yield f" </{NAMES[kind]}>\n"


def _decimal(e7: int) -> str:
    whole, part = divmod(abs(e7), 10**7)
    return f"{'-' if e7 < 0 else ''}{whole}.{part:07d}"


def _quoted(text: str) -> str:
    return f'"{escape(text, _ESCAPES)}"'
