"""OSM PBF, read and written by osmium without a file on disk.

osmium reads from memory, a few blobs at a time. It writes to paths only: it gets the descriptor of an
anonymous file in memory (``memfd_create``) as ``/proc/self/fd/N``, so that no plaintext reaches a disk.
"""

import itertools
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

import osmium
import osmium.io
from osmium.osm import mutable

from anonymize.errors import MalformedItemError
from anonymize.maps.osm_graph import E7, NAMES, NODE, RELATION, WAY, OsmGraph, OsmGraphBuilder, each
from anonymize.maps.pbf_blobs import Blob, read_blobs

_BLOBS_AT_ONCE = 8
_CHUNK_BYTES = 1 << 20
_TYPE_LETTERS = "nwr"
_FORMAT = "pbf,add_metadata=none,pbf_dense_nodes=true"


def read_osm_pbf(file: BinaryIO, *, max_features: int) -> OsmGraph:
    """Read nodes, ways and relations; everything about editing is left out.

    Raises:
        MalformedItemError: Truncated, undecodable, an object that is deleted, an impossible coordinate, ids or
            keys that are there twice.
        LimitExceededError: There are too many features.
    """
    builder = OsmGraphBuilder(max_features=max_features)
    blobs = read_blobs(file)
    head = next(blobs)
    _decode([head], builder)
    while part := list(itertools.islice(blobs, _BLOBS_AT_ONCE)):
        _decode([head, *part], builder)
    return builder.build()


def write_osm_pbf(graph: OsmGraph, *, first_id: int) -> Iterator[bytes]:
    """Write the graph in chunks, its features numbered from ``first_id`` on in their order."""
    descriptor = os.memfd_create("map")
    try:
        header = osmium.io.Header()
        header.set("generator", "")
        target = osmium.io.File(f"/proc/self/fd/{descriptor}", _FORMAT)
        writer = osmium.SimpleWriter(target, header=header, overwrite=True)
        try:
            _write(graph, writer, first_id)
        finally:
            writer.close()
        os.lseek(descriptor, 0, os.SEEK_SET)
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            yield chunk
    finally:
        os.close(descriptor)


def _decode(blobs: list[Blob], builder: OsmGraphBuilder) -> None:
    content = b"".join(part for blob in blobs for part in (blob.frame, blob.body))
    try:
        for feature in osmium.FileProcessor(osmium.io.FileBuffer(content, "pbf")):
            _collect(feature, builder)
    except (RuntimeError, UnicodeDecodeError, OverflowError) as error:
        raise MalformedItemError(f"PBF is malformed ({str(error)[:80]})") from error


def _collect(feature: Any, builder: OsmGraphBuilder) -> None:
    letter = feature.type_str()
    if letter not in _TYPE_LETTERS or not feature.visible or feature.deleted:
        raise MalformedItemError(f"unexpected object (got {letter!r}, expected a map without its history)")
    tags = {tag.k: tag.v for tag in feature.tags}
    if len(tags) != len(feature.tags):
        raise MalformedItemError(f"a tag of a {NAMES[_TYPE_LETTERS.index(letter)]} is there twice")
    if letter == "n":
        place = feature.location
        # osmium keeps whole units of 1e-7 degrees; an undefined location is out of range.
        builder.node(feature.id, place.y / E7, place.x / E7, tags)
    elif letter == "w":
        builder.way(feature.id, [n.ref for n in feature.nodes], tags)
    else:
        members = [(_TYPE_LETTERS.index(m.type), m.ref, m.role) for m in feature.members]
        builder.relation(feature.id, members, tags)


def _write(graph: OsmGraph, writer: Any, first_id: int) -> None:
    places = zip(each(graph.lon_e7), each(graph.lat_e7), graph.tags[NODE].lists(), strict=True)
    for number, (lon, lat, tags) in enumerate(places, first_id):
        writer.add_node(
            mutable.Node(
                id=number, location=(lon / E7, lat / E7), tags=[graph.pairs[t] for t in tags.tolist()]
            )
        )
    ways = zip(graph.way_nodes.lists(), graph.tags[WAY].lists(), strict=True)
    for number, (nodes, tags) in enumerate(ways, first_id):
        refs = [n + first_id for n in nodes.tolist()]
        writer.add_way(mutable.Way(id=number, nodes=refs, tags=[graph.pairs[t] for t in tags.tolist()]))
    at = 0
    relations = zip(graph.members.lists(), graph.tags[RELATION].lists(), strict=True)
    for number, (members, tags) in enumerate(relations, first_id):
        listed = [
            (_TYPE_LETTERS[graph.member_type[at + i]], ref + first_id, graph.roles[graph.member_role[at + i]])
            for i, ref in enumerate(members.tolist())
        ]
        at += len(members)
        writer.add_relation(
            mutable.Relation(id=number, members=listed, tags=[graph.pairs[t] for t in tags.tolist()])
        )
