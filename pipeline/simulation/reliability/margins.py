"""How firm a design point is, and how far each input alone is from turning its failure into a pass."""

from dataclasses import dataclass

import numpy as np

from pipeline.simulation.backend import Floats
from pipeline.simulation.limit_state import LimitState

NEIGHBOURS = 64
RADIUS = 0.5
BEYOND = 0.25
STEPS = 16
HALVINGS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class InputMargin:
    """An input at a design point.

    Attributes:
        name: The input.
        unit: Its unit.
        value: Its value just beyond the limit.
        passes_at: Nearest value, all else equal, at which the run passes; ``None`` where none within its bounds
            does.
    """

    name: str
    unit: str
    value: float
    passes_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """What surrounds a design point.

    Attributes:
        distance: Its distance from the origin of standard space.
        standard: The point there.
        firmness: Share of failing runs among neighbours at half a standard deviation: about a half on a smooth
            limit, far less on a sliver, which a simulator's step or rounding may have made.
        inputs: Each input.
        runs: Runs taken.
    """

    distance: float
    standard: Floats
    firmness: float
    inputs: tuple[InputMargin, ...]
    runs: int


def margin(limit_state: LimitState, point: Floats, seed: int) -> Margin:
    """Look around one design point.

    Raises:
        BackEndError: The simulator failed.
    """
    before = limit_state.runs
    distance = float(np.linalg.norm(point))
    random = np.random.default_rng(seed)
    directions = random.standard_normal((NEIGHBOURS, len(point)))
    around = point + RADIUS * directions / np.linalg.norm(directions, axis=1)[:, None]
    firmness = float((limit_state(around) <= 0.0).mean())
    beyond = limit_state.law.to_physical((point * (1.0 + BEYOND / max(distance, BEYOND)))[None])[0]
    passes = _passing_values(limit_state, beyond)
    inputs = tuple(
        InputMargin(name=each.name, unit=each.unit, value=float(value), passes_at=passing)
        for each, value, passing in zip(limit_state.law.inputs, beyond, passes, strict=True)
    )
    return Margin(
        distance=distance, standard=point, firmness=firmness, inputs=inputs, runs=limit_state.runs - before
    )


def _passing_values(limit_state: LimitState, point: Floats) -> list[float | None]:
    """Per input the nearest passing value on a grid to either bound, refined by bisection."""
    count = len(point)
    parts = np.linspace(0.0, 1.0, STEPS + 1)[1:] ** 2
    lower = np.array([each.lower for each in limit_state.law.inputs])
    upper = np.array([each.upper for each in limit_state.law.inputs])
    sides = np.stack([lower - point, upper - point])
    # Axes: side, input, step; one input differs from the point in each row.
    offsets = sides[:, :, None] * parts
    trial = np.tile(point, (2, count, STEPS, 1))
    for i in range(count):
        trial[:, i, :, i] += offsets[:, i, :]
    failed = limit_state.run(trial.reshape(-1, count)).failed.reshape(2, count, STEPS)
    scale = np.maximum(upper - lower, 1e-300)
    nearest: list[tuple[float, float] | None] = []
    for i in range(count):
        found: list[tuple[float, float, float]] = []
        for side in range(2):
            steps = np.flatnonzero(~failed[side, i])
            if steps.size:
                passing = offsets[side, i, steps[0]]
                failing = offsets[side, i, steps[0] - 1] if steps[0] else 0.0
                found.append((abs(passing) / scale[i], passing, failing))
        nearest.append(min(found)[1:] if found else None)
    return _refined(limit_state, point, nearest)


def _refined(
    limit_state: LimitState, point: Floats, brackets: list[tuple[float, float] | None]
) -> list[float | None]:
    count = len(point)
    passing = np.array([0.0 if each is None else each[0] for each in brackets])
    failing = np.array([0.0 if each is None else each[1] for each in brackets])
    for _ in range(HALVINGS):
        middle = 0.5 * (passing + failing)
        failed = limit_state.run(point + np.diag(middle)).failed
        failing = np.where(failed, middle, failing)
        passing = np.where(failed, passing, middle)
    return [None if brackets[i] is None else float(point[i] + passing[i]) for i in range(count)]
