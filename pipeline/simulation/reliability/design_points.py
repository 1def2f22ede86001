"""Where failure is most likely: points of the failure region that lie near the origin of standard space."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri  # type: ignore[import-untyped]
from scipy.stats import qmc  # type: ignore[import-untyped]

from pipeline.simulation.backend import Floats
from pipeline.simulation.limit_state import Sim


def explore(sim: Sim, count: int, spread: float, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Fill a widened standard space by a scrambled Sobol sequence: the failing points, and all points."""
    sequence = qmc.Sobol(sim.dimension, scramble=True, rng=random)
    # A balanced start of the sequence has a power of two points; what is over is cut off its end.
    unit = sequence.random_base2(max(1, int(np.ceil(np.log2(count)))))[:count]
    tiny = np.finfo(np.float64).tiny
    points = spread * ndtri(np.clip(unit, tiny, 1.0 - np.finfo(np.float64).epsneg))
    return points[sim(points) <= 0.0], points


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How the search for design points spends runs.

    Attributes:
        candidates: Failing points of the exploration that it starts from, nearest first.
        most: Design points kept at most.
        halvings: Bisections along a ray.
        meetings: Rounds in which neighbours try the point halfway between them.
        partners: Neighbours that each tries.
        alike: Cosine above which two directions are one.
    """

    candidates: int = 20
    most: int = 10
    halvings: int = 4
    meetings: int = 3
    partners: int = 4
    alike: float = 0.85


def design_points(sim: Sim, failing: Floats, search: Search) -> Floats:
    """Failing points drawn towards the origin, no two in about the same direction.

    Candidates are drawn in along their rays by bisection, then coordinate by coordinate: to 0 or halfway there,
    kept where the run still fails. Then neighbours meet halfway, wherever that point fails and lies nearer:
    in one convex mode all come to its design point, and points of two modes stay apart. Only passing and failing
    is read.
    """
    points = failing[np.argsort(np.linalg.norm(failing, axis=1))[: search.candidates]]
    points = _drawn_in(sim, points, search.halvings)
    for coordinate in range(sim.dimension):
        trial = points.copy()
        trial[:, coordinate] = 0.0
        fails = sim(trial) <= 0.0
        points[fails] = trial[fails]
    points = _drawn_in(sim, points, search.halvings)
    for _ in range(search.meetings):
        points = _met_halfway(sim, points, search.partners)
        points = _drawn_in(sim, points, search.halvings)
        points = apart(points, len(points), 1.0 - (1.0 - search.alike) / 4.0)
    return apart(points, search.most, search.alike)


def _met_halfway(sim: Sim, points: Floats, partners: int) -> Floats:
    lengths = np.linalg.norm(points, axis=1)
    alike = (points @ points.T) / np.outer(lengths, lengths)
    np.fill_diagonal(alike, -np.inf)
    count = min(partners, len(points) - 1)
    if count < 1:
        return points
    others = np.argsort(-alike, axis=1)[:, :count]
    trial = 0.5 * (points[:, None, :] + points[others])
    fails = (sim(trial.reshape(-1, sim.dimension)) <= 0.0).reshape(len(points), count)
    reached = np.where(fails, np.linalg.norm(trial, axis=2), np.inf)
    best = reached.argmin(axis=1)
    rows = np.arange(len(points))
    nearer = reached[rows, best] < lengths
    return np.where(nearer[:, None], trial[rows, best], points)


def apart(points: Floats, most: int, alike: float) -> Floats:
    """Up to ``most`` points, nearest first, no two directions with a cosine above ``alike``."""
    lengths = np.linalg.norm(points, axis=1)
    chosen: list[int] = []
    directions = points / np.maximum(lengths, 1e-12)[:, None]
    for index in np.argsort(lengths):
        if all(directions[index] @ directions[other] <= alike for other in chosen):
            chosen.append(int(index))
        if len(chosen) == most:
            break
    return points[chosen]


def _drawn_in(sim: Sim, points: Floats, halvings: int) -> Floats:
    passing, failing = np.zeros(len(points)), np.ones(len(points))
    for _ in range(halvings):
        middle = 0.5 * (passing + failing)
        fails = sim(points * middle[:, None]) <= 0.0
        failing = np.where(fails, middle, failing)
        passing = np.where(fails, passing, middle)
    return points * failing[:, None]
