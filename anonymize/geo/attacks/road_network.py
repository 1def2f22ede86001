"""The roads of an OpenStreetMap extract as a graph of straight edges in a metric frame, for attackers."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np
import osmium
from numpy.typing import NDArray
from scipy.spatial import cKDTree  # type: ignore[import-untyped]

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.geo.ellipsoid import FloatArray, to_enu
from anonymize.geo.osm_sites import MAX_BYTES, format_of

IntArray = NDArray[np.int64]
ComplexArray = NDArray[np.complex128]

DRIVABLE = frozenset(
    {
        "motorway",
        "trunk",
        "primary",
        "secondary",
        "tertiary",
        "unclassified",
        "residential",
        "living_street",
        "service",
        "road",
    }
)
"""Values of the OSM key ``highway`` that cars drive on; ``*_link`` counts with its road."""

_SAMPLE_M = 5.0
_NEIGHBOURS = 6
_CROSSING_M = 10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class RoadNetwork:
    """A planar graph of roads. Each road segment is two directed edges, ``e`` and ``e ^ 1``.

    Attributes:
        lat0: Latitude of the frame's tangent point in degrees, EPSG:4326: the middle of the extract's roads.
        lon0: Longitude in degrees.
        nodes: East (real) and north (imaginary) of each node in metres.
        tail: Node at which each directed edge begins.
        head: Node at which it ends.
        digest: SHA-256 of the extract.
    """

    lat0: float
    lon0: float
    nodes: ComplexArray = field(repr=False)
    tail: IntArray = field(repr=False)
    head: IntArray = field(repr=False)
    digest: str

    @cached_property
    def length_m(self) -> FloatArray:
        """Length of each directed edge in metres."""
        return np.asarray(np.abs(self.nodes[self.head] - self.nodes[self.tail]))

    @cached_property
    def direction(self) -> ComplexArray:
        """Unit vector of each directed edge."""
        along = self.nodes[self.head] - self.nodes[self.tail]
        return np.asarray(along / np.where(self.length_m > 0.0, self.length_m, 1.0))

    @cached_property
    def leaving(self) -> tuple[IntArray, IntArray]:
        """First place of each node in the list of directed edges by tail, and that list."""
        order = np.argsort(self.tail, kind="stable")
        first = np.searchsorted(self.tail[order], np.arange(len(self.nodes) + 1))
        return first.astype(np.int64), order.astype(np.int64)

    @property
    def road_km(self) -> float:
        """Length of all roads in kilometres."""
        return float(self.length_m.sum()) / 2000.0

    def places(self, spacing_m: float) -> tuple[IntArray, FloatArray]:
        """Directed edges and distances along them, in metres, at most ``spacing_m`` apart."""
        count = np.maximum(np.ceil(self.length_m / spacing_m), 1.0).astype(np.int64)
        edge = np.repeat(np.arange(len(self.tail)), count)
        number = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
        return edge, (number + 0.5) * self.length_m[edge] / count[edge]

    def positions(self, edge: IntArray, along_m: FloatArray) -> ComplexArray:
        """East and north in metres of places on edges."""
        return np.asarray(self.nodes[self.tail[edge]] + along_m * self.direction[edge])

    @cached_property
    def _tree(self) -> tuple[cKDTree, IntArray]:
        edge, along = self.places(_SAMPLE_M)
        kept = edge % 2 == 0
        at = self.positions(edge[kept], along[kept])
        return cKDTree(np.column_stack([at.real, at.imag])), edge[kept]

    def nearest(self, at: ComplexArray, heading: ComplexArray | None = None) -> ComplexArray:
        """The nearest place on a road to each place, in the frame, to about a metre.

        Args:
            at: Places in the frame, one dimension.
            heading: Unit vectors; roads that cross them count as farther away.
        """
        tree, sampled = self._tree
        _, index = tree.query(np.column_stack([at.real, at.imag]), k=min(_NEIGHBOURS, tree.n))
        found = sampled[np.asarray(index).reshape(len(at), -1)]
        offset = at[:, None] - self.nodes[self.tail[found]]
        along = np.clip((offset * np.conj(self.direction[found])).real, 0.0, self.length_m[found])
        places = self.nodes[self.tail[found]] + along * self.direction[found]
        distance = np.abs(at[:, None] - places)
        if heading is not None:
            across = np.abs((np.conj(heading)[:, None] * self.direction[found]).imag)
            distance = distance + _CROSSING_M * across
        return np.asarray(places[np.arange(len(at)), np.argmin(distance, axis=1)])

    def to_frame(self, lat: FloatArray, lon: FloatArray) -> ComplexArray:
        """East and north in metres of positions in degrees, EPSG:4326."""
        east, north = to_enu(lat, lon, self.lat0, self.lon0)
        return np.asarray(east + 1j * north)


def read_road_network(file: BinaryIO, *, max_bytes: int = MAX_BYTES) -> RoadNetwork:
    """Read the drivable roads of an extract; both directions of every road count, one-way or not.

    Args:
        file: OSM PBF or XML, plain or compressed by gzip or bzip2; held in memory.
        max_bytes: Larger files are refused.

    Raises:
        UnknownFormatError: It is none of these formats.
        LimitExceededError: It is larger than ``max_bytes``.
        MalformedItemError: It is truncated or damaged, or holds no drivable road.
    """
    content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise LimitExceededError(f"the extract is too large (expected at most {max_bytes} bytes)")
    try:
        ways, lat, lon, number = _collect(osmium.io.FileBuffer(content, format_of(content)))
    except osmium.InvalidLocationError as error:
        raise MalformedItemError("the extract holds a coordinate that is none") from error
    except RuntimeError as error:
        raise MalformedItemError(f"the extract cannot be read ({str(error)[:120]})") from error
    pairs = [(number[a], number[b]) for way in ways for a, b in itertools.pairwise(way) if a != b]
    if not pairs:
        raise MalformedItemError(
            "the extract holds no drivable road (got none, expected ways with highway=…)"
        )
    return network_of(np.array(lat), np.array(lon), pairs, digest=hashlib.sha256(content).hexdigest())


def network_of(
    lat: FloatArray, lon: FloatArray, pairs: Sequence[tuple[int, int]], *, digest: str
) -> RoadNetwork:
    """A network of nodes in degrees, EPSG:4326, and of the pairs of nodes that a straight road joins."""
    lat0, lon0 = float(lat.min() + lat.max()) / 2.0, float(lon.min() + lon.max()) / 2.0
    east, north = to_enu(lat, lon, lat0, lon0)
    joined = np.unique(np.sort(np.array(pairs, dtype=np.int64), axis=1), axis=0)
    return RoadNetwork(
        lat0=lat0,
        lon0=lon0,
        nodes=np.asarray(east + 1j * north),
        tail=joined.ravel(),
        head=joined[:, ::-1].ravel(),
        digest=digest,
    )


def _collect(source: Any) -> tuple[list[tuple[int, ...]], list[float], list[float], dict[int, int]]:
    """Runs of node ids of drivable ways, and the positions of those nodes in the order of their numbers."""
    runs: list[tuple[int, ...]] = []
    lat: list[float] = []
    lon: list[float] = []
    number: dict[int, int] = {}
    processor = osmium.FileProcessor(source, osmium.osm.NODE | osmium.osm.WAY).with_locations()
    for way in processor.with_filter(osmium.filter.KeyFilter("highway")):
        if not isinstance(way, osmium.osm.Way) or way.tags["highway"].removesuffix("_link") not in DRIVABLE:
            continue
        run: list[int] = []
        for node in way.nodes:
            if not node.location.valid():
                runs.append(tuple(run))
                run = []
                continue
            if node.ref not in number:
                number[node.ref] = len(lat)
                lat.append(node.location.lat)
                lon.append(node.location.lon)
            run.append(node.ref)
        runs.append(tuple(run))
    return runs, lat, lon, number
