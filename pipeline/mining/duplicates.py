"""Pictures that show the same: by perceptual hash and descriptor, exactly, every pair."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from pipeline.mining.descriptors import HASH_BITS, Look, describe

HASH_WITHIN: Final = 10
"""Bits by which hashes of the same picture differ after JPEG, scale or masks."""
ALIKE: Final = 0.85
"""Cosine that descriptors of such a pair must have as well."""
SAME: Final = 0.95
"""Cosine from which descriptors alone say that two pictures show the same, after a crop or a shift."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Pictures that show the same, directly or over others of the group.

    Attributes:
        kept: The sharpest of them, of equals the first by name.
        others: The others, by name.
    """

    kept: str
    others: tuple[str, ...]


def near_duplicates(looks: Mapping[str, Look]) -> tuple[Group, ...]:
    """The groups of two and more, by the name of the kept picture.

    Two pictures show the same where their hashes differ in at most ``HASH_WITHIN`` bits and their descriptors are
    alike, or where their descriptors are the same.
    """
    names = sorted(looks)
    if len(names) < 2:  # noqa: PLR2004 - a pair takes two
        return ()
    descriptors = describe({name: looks[name] for name in names})
    pairs = _same_descriptors(descriptors) | _same_hashes(looks, names, descriptors)
    if not pairs:
        return ()
    one, other = np.array(sorted(pairs)).T
    graph = coo_array((np.ones(len(one)), (one, other)), shape=(len(names), len(names)))
    _, labels = connected_components(graph, directed=False)
    members: dict[int, list[str]] = {}
    for name, label in zip(names, labels.tolist(), strict=True):
        members.setdefault(label, []).append(name)
    groups = [_group(looks, of) for of in members.values() if len(of) > 1]
    return tuple(sorted(groups, key=lambda group: group.kept))


def _group(looks: Mapping[str, Look], names: list[str]) -> Group:
    kept = max(names, key=lambda name: (looks[name].sharpness, [-ord(c) for c in name]))
    return Group(kept=kept, others=tuple(name for name in names if name != kept))


def _same_descriptors(descriptors: NDArray[np.float32]) -> set[tuple[int, int]]:
    index = faiss.IndexFlatIP(descriptors.shape[1])
    index.add(descriptors)
    limits, _, found = index.range_search(descriptors, SAME)
    return _pairs(limits, found)


def _same_hashes(
    looks: Mapping[str, Look], names: list[str], descriptors: NDArray[np.float32]
) -> set[tuple[int, int]]:
    hashes = np.array([looks[name].hash for name in names], dtype=np.uint64)
    packed = hashes.view(np.uint8).reshape(len(names), HASH_BITS // 8)
    index = faiss.IndexBinaryFlat(HASH_BITS)
    index.add(packed)
    limits, _, found = index.range_search(packed, HASH_WITHIN + 1)
    return {(a, b) for a, b in _pairs(limits, found) if float(descriptors[a] @ descriptors[b]) >= ALIKE}


def _pairs(limits: NDArray[Any], found: NDArray[np.int64]) -> set[tuple[int, int]]:
    counts: NDArray[np.int64] = limits[1:].astype(np.int64) - limits[:-1].astype(np.int64)
    rows = np.repeat(np.arange(len(counts)), counts)
    return {(a, b) for a, b in zip(rows.tolist(), found.tolist(), strict=True) if a < b}
