"""An OpenStreetMap data set as columns in memory: nodes, ways and relations that know one another by index.

The ids of the source end where it is read: references are resolved to indices, and what is written is numbered
anew. Editor metadata (user, uid, changeset, timestamp, version) has no column, so none can be written.
About 30 bytes per node, 8 per reference and 4 per attribute, plus each different attribute once, and several
times that while references are resolved.
"""

import itertools
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from anonymize.errors import LimitExceededError, MalformedItemError
from anonymize.geo.ellipsoid import FloatArray

Index = NDArray[np.int64]
Flags = NDArray[np.bool_]

E7 = 1e7
MISSING = -1
NODE, WAY, RELATION = range(3)
NAMES = ("node", "way", "relation")
_LIMITS_E7 = (900_000_000, 1_800_000_000)
_ID_LIMIT = 1 << 62
_TEXT_LIMIT = 1 << 16
_AT_ONCE = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Column:
    """A list of numbers per feature: those of feature ``i`` are ``values[ptr[i]:ptr[i + 1]]``."""

    ptr: Index
    values: NDArray[np.int32] | Index

    def __len__(self) -> int:
        return len(self.ptr) - 1

    def owner(self) -> Index:
        """For each value the index of its feature."""
        return np.repeat(np.arange(len(self)), np.diff(self.ptr))

    def any(self, flags: Flags) -> Flags:
        """For each feature whether any of its values is flagged."""
        hit = np.zeros(len(self), dtype=bool)
        hit[self.owner()[flags]] = True
        return hit

    def where(self, flags: Flags) -> "Column":
        """Only the flagged values."""
        counts = np.bincount(self.owner()[flags], minlength=len(self))
        return Column(ptr=_pointer(counts), values=self.values[flags])

    def take(self, order: Index) -> "Column":
        """The features ``order``, in that order."""
        lengths = np.diff(self.ptr)[order]
        ptr = _pointer(lengths)
        at = np.arange(ptr[-1]) + np.repeat(self.ptr[:-1][order] - ptr[:-1], lengths)
        return Column(ptr=ptr, values=self.values[at])

    def lists(self) -> Iterator[NDArray[np.int32] | Index]:
        """The values of each feature."""
        for start in range(0, len(self), _AT_ONCE):
            bounds = self.ptr[start : start + _AT_ONCE + 1].tolist()
            yield from (self.values[a:b] for a, b in itertools.pairwise(bounds))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OsmGraph:
    """The data set.

    Attributes:
        lat_e7: Latitude of each node in units of 1e-7 degrees, EPSG:4326.
        lon_e7: Longitude of each node.
        way_nodes: Nodes of each way as indices, ``MISSING`` for those the source lacks.
        members: Members of each relation as indices among features of their type, ``MISSING`` likewise.
        member_type: Type of each member, aligned with ``members.values``.
        member_role: Role of each member as an index of ``roles``.
        tags: Attributes of nodes, ways and relations as indices of ``pairs``.
        pairs: Every different attribute as key and value.
        roles: Every different role.
    """

    lat_e7: NDArray[np.int32]
    lon_e7: NDArray[np.int32]
    way_nodes: Column
    members: Column
    member_type: NDArray[np.int32]
    member_role: NDArray[np.int32]
    tags: tuple[Column, Column, Column]
    pairs: Sequence[tuple[str, str]]
    roles: Sequence[str]

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many nodes, ways and relations there are."""
        return len(self.lat_e7), len(self.way_nodes), len(self.members)

    def positions(self) -> tuple[FloatArray, FloatArray]:
        """Latitude and longitude of each node in degrees."""
        return self.lat_e7 / E7, self.lon_e7 / E7

    def moved(self, lat: FloatArray, lon: FloatArray) -> "OsmGraph":
        """The same graph with its nodes at other positions, rounded to 7 decimals."""
        return replace(
            self, lat_e7=np.rint(lat * E7).astype(np.int32), lon_e7=np.rint(lon * E7).astype(np.int32)
        )

    def take(self, nodes: Index, ways: Index, relations: Index) -> "OsmGraph":
        """The given features in the given order; members of relations that are not among them are left out."""
        kept = (nodes, ways, relations)
        renumbered = [_inverse(order, count) for order, count in zip(kept, self.counts, strict=True)]
        way_nodes = self.way_nodes.take(ways)
        members = self.members.take(relations)
        # Types and roles run along with the members.
        types = replace(self.members, values=self.member_type).take(relations).values
        roles = replace(self.members, values=self.member_role).take(relations).values
        there = np.full(len(members.values), MISSING, dtype=np.int64)
        for kind, numbers in enumerate(renumbered):
            of = (types == kind) & (members.values != MISSING)
            there[of] = numbers[members.values[of]]
        known = there != MISSING
        return OsmGraph(
            lat_e7=self.lat_e7[nodes],
            lon_e7=self.lon_e7[nodes],
            way_nodes=replace(way_nodes, values=renumbered[NODE][way_nodes.values]),
            members=replace(members, values=there).where(known),
            member_type=types[known].astype(np.int32),
            member_role=roles[known].astype(np.int32),
            tags=tuple(c.take(o) for c, o in zip(self.tags, kept, strict=True)),  # type: ignore[arg-type]
            pairs=self.pairs,
            roles=self.roles,
        )

    def tags_of(self, kind: int, index: int) -> dict[str, str]:
        """Attributes of one feature."""
        column = self.tags[kind]
        part = column.values[column.ptr[index] : column.ptr[index + 1]]
        return dict(self.pairs[i] for i in part.tolist())


@dataclass(slots=True)
class _Features:
    # Quoted: before Python 3.12 array.array takes no parameter at run time.
    ids: "array[int]" = field(default_factory=lambda: array("q"))
    tag_counts: "array[int]" = field(default_factory=lambda: array("q"))
    tags: "array[int]" = field(default_factory=lambda: array("i"))
    counts: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[int]" = field(default_factory=lambda: array("q"))


def each(values: NDArray[np.int32]) -> Iterator[int]:
    """The values as Python integers, of which few are in memory at a time."""
    for start in range(0, len(values), _AT_ONCE):
        yield from values[start : start + _AT_ONCE].tolist()


class OsmGraphBuilder:
    """Collects the features of a source in its order, then resolves their references."""

    def __init__(self, *, max_features: int) -> None:
        self._max = max_features
        self._features = (_Features(), _Features(), _Features())
        self._pairs: dict[tuple[str, str], int] = {}
        self._roles: dict[str, int] = {}
        self._types, self._member_roles = array("i"), array("i")

    def node(self, identity: int, lat: float, lon: float, tags: Mapping[str, str]) -> None:
        """Add a node at a position in degrees.

        Raises:
            MalformedItemError: Its id or position is impossible.
            LimitExceededError: There are too many features.
        """
        self._add(NODE, identity, tags)
        e7 = (round(lat * E7), round(lon * E7)) if abs(lat) <= 90.0 and abs(lon) <= 180.0 else None  # noqa: PLR2004
        if e7 is None:
            which, limit = ("latitude", 90) if not abs(lat) <= 90.0 else ("longitude", 180)  # noqa: PLR2004
            raise MalformedItemError(
                f"node {len(self._features[NODE].ids)}: {which} is out of range (expected -{limit} to {limit})"
            )
        self._features[NODE].values.extend(e7)

    def way(self, identity: int, nodes: Sequence[int], tags: Mapping[str, str]) -> None:
        """Add a way through nodes given by id.

        Raises:
            MalformedItemError: Its id is impossible.
            LimitExceededError: There are too many features.
        """
        self._add(WAY, identity, tags)
        self._features[WAY].counts.append(len(nodes))
        self._features[WAY].values.extend(nodes)

    def relation(
        self, identity: int, members: Sequence[tuple[int, int, str]], tags: Mapping[str, str]
    ) -> None:
        """Add a relation of members given by type, id and role.

        Raises:
            MalformedItemError: Its id is impossible.
            LimitExceededError: There are too many features.
        """
        self._add(RELATION, identity, tags)
        self._features[RELATION].counts.append(len(members))
        for kind, of, role in members:
            self._types.append(kind)
            self._features[RELATION].values.append(of)
            self._member_roles.append(self._roles.setdefault(role, len(self._roles)))

    def build(self) -> OsmGraph:
        """The graph.

        Raises:
            MalformedItemError: It is empty, or an id is there twice.
        """
        nodes, ways, relations = self._features
        ids = [np.array(f.ids, dtype=np.int64) for f in self._features]
        if not any(map(len, ids)):
            raise MalformedItemError("the map holds no features (got 0, expected at least 1)")
        lookup = [_Lookup(i, name) for i, name in zip(ids, NAMES, strict=True)]
        e7 = np.array(nodes.values, dtype=np.int64).reshape(-1, 2).astype(np.int32)
        refs = np.array(relations.values, dtype=np.int64)
        types = np.array(self._types, dtype=np.int32)
        members = np.full(len(refs), MISSING, dtype=np.int64)
        for kind in (NODE, WAY, RELATION):
            members[types == kind] = lookup[kind].index(refs[types == kind])
        return OsmGraph(
            lat_e7=e7[:, 0],
            lon_e7=e7[:, 1],
            way_nodes=Column(
                ptr=_pointer(ways.counts), values=lookup[NODE].index(np.array(ways.values, dtype=np.int64))
            ),
            members=Column(ptr=_pointer(relations.counts), values=members),
            member_type=types,
            member_role=np.array(self._member_roles, dtype=np.int32),
            tags=tuple(  # type: ignore[arg-type]
                Column(ptr=_pointer(f.tag_counts), values=np.array(f.tags, dtype=np.int32))
                for f in self._features
            ),
            pairs=tuple(self._pairs),
            roles=tuple(self._roles),
        )

    def _add(self, kind: int, identity: int, tags: Mapping[str, str]) -> None:
        features = self._features[kind]
        if sum(len(f.ids) for f in self._features) >= self._max:
            raise LimitExceededError(f"the map holds too many features (expected at most {self._max})")
        if not -_ID_LIMIT < identity < _ID_LIMIT:
            raise MalformedItemError(f"{NAMES[kind]} {len(features.ids) + 1}: id is impossible")
        features.ids.append(identity)
        features.tag_counts.append(len(tags))
        for pair in tags.items():
            if len(pair[0]) + len(pair[1]) > _TEXT_LIMIT:
                raise LimitExceededError(
                    f"{NAMES[kind]} {len(features.ids)}: an attribute is too long "
                    f"(got {len(pair[0]) + len(pair[1])} characters, expected at most {_TEXT_LIMIT})"
                )
            features.tags.append(self._pairs.setdefault(pair, len(self._pairs)))


class _Lookup:
    """From ids to indices."""

    def __init__(self, ids: Index, name: str) -> None:
        self._order = np.argsort(ids, kind="stable")
        self._sorted = ids[self._order]
        twice = np.flatnonzero(np.diff(self._sorted) == 0)
        if len(twice):
            first = int(self._order[twice[0] + 1])
            raise MalformedItemError(f"ids are unique (got that of {name} {first + 1} twice)")

    def index(self, ids: Index) -> Index:
        """The index of each id, ``MISSING`` where there is none."""
        if not len(self._sorted):
            return np.full(len(ids), MISSING, dtype=np.int64)
        at = np.minimum(np.searchsorted(self._sorted, ids), len(self._sorted) - 1)
        return np.where(self._sorted[at] == ids, self._order[at], MISSING)


def _pointer(counts: Sequence[int] | Index) -> Index:
    return np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))]).astype(np.int64)


def _inverse(order: Index, count: int) -> Index:
    # One more entry, so that MISSING (-1) stays MISSING.
    numbers = np.full(count + 1, MISSING, dtype=np.int64)
    numbers[order] = np.arange(len(order))
    return numbers
