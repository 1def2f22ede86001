from dataclasses import replace

import numpy as np
import openturns as ot
import pytest
from scipy.stats import norm

from pipeline.simulation.reliability.cross_check import CrossCheck, cross_check
from pipeline.simulation.reliability.estimate import Estimate
from pipeline.simulation.reliability.verdict import Verdict, judge, plain_runs

FIRST = Estimate(
    probability=1.0e-7,
    standard_error=0.06e-7,
    runs=5500,
    explored_failures=20,
    design_points=np.ones((1, 8)),
    points=np.ones((100, 8)),
    log_weights=np.log(np.full(100, 1e-6)),
    final_runs=1000,
)
SECOND = replace(FIRST, probability=1.1e-7)
CHECK = CrossCheck(probability=1.2e-7, standard_error=0.15e-7, runs=1000)
NOTHING = replace(FIRST, probability=None, standard_error=None, explored_failures=0, log_weights=np.empty(0))


def test_two_seeds_that_agree_under_a_check_that_does_too_give_their_mean():
    judged = judge((FIRST, SECOND), CHECK)
    assert judged.verdict is Verdict.CONVERGED
    assert judged.probability == pytest.approx(1.05e-7)
    assert judged.standard_error == pytest.approx(0.06e-7 / np.sqrt(2))
    assert judged.reasons == ()


HEAVY = replace(FIRST, log_weights=np.log(np.r_[np.full(99, 1e-6), 1e-4]))
REFUSED = {
    "seeds apart": ((FIRST, replace(SECOND, probability=1.3e-7)), CHECK, "the seeds disagree"),
    "a large error": ((FIRST, replace(SECOND, standard_error=0.5e-7)), CHECK, "coefficient of variation"),
    "one heavy run": ((HEAVY, SECOND), CHECK, "one run carries"),
    "no check": ((FIRST, SECOND), None, "no cross-check"),
    "a check that contradicts": ((FIRST, SECOND), replace(CHECK, probability=2e-7), "OpenTURNS contradicts"),
    "a check without failures": (
        (FIRST, SECOND), CrossCheck(probability=0.0, standard_error=0.0, runs=1000), "OpenTURNS contradicts",
    ),
    "one seed without failures": ((FIRST, NOTHING), CHECK, "no run of its exploration"),
    "a final batch without failures": (
        (FIRST, replace(NOTHING, explored_failures=3)), CHECK, "no run of its final batch",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_speaks_against_a_probability_is_told_and_none_is_stated(case: str):
    estimates, check, said = REFUSED[case]
    judged = judge(estimates, check)
    assert judged.verdict is Verdict.NOT_CONVERGED
    assert said in "; ".join(judged.reasons)
    assert judged.probability is None
    assert judged.standard_error is None


def test_no_failure_found_is_a_verdict_of_its_own():
    judged = judge((NOTHING, NOTHING), None)
    assert judged.verdict is Verdict.NO_FAILURE_FOUND
    assert judged.probability is None


def test_one_estimate_is_no_agreement():
    with pytest.raises(ValueError, match="expected 2"):
        judge((FIRST,), CHECK)


class Share:
    """Fails in a stated share of standard space."""

    dimension = 2

    def __init__(self, probability: float) -> None:
        self._above = norm.isf(probability) if probability else np.inf

    def __call__(self, standard: np.ndarray) -> np.ndarray:
        return self._above - standard[:, 0]


def test_the_bound_without_failures_is_the_rule_of_three():
    plain = plain_runs(Share(0.0), 3000, 1)
    assert plain.failures == 0
    assert plain.upper_bound == pytest.approx(3.0 / 3000, rel=0.01)


def test_the_bound_holds_in_at_least_95_of_100_repeats():
    held = sum(plain_runs(Share(0.01), 500, seed).upper_bound >= 0.01 for seed in range(300))
    # 285 expected at least; 4 standard errors of a count of 300 at 0.95 are 15.
    assert held >= 270


def test_all_runs_failing_bound_nothing():
    assert plain_runs(Share(1.0), 10, 1).upper_bound == 1.0


def test_openturns_finds_a_known_probability_by_its_own_arithmetic():
    centres = np.array([[0.0, 5.0], [0.0, 5.3]])
    found = [
        cross_check(ot.Normal(2), lambda x: 5.0 - x[:, 1], centres, runs=1000, seed=seed)
        for seed in range(10)
    ]
    mean = np.mean([each.probability for each in found])
    error = np.hypot.reduce([each.standard_error for each in found]) / len(found)
    assert abs(mean - norm.sf(5.0)) < 4 * error
    assert error < 0.1 * norm.sf(5.0)
    assert {each.runs for each in found} == {1000}
