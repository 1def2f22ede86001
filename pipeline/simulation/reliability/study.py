"""A reliability study of one scenario: two seeds, cross-check, verdict, margins."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from pipeline.simulation.limit_state import LimitState
from pipeline.simulation.reliability.cross_check import CrossCheck, cross_check
from pipeline.simulation.reliability.design_points import apart
from pipeline.simulation.reliability.estimate import Estimate, Settings, estimate
from pipeline.simulation.reliability.margins import Margin, margin
from pipeline.simulation.reliability.verdict import Judgement, PlainRuns, judge, plain_runs


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySettings:
    """How runs are spent on a study.

    Attributes:
        each: Settings of either seed's estimate.
        check_runs: Runs of the cross-check by OpenTURNS.
        plain_runs: Plain Monte Carlo, made where no probability can be stated.
        margins: Design points to look around, nearest first.
    """

    each: Settings = field(default_factory=Settings)
    check_runs: int = 1000
    plain_runs: int = 3000
    margins: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Everything that a study found.

    Attributes:
        judgement: The verdict, and the probability where one may be stated.
        estimates: Both seeds.
        check: OpenTURNS's; ``None`` where there was nothing to check.
        plain: Plain Monte Carlo with its upper bound, where no probability is stated; else ``None``.
        margins: Around the nearest design points.
        runs: All runs of the simulator.
    """

    judgement: Judgement
    estimates: tuple[Estimate, Estimate]
    check: CrossCheck | None
    plain: PlainRuns | None
    margins: tuple[Margin, ...]
    runs: int


def study(
    limit_state: LimitState,
    settings: StudySettings,
    seed: int,
    progress: Callable[[str, int], None] = lambda _stage, _runs: None,
) -> Study:
    """Carry out a study.

    Raises:
        BackEndError: The simulator failed.
        SettingsError: The search left too few runs for a final batch.
    """
    before = limit_state.runs

    def told(stage: str) -> None:
        progress(stage, limit_state.runs - before)

    seeds = [int(each) for each in np.random.SeedSequence(seed).generate_state(5)]
    first = estimate(limit_state, settings.each, seeds[0], lambda stage, _: told(f"seed 1: {stage}"))
    second = estimate(limit_state, settings.each, seeds[1], lambda stage, _: told(f"seed 2: {stage}"))
    centres = np.concatenate([first.design_points, second.design_points])
    check = None
    if len(centres):
        check = cross_check(
            limit_state.law.distribution,
            lambda physical: limit_state.run(physical).g,
            centres,
            runs=settings.check_runs,
            seed=seeds[2],
        )
        told("cross-check")
    judgement = judge((first, second), check)
    plain = None
    if judgement.probability is None:
        plain = plain_runs(limit_state, settings.plain_runs, seeds[3])
        told("plain Monte Carlo")
    margins = tuple(margin(limit_state, point, seeds[4]) for point in apart(centres, settings.margins, 0.85))
    told("margins")
    return Study(
        judgement=judgement,
        estimates=(first, second),
        check=check,
        plain=plain,
        margins=margins,
        runs=limit_state.runs - before,
    )
