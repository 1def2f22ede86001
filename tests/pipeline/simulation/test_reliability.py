"""Against limit states whose probability is known in closed form."""

import numpy as np
import pytest
from scipy.stats import norm

from pipeline.simulation.errors import SettingsError
from pipeline.simulation.reliability.estimate import Estimate, Settings, estimate

BETA = 5.2
RARE = norm.sf(BETA)


class Plane:
    """Failure beyond one oblique plane; ``g`` is only a sign, as with collisions."""

    def __init__(self, dimension: int, beta: float = BETA) -> None:
        self.dimension = dimension
        self.runs = 0
        self._beta = beta

    def __call__(self, standard: np.ndarray) -> np.ndarray:
        self.runs += len(standard)
        return np.where(standard.sum(axis=1) / np.sqrt(self.dimension) >= self._beta, -1.0, 1.0)


class Walls:
    """Failure beyond a wall on either side of some axes."""

    def __init__(self, dimension: int, axes: int) -> None:
        self.dimension = dimension
        self._axes = axes

    def __call__(self, standard: np.ndarray) -> np.ndarray:
        return np.where(np.abs(standard[:, : self._axes]).max(axis=1) >= BETA, -1.0, 1.0)


class Never:
    dimension = 8

    def __call__(self, standard: np.ndarray) -> np.ndarray:
        return np.ones(len(standard))


def repeated(sim: Plane | Walls, count: int) -> tuple[np.ndarray, list[Estimate]]:
    each = [estimate(sim, Settings(), seed) for seed in range(count)]
    return np.array([e.probability for e in each]), each


@pytest.mark.parametrize(
    ("sim", "probability"), [(Plane(8), RARE), (Walls(8, 1), 2 * RARE), (Walls(8, 2), 4 * RARE)]
)
def test_a_probability_of_1e_7_in_eight_dimensions_is_met_without_bias(sim, probability):
    found, each = repeated(sim, 20)
    error = found.std(ddof=1) / np.sqrt(len(found))
    assert abs(found.mean() - probability) < 4 * error
    assert error < 0.05 * probability
    assert all(e.runs == 5500 for e in each)
    assert np.median([e.variation for e in each]) < 0.1
    # The stated error is that of the estimates: standard scores scatter by about 1.
    scores = [(e.probability - probability) / e.standard_error for e in each]
    assert 0.5 < np.std(scores) < 1.6


def test_design_points_lie_where_failure_is_most_likely():
    one = estimate(Plane(8), Settings(), 1)
    lengths = np.linalg.norm(one.design_points, axis=1)
    assert lengths.min() == pytest.approx(BETA, abs=0.4)
    two = estimate(Walls(8, 1), Settings(), 1)
    assert {np.sign(point[0]) for point in two.design_points} == {-1.0, 1.0}


def test_thirty_dimensions_cost_precision_and_the_error_says_so():
    found, each = repeated(Plane(30), 5)
    assert np.median([e.variation for e in each]) > 0.12
    assert np.median(np.abs(found - RARE) / [e.standard_error for e in each]) < 2.5


def test_more_modes_than_design_points_are_underestimated():
    # What docs/simulation.md warns of; a change that cures it should change the warning.
    found, each = repeated(Walls(12, 12), 8)
    assert np.median(found) < 0.8 * 24 * RARE
    assert max(len(e.design_points) for e in each) <= 10


def test_frequent_failure_is_estimated_too():
    found, _ = repeated(Plane(3, beta=1.0), 10)
    assert found.mean() == pytest.approx(norm.sf(1.0), rel=0.05)


def test_no_failure_found_is_never_a_probability_of_nought():
    nothing = estimate(Never(), Settings(), 1)
    assert nothing.probability is None
    assert nothing.standard_error is None
    assert nothing.variation is None


def test_runs_are_counted_as_the_simulator_counts_them_and_seeds_repeat():
    sim = Plane(8)
    first = estimate(sim, Settings(), 7)
    assert sim.runs == first.runs == 5500
    assert estimate(Plane(8), Settings(), 7).probability == first.probability
    assert estimate(Plane(8), Settings(), 8).probability != first.probability


def test_a_smaller_budget_is_spent_in_proportion():
    assert Settings.of_budget(5500) == Settings()
    half = Settings.of_budget(2750)
    assert (half.explore_runs, half.step_runs) == (1024, 250)
    found = [estimate(Plane(8), half, seed) for seed in range(20)]
    ratio = np.array([each.probability for each in found]) / RARE
    assert all(each.runs == 2750 for each in found)
    assert abs(ratio.mean() - 1.0) < 4 * ratio.std(ddof=1) / np.sqrt(20)
    with pytest.raises(SettingsError, match="expected 1500 or more"):
        Settings.of_budget(1499)


def test_a_budget_that_the_search_eats_up_is_refused():
    with pytest.raises(SettingsError, match="left for the final batch"):
        estimate(Plane(8), Settings(runs=3000), 1)
