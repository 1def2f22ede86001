"""Whether a probability may be stated: two seeds that agree, a cross-check that does not contradict."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from scipy.stats import beta  # type: ignore[import-untyped]

from pipeline.simulation.limit_state import Sim
from pipeline.simulation.reliability.cross_check import CrossCheck
from pipeline.simulation.reliability.estimate import Estimate

AGREE_SIGMA: Final = 3.0
MOST_VARIATION: Final = 0.3
MOST_OF_ONE_RUN: Final = 0.2
CONFIDENCE: Final = 0.95


class Verdict(StrEnum):
    """What may be said of the probability."""

    CONVERGED = "converged"
    NOT_CONVERGED = "not_converged"
    NO_FAILURE_FOUND = "no_failure_found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on two estimates and their cross-check.

    Attributes:
        verdict: What may be said.
        reasons: Why it did not converge; empty where it did.
        probability: Mean of the two estimates; ``None`` unless converged.
        standard_error: Its standard error; ``None`` likewise.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    probability: float | None
    standard_error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRuns:
    """Plain Monte Carlo, which no search can mislead: how many failed, and a bound on the probability."""

    runs: int
    failures: int
    upper_bound: float


def judge(estimates: Sequence[Estimate], check: CrossCheck | None) -> Judgement:
    """Judge two estimates of different seeds.

    1. Where neither seed found a failure, none was found: that is no probability.
    2. Both must have estimated, from final batches in which runs failed.
    3. Neither error may exceed 30 %: an estimate with a large error agrees with anything.
    4. No single run may carry more than a fifth of an estimate: it stands for a mode that was not searched.
    5. The two must agree within 3 standard errors of their difference.
    6. The cross-check must have been made and must agree with their mean likewise.

    Raises:
        ValueError: There are not two estimates.
    """
    if len(estimates) != 2:  # noqa: PLR2004 - said in the message
        raise ValueError(f"estimates (got {len(estimates)}, expected 2)")
    if not any(each.explored_failures for each in estimates):
        return _no(Verdict.NO_FAILURE_FOUND, ["no run of either exploration failed"])
    reasons = [why for i, each in enumerate(estimates, 1) for why in _alone(i, each)]
    first, second = estimates
    if first.probability is None or second.probability is None:
        return _no(Verdict.NOT_CONVERGED, reasons)
    assert first.standard_error is not None and second.standard_error is not None  # noqa: S101, PT018 - set together
    apart = float(np.hypot(first.standard_error, second.standard_error))
    if abs(first.probability - second.probability) > AGREE_SIGMA * apart:
        reasons.append(
            f"the seeds disagree: {first.probability:.3g} and {second.probability:.3g}, "
            f"{abs(first.probability - second.probability) / apart:.1f} standard errors apart"
        )
    mean, error = (first.probability + second.probability) / 2.0, apart / 2.0
    if check is None:
        reasons.append("no cross-check was made")
    elif abs(mean - check.probability) > AGREE_SIGMA * float(np.hypot(error, check.standard_error)):
        reasons.append(
            f"OpenTURNS contradicts: {check.probability:.3g} ± {check.standard_error:.2g} against {mean:.3g}"
        )
    if reasons:
        return _no(Verdict.NOT_CONVERGED, reasons)
    return Judgement(verdict=Verdict.CONVERGED, reasons=(), probability=mean, standard_error=error)


def plain_runs(sim: Sim, runs: int, seed: int) -> PlainRuns:
    """Run the laws as they are; the bound is one-sided, of 95 % confidence (Clopper and Pearson).

    Raises:
        BackEndError: The simulator failed.
    """
    points = np.random.default_rng(seed).standard_normal((runs, sim.dimension))
    failures = int((sim(points) <= 0.0).sum())
    bound = 1.0 if failures == runs else float(beta.ppf(CONFIDENCE, failures + 1, runs - failures))
    return PlainRuns(runs=runs, failures=failures, upper_bound=bound)


def _alone(number: int, each: Estimate) -> list[str]:
    if each.probability is None:
        found = "no run of its exploration" if not each.explored_failures else "no run of its final batch"
        return [f"seed {number} has no estimate: {found} failed"]
    reasons = []
    assert each.variation is not None  # noqa: S101 - set with the probability
    if each.variation > MOST_VARIATION:
        reasons.append(
            f"seed {number} has a coefficient of variation of {each.variation:.2f} "
            f"(expected at most {MOST_VARIATION})"
        )
    if each.heaviest > MOST_OF_ONE_RUN:
        reasons.append(
            f"one run carries {each.heaviest:.0%} of seed {number}'s estimate "
            f"(expected at most {MOST_OF_ONE_RUN:.0%})"
        )
    return reasons


def _no(verdict: Verdict, reasons: list[str]) -> Judgement:
    return Judgement(verdict=verdict, reasons=tuple(reasons), probability=None, standard_error=None)
