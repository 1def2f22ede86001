"""Paths of a road network that have the shape of a clip: all starts at once, kept while they still fit.

Every hypothesis walks the network in steps as long as the clip's; at a junction it becomes one for each road that
leaves. The best rigid placement of the clip on the way walked so far has a closed form (Procrustes in the plane,
without scale), so that sums suffice and no way is stored. Hypotheses that fit worse than the tolerance end.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anonymize.geo.attacks.road_network import ComplexArray, IntArray, RoadNetwork
from anonymize.geo.ellipsoid import FloatArray

_LEAST_SAMPLES = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placements:
    """Where a clip fits, one element for each hypothesis: a place ``z`` of the clip lies at ``turn * z + shift``.

    Attributes:
        edge: Directed edge on which the way begins.
        along_m: How far along it.
        turn: Unit complex numbers.
        shift: Metres in the network's frame.
        rms_m: Root mean square distance in metres between the placed clip and the way walked.
    """

    edge: IntArray
    along_m: FloatArray
    turn: ComplexArray
    shift: ComplexArray
    rms_m: FloatArray

    def __len__(self) -> int:
        return len(self.rms_m)

    def take(self, which: NDArray[np.intp]) -> "Placements":
        """Some of them, in that order."""
        return Placements(
            edge=self.edge[which],
            along_m=self.along_m[which],
            turn=self.turn[which],
            shift=self.shift[which],
            rms_m=self.rms_m[which],
        )


def best_of(parts: Sequence[Placements]) -> Placements:
    """All of several searches, the best first."""
    rms = np.concatenate([part.rms_m for part in parts])
    joined = Placements(
        edge=np.concatenate([part.edge for part in parts]),
        along_m=np.concatenate([part.along_m for part in parts]),
        turn=np.concatenate([part.turn for part in parts]),
        shift=np.concatenate([part.shift for part in parts]),
        rms_m=rms,
    )
    return joined.take(np.argsort(rms, kind="stable"))


@dataclass(slots=True, kw_only=True, eq=False)
class _Walk:
    """Hypotheses side by side: where they began, where they are, and the sums of the fit."""

    origin: IntArray
    edge: IntArray
    along: FloatArray
    way: ComplexArray
    cross: ComplexArray
    square: FloatArray

    def take(self, which: NDArray[np.intp] | NDArray[np.bool_]) -> "_Walk":
        return _Walk(**{name: getattr(self, name)[which] for name in self.__slots__})


def find_placements(
    network: RoadNetwork,
    clip: ComplexArray,
    *,
    starts: tuple[IntArray, FloatArray],
    spacing_m: float,
    tolerance_m: float,
    turning: bool,
    most: int,
) -> Placements:
    """Every placement of a clip on the network, from the given starts, within a tolerance.

    Args:
        network: The roads.
        clip: Places of the clip, ``spacing_m`` apart along its way, in metres of its own frame.
        starts: Directed edges and metres along them at which the way may begin.
        spacing_m: Length of a step.
        tolerance_m: Greatest root mean square distance at any step.
        turning: Whether the clip's direction is unknown; otherwise it is only shifted.
        most: At most so many hypotheses go on after a step, the best ones.

    Returns:
        The best first; empty where none is within the tolerance.
    """
    edge, along = starts
    began = network.positions(edge, along)
    walk = _Walk(
        origin=np.arange(len(edge)),
        edge=edge.copy(),
        along=along.copy(),
        way=np.zeros(len(edge), np.complex128),
        cross=np.zeros(len(edge), np.complex128),
        square=np.zeros(len(edge)),
    )
    for number in range(1, len(clip)):
        walk = _advance(network, walk, spacing_m)
        # Relative to the start: sums of squares of city coordinates would lose the metres.
        at = network.positions(walk.edge, walk.along) - began[walk.origin]
        place = clip[number] - clip[0]
        walk.way += at
        walk.cross += np.conj(place) * at
        walk.square += np.abs(at) ** 2
        rms = _rms(walk, clip[: number + 1] - clip[0], turning=turning)
        kept = np.flatnonzero(rms <= tolerance_m)
        if len(kept) > most:
            kept = kept[np.argpartition(rms[kept], most)[:most]]
        walk = walk.take(kept)
        if not len(kept):
            break
    return _placements(walk, clip, began, starts, turning=turning)


def _advance(network: RoadNetwork, walk: _Walk, step_m: float) -> _Walk:
    walk.along = walk.along + step_m
    done: list[_Walk] = []
    first, order = network.leaving
    while True:
        over = walk.along > network.length_m[walk.edge]
        done.append(walk.take(~over))
        walk = walk.take(over)
        if not len(walk.edge):
            return _joined(done)
        node = network.head[walk.edge]
        count = first[node + 1] - first[node]
        parent = np.repeat(np.arange(len(node)), count)
        number = np.arange(len(parent)) - np.repeat(np.cumsum(count) - count, count)
        leaving = order[first[node][parent] + number]
        onward = leaving != (walk.edge[parent] ^ 1)
        parent, leaving = parent[onward], leaving[onward]
        left = walk.along[parent] - network.length_m[walk.edge[parent]]
        walk = walk.take(parent)
        walk.edge, walk.along = leaving, left


def _joined(parts: list[_Walk]) -> _Walk:
    if len(parts) == 1:
        return parts[0]
    return _Walk(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in _Walk.__slots__})


def _rms(walk: _Walk, clip: ComplexArray, *, turning: bool) -> FloatArray:
    count = len(clip)
    mean, way = clip.mean(), walk.way / count
    own = float(np.sum(np.abs(clip - mean) ** 2))
    cross = walk.cross - count * np.conj(mean) * way
    agreeing = np.abs(cross) if turning else cross.real
    square = walk.square - count * np.abs(way) ** 2 + own - 2.0 * agreeing
    return np.asarray(np.sqrt(np.maximum(square, 0.0) / count))


def _placements(
    walk: _Walk,
    clip: ComplexArray,
    began: ComplexArray,
    starts: tuple[IntArray, FloatArray],
    *,
    turning: bool,
) -> Placements:
    local = clip - clip[0]
    rms = _rms(walk, local, turning=turning)
    best = np.argsort(rms, kind="stable")
    walk, rms = walk.take(best), rms[best]
    mean, way = local.mean(), walk.way / len(local)
    cross = walk.cross - len(local) * np.conj(mean) * way
    turn = np.ones(len(rms), np.complex128)
    if turning:
        size = np.abs(cross)
        turn = np.where(size > 0.0, cross / np.where(size > 0.0, size, 1.0), 1.0)
    shift = began[walk.origin] + way - turn * (mean + clip[0])
    edge, along = starts
    return Placements(edge=edge[walk.origin], along_m=along[walk.origin], turn=turn, shift=shift, rms_m=rms)
