"""What sampling plans promise holds exactly, by enumeration; and bounds agree with published tables (rule 17)."""

from collections.abc import Callable
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from anonymize.media.acceptance import (
    SamplingPlan,
    SamplingTerms,
    at_most,
    least_conforming,
    least_share,
    plan_sample,
)
from anonymize.media.quality import proportion

TERMS = SamplingTerms(
    threshold=Fraction("0.9"),
    confidence=Fraction("0.95"),
    good_share=Fraction("0.98"),
    good_accepted=Fraction("0.95"),
)
RISK = 1 - TERMS.confidence
SIZES = (*range(1, 140), 200, 299, 500, 1000, 2500, 10_000, 1_000_000)


def refused_from(population: int) -> int:
    """The fewest pictures that put a batch below the threshold."""
    return next(d for d in range(population + 1) if Fraction(population - d, population) < TERMS.threshold)


@pytest.mark.parametrize("terms", [TERMS, SamplingTerms(
    threshold=Fraction("0.97"), confidence=Fraction("0.99"),
    good_share=Fraction("0.995"), good_accepted=Fraction("0.9"),
)], ids=["policy data", "stricter"])  # fmt: skip
def test_no_batch_below_the_threshold_is_accepted_more_often_than_promised(terms: SamplingTerms) -> None:
    """Every number of nonconforming pictures of every small batch: the accepted ones are few enough, or rare."""
    for population in range(1, 90):
        plan = plan_sample(population, terms)
        for marked in range(population + 1):
            if Fraction(population - marked, population) < terms.threshold:
                assert plan.accepts(marked) <= 1 - terms.confidence, (population, marked)
            elif plan.census:
                assert plan.accepts(marked) == 1


@pytest.mark.parametrize("population", SIZES)
def test_a_plan_keeps_both_promises_and_no_smaller_one_does(population: int) -> None:
    plan = plan_sample(population, TERMS)
    limit = int((1 - TERMS.threshold) * population) + 1
    good = int((1 - TERMS.good_share) * population)
    assert plan.accepts(limit) <= RISK
    assert plan.accepts(good) >= TERMS.good_accepted
    if plan.size > plan.allowed + 1:
        smaller = SamplingPlan(population=population, size=plan.size - 1, allowed=plan.allowed)
        assert smaller.accepts(limit) > RISK


def test_small_batches_are_looked_at_as_a_whole_and_large_ones_by_the_binomial_plan() -> None:
    for population in range(1, 10):
        assert plan_sample(population, TERMS) == SamplingPlan(
            population=population, size=population, allowed=0
        )
    large = plan_sample(1_000_000, TERMS)
    # 89 and 4 is the binomial plan of these terms: 0.0497 at 10 % and 0.967 at 2 %.
    assert (large.size, large.allowed) == (89, 4)


@pytest.mark.parametrize("population", [1, 7, 30, 61, 150, 400])
def test_the_bound_reaches_the_threshold_exactly_where_the_plan_accepts(population: int) -> None:
    plan = plan_sample(population, TERMS)
    for found in range(plan.size + 1):
        bound = least_conforming(population, plan.size, found, confidence=TERMS.confidence)
        assert (bound >= float(TERMS.threshold)) == (found <= plan.allowed)


def test_the_bound_covers_the_truth_as_often_as_it_says() -> None:
    """Coverage by enumeration over every outcome, for every truth of some batches."""
    for population, size in ((12, 5), (40, 17), (60, 60)):
        bounds = [
            least_conforming(population, size, found, confidence=TERMS.confidence)
            for found in range(size + 1)
        ]
        for marked in range(population + 1):
            missed = Fraction(0)
            for found in range(size + 1):
                chance = at_most(found, population=population, marked=marked, size=size)
                before = (
                    at_most(found - 1, population=population, marked=marked, size=size)
                    if found
                    else Fraction(0)
                )
                if bounds[found] > (population - marked) / population:
                    missed += chance - before
            assert missed <= RISK


def test_strata_that_are_judged_each_keep_the_promise_for_the_whole_batch() -> None:
    """A batch below the threshold has a stratum below it, and each must pass: 12 and 40 pictures, every split."""
    first, second = plan_sample(12, TERMS), plan_sample(40, TERMS)
    for a, b in product(range(13), range(41)):
        if Fraction(52 - a - b, 52) < TERMS.threshold:
            assert first.accepts(a) * second.accepts(b) <= RISK


def test_real_draws_are_accepted_as_often_as_enumeration_says() -> None:
    """A generator of random numbers, 20,000 draws from a batch just below the threshold."""
    plan = plan_sample(500, TERMS)
    limit = refused_from(500)
    draws = np.random.default_rng(17).hypergeometric(limit, 500 - limit, plan.size, 20_000)
    share = float(np.mean(draws <= plan.allowed))
    assert share == pytest.approx(float(plan.accepts(limit)), abs=0.006)
    assert share <= float(RISK) + 0.006


# Clopper and Pearson's own limits, as printed in tables of the exact binomial interval (two-sided 95 %).
TABLE = {
    (0, 10): (0.0, 0.3085),
    (1, 10): (0.0025, 0.4450),
    (5, 10): (0.1871, 0.8129),
    (9, 10): (0.5550, 0.9975),
    (10, 10): (0.6915, 1.0),
    (15, 20): (0.5090, 0.9134),
}


@pytest.mark.parametrize(("counts", "limits"), TABLE.items(), ids=str)
def test_intervals_are_those_of_the_tables(counts: tuple[int, int], limits: tuple[float, float]) -> None:
    found = proportion(*counts)
    assert (found.low, found.high) == pytest.approx(limits, abs=5e-5)
    if counts[0]:
        assert least_share(*counts, confidence=0.975) == pytest.approx(limits[0], abs=5e-5)


def test_one_sided_bounds_are_the_known_ones() -> None:
    """29 of 29 show 90 % and 59 of 59 show 95 % at 95 % confidence, one less does not."""
    assert least_share(29, 29, confidence=0.95) >= 0.9 > least_share(28, 28, confidence=0.95)
    assert least_share(59, 59, confidence=0.95) >= 0.95 > least_share(58, 58, confidence=0.95)
    assert least_share(0, 5, confidence=0.95) == least_share(0, 0, confidence=0.95) == 0.0


def test_what_was_not_looked_at_proves_nothing() -> None:
    assert least_conforming(40, 0, 0, confidence=TERMS.confidence) == 0.0
    assert least_conforming(40, 40, 0, confidence=TERMS.confidence) == 1.0


IMPOSSIBLE = {
    "more found than looked at": lambda: least_conforming(10, 3, 4, confidence=TERMS.confidence),
    "more looked at than there are": lambda: least_conforming(10, 11, 0, confidence=TERMS.confidence),
    "more hits than trials": lambda: least_share(3, 2, confidence=0.95),
    "more marked than there are": lambda: at_most(0, population=3, marked=4, size=1),
    "nothing to sample": lambda: plan_sample(0, TERMS),
    "a good batch below the threshold": lambda: SamplingTerms(
        threshold=Fraction("0.9"), confidence=Fraction("0.95"),
        good_share=Fraction("0.9"), good_accepted=Fraction("0.95"),
    ),
    "certainty": lambda: SamplingTerms(
        threshold=Fraction("0.9"), confidence=Fraction(1),
        good_share=Fraction("0.98"), good_accepted=Fraction("0.95"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
def test_numbers_that_contradict_are_refused(case: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="got"):
        case()
