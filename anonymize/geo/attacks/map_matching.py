"""Find a released clip on a map: the place whose roads have its shape.

An OFFSET clip is slid over the roads around the place that it shows; a LOCAL clip, whose place and direction are
unknown, is tried on every road of the extract. Candidates come from ``path_search``; the best are laid onto the
roads point by point (iterative closest points, rotation and translation), which corrects what length measured
along the way cannot, and are ranked by what distance is left.
"""

import math
from dataclasses import dataclass

import numpy as np

from anonymize.geo.attacks.path_search import Placements, best_of, find_placements
from anonymize.geo.attacks.road_network import ComplexArray, IntArray, RoadNetwork
from anonymize.geo.attacks.shapes import along_m, evenly, moving
from anonymize.geo.ellipsoid import FloatArray

FOUND_M = 50.0
"""A clip is found when half of its fixes, or more, lie within this distance of their true places."""

REACH_M = 1500.0
"""How far around the place that an OFFSET clip shows the attacker looks: three times the usual displacement."""

_SPACING_M = 20.0
_LEAST_SAMPLES = 4
_STARTS, _MOST = 150_000, 300_000
_CANDIDATES = 60
_LAID_STEPS = 10
_TOLERANCE_M, _TOLERANCE_SHARE = 8.0, 0.005
_CLAIM_M, _CLAIM_RATIO, _CLAIM_APART_M = 5.0, 2.0, 1.0
_WIDENED = (1.0, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Match:
    """The best place for a clip.

    Attributes:
        places: Where each fix of the clip would be, metres in the network's frame.
        rms_m: Root mean square distance in metres from these to the roads.
        runner_up_m: The same for the best place elsewhere; infinite where there is none.
    """

    places: ComplexArray
    rms_m: float
    runner_up_m: float

    @property
    def claimed(self) -> bool:
        """Whether an attacker who does not know the truth would stand by it: near the roads, and alone there."""
        apart = max(_CLAIM_RATIO * self.rms_m, self.rms_m + _CLAIM_APART_M)
        return self.rms_m <= _CLAIM_M and self.runner_up_m >= apart

    def error_m(self, truth: ComplexArray) -> float:
        """Median distance in metres from the true places, in the network's frame."""
        return float(np.median(np.abs(self.places - truth)))


def match_displaced(network: RoadNetwork, shown: ComplexArray, *, reach_m: float = REACH_M) -> Match | None:
    """Slide a displaced clip over the roads around it.

    Args:
        network: The roads.
        shown: The fixes as released, metres in the network's frame.
        reach_m: How far in metres the displacement may go.

    Returns:
        The best place; None where no way has the clip's shape, or the clip hardly moves.
    """
    way = moving(shown)
    edge, along = network.places(_SPACING_M)
    near = np.abs(network.positions(edge, along) - way[0]) <= reach_m
    return _match(network, shown, way, starts=(edge[near], along[near]), turning=False)


def match_local(network: RoadNetwork, clip: ComplexArray) -> Match | None:
    """Try a clip without place and direction on every road.

    Args:
        network: The roads.
        clip: The fixes, metres in the clip's own frame.

    Returns:
        The best place; None where no way has the clip's shape, or the clip hardly moves.
    """
    return _match(network, clip, moving(clip), starts=network.places(_SPACING_M), turning=True)


def _match(
    network: RoadNetwork,
    fixes: ComplexArray,
    way: ComplexArray,
    *,
    starts: tuple[IntArray, FloatArray],
    turning: bool,
) -> Match | None:
    length = float(along_m(way)[-1])
    if length < _LEAST_SAMPLES * _SPACING_M or not len(starts[0]):
        return None
    shape = evenly(way, _SPACING_M)
    for widened in _WIDENED:
        found = best_of(
            [
                find_placements(
                    network,
                    shape,
                    starts=(starts[0][begin : begin + _STARTS], starts[1][begin : begin + _STARTS]),
                    spacing_m=_SPACING_M,
                    tolerance_m=widened * (_TOLERANCE_M + _TOLERANCE_SHARE * length),
                    turning=turning,
                    most=_MOST,
                )
                # In parts: on a straight begin all starts are equally good, and none may be dropped for it.
                for begin in range(0, len(starts[0]), _STARTS)
            ]
        )
        if len(found):
            break
    else:
        return None
    candidates = _apart(found, shape)
    fine = evenly(way, _SPACING_M / 2.0)
    turn, shift, rms = _laid(network, candidates, fine)
    best = int(np.argmin(rms))
    places = turn[best] * fine + shift[best]
    elsewhere = [
        float(rms[n])
        for n in range(len(rms))
        if np.median(np.abs(turn[n] * fine + shift[n] - places)) > FOUND_M
    ]
    return Match(
        places=turn[best] * fixes + shift[best],
        rms_m=float(rms[best]),
        runner_up_m=min(elsewhere, default=math.inf),
    )


def _apart(found: Placements, shape: ComplexArray) -> Placements:
    """The best placements whose begins or ends lie at different places."""
    ends = np.stack([found.turn * shape[0] + found.shift, found.turn * shape[-1] + found.shift], axis=1)
    cells = np.round(np.concatenate([ends.real, ends.imag], axis=1) / _SPACING_M)
    _, first = np.unique(cells, axis=0, return_index=True)
    return found.take(np.sort(first)[:_CANDIDATES])


def _laid(
    network: RoadNetwork, candidates: Placements, shape: ComplexArray
) -> tuple[ComplexArray, ComplexArray, FloatArray]:
    """Turn, shift and root mean square distance from the roads after iterating to the closest points."""
    turn, shift = candidates.turn.copy(), candidates.shift.copy()
    heading = np.gradient(shape)
    heading /= np.maximum(np.abs(heading), 1e-9)
    mean = shape.mean()
    own = np.conj(shape - mean)
    for _ in range(_LAID_STEPS):
        onto = _nearest(network, turn[:, None] * shape + shift[:, None], turn[:, None] * heading)
        middle = onto.mean(axis=1)
        cross = ((onto - middle[:, None]) * own).sum(axis=1)
        turn = np.where(np.abs(cross) > 0.0, cross / np.maximum(np.abs(cross), 1e-12), turn)
        shift = middle - turn * mean
    placed = turn[:, None] * shape + shift[:, None]
    apart = np.abs(placed - _nearest(network, placed, turn[:, None] * heading))
    return turn, shift, np.asarray(np.sqrt((apart**2).mean(axis=1)))


def _nearest(network: RoadNetwork, at: ComplexArray, heading: ComplexArray) -> ComplexArray:
    return network.nearest(at.ravel(), heading.ravel()).reshape(at.shape)
