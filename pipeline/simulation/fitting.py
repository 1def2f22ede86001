"""Laws fitted on observed events: one family per input, a normal copula, and how well both fit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import openturns as ot  # type: ignore[import-untyped]
from scipy import stats  # type: ignore[import-untyped]
from scipy.special import ndtri  # type: ignore[import-untyped]

from pipeline.simulation.backend import Floats
from pipeline.simulation.errors import FitError
from pipeline.simulation.laws import FAMILIES
from pipeline.simulation.scenario import Input, LogicalScenario

LEAST_EVENTS: Final = 30
LEAST_INSIDE: Final = 0.5
REPLICATES: Final = 99


def _lognormal(values: Floats) -> tuple[float, ...]:
    logs = np.log(values)
    return float(logs.mean()), float(logs.std()), 0.0


def _gamma(values: Floats) -> tuple[float, ...]:
    shape, _, scale = stats.gamma.fit(values, floc=0.0)
    return float(shape), 1.0 / float(scale), 0.0


def _weibull(values: Floats) -> tuple[float, ...]:
    shape, _, scale = stats.weibull_min.fit(values, floc=0.0)
    return float(scale), float(shape), 0.0


def _gumbel(values: Floats) -> tuple[float, ...]:
    mode, scale = stats.gumbel_r.fit(values)
    return float(scale), float(mode)


_ANYWHERE: Final[Mapping[str, Callable[[Floats], tuple[float, ...]]]] = {
    "normal": lambda values: (float(values.mean()), float(values.std())),
    "logistic": lambda values: tuple(float(each) for each in stats.logistic.fit(values)),
    "gumbel": _gumbel,
}
_FROM_NOUGHT: Final[Mapping[str, Callable[[Floats], tuple[float, ...]]]] = {
    "lognormal": _lognormal,
    "gamma": _gamma,
    "weibull": _weibull,
    "exponential": lambda values: (1.0 / float(values.mean()), 0.0),
}
"""Estimators of greatest likelihood, in the order of each family's parameters.

Families on the positive axis hold their shift at 0, which three free parameters fit badly. SciPy estimates: the
factories of OpenTURNS with a parameter held end in local optima now and then, far from the data.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarginalFit:
    """An input's law, and how well it fits.

    Attributes:
        name: The input.
        family: The family of least BIC.
        bic: BIC of each family that could be fitted, per event.
        statistic: Kolmogorov's distance of the chosen law from the events.
        p_value: Probability of a distance that large were the law right, by simulation with refitting
            (Lilliefors); a small one speaks against the law.
    """

    name: str
    family: str
    bic: Mapping[str, float]
    statistic: float
    p_value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A scenario with fitted laws.

    Attributes:
        scenario: The scenario.
        events: How many events it rests on.
        marginals: The inputs that were observed.
        not_observed: Inputs whose laws the template gave.
        copula_p_value: Probability of a distance that large were the copula normal: Kolmogorov's distance of
            squared radii of normal scores from chi-square, by simulation; ``None`` for one input.
    """

    scenario: LogicalScenario
    events: int
    marginals: tuple[MarginalFit, ...]
    not_observed: tuple[str, ...]
    copula_p_value: float | None


def fit(template: LogicalScenario, observed: Mapping[str, Floats], seed: int = 0) -> Fit:
    """Fit a template's inputs on observed events; inputs that were not observed keep their laws, independent.

    Raises:
        FitError: Nothing or too little was observed, or a value is no number, constant or outside its bounds.
    """
    table, named = _observations(template, observed)
    random = np.random.default_rng(seed)
    fitted = {each.name: _fit_one(each, table[:, i], random) for i, each in enumerate(named)}
    inputs = tuple(fitted[each.name][0] if each.name in fitted else each for each in template.inputs)
    spearman = _spearman(template.inputs, named, table)
    scenario = replace(template, inputs=inputs, spearman=spearman)
    return Fit(
        scenario=scenario,
        events=len(table),
        marginals=tuple(fitted[each.name][1] for each in named),
        not_observed=tuple(each.name for each in template.inputs if each.name not in fitted),
        copula_p_value=_copula_p_value(table, seed) if len(named) > 1 else None,
    )


def fit_drivers(fitted: Fit, drivers: Mapping[str, Floats], seed: int = 0) -> Fit:
    """Fit the inputs that are drivers' parameters, each by itself on the drivers for whom it is determined.

    They stay independent of one another and of the rest: few followers determine several of their parameters.

    Args:
        fitted: A scenario, with what was fitted on events.
        drivers: Values by input, NaN where the data do not determine one.
        seed: For the p-values.

    Raises:
        FitError: No input is such a parameter, too few drivers determine one, or a value is outside its bounds.
    """
    named = [each for each in fitted.scenario.inputs if each.name in drivers]
    if not named:
        raise FitError(
            f"none of the inputs {', '.join(each.name for each in fitted.scenario.inputs)} is a driver's "
            f"(expected one of {', '.join(sorted(drivers))})"
        )
    laws, marginals = {}, list(fitted.marginals)
    for each in named:
        known = drivers[each.name][np.isfinite(drivers[each.name])]
        if len(known) < LEAST_EVENTS:
            raise FitError(
                f"{each.name} is determined for {len(known)} of {len(drivers[each.name])} drivers (expected "
                f"{LEAST_EVENTS} or more)"
            )
        alone = fit(replace(fitted.scenario, inputs=(each,), spearman=None), {each.name: known}, seed)
        laws[each.name] = alone.scenario.inputs[0]
        marginals += alone.marginals
    inputs = tuple(laws.get(each.name, each) for each in fitted.scenario.inputs)
    return replace(
        fitted,
        scenario=replace(fitted.scenario, inputs=inputs),
        marginals=tuple(marginals),
        not_observed=tuple(name for name in fitted.not_observed if name not in laws),
    )


def refitted(scenario: LogicalScenario, table: Floats, named: Sequence[Input]) -> LogicalScenario:
    """The scenario with the same families fitted on another table of the same inputs.

    Raises:
        FitError: A family cannot be fitted on it.
    """
    laws = {each.name: _law_of(each, each.family, table[:, i]) for i, each in enumerate(named)}
    inputs = tuple(laws.get(each.name, each) for each in scenario.inputs)
    return replace(scenario, inputs=inputs, spearman=_spearman(scenario.inputs, named, table))


def _observations(
    template: LogicalScenario, observed: Mapping[str, Floats]
) -> tuple[Floats, tuple[Input, ...]]:
    named = tuple(each for each in template.inputs if each.name in observed)
    if not named:
        raise FitError(
            f"none of the inputs {', '.join(each.name for each in template.inputs)} was observed "
            f"(got {', '.join(observed) or 'nothing'})"
        )
    table = np.column_stack([np.asarray(observed[each.name], dtype=np.float64) for each in named])
    if len(table) < LEAST_EVENTS:
        raise FitError(f"events (got {len(table)}, expected {LEAST_EVENTS} or more)")
    for each, column in zip(named, table.T, strict=True):
        wrong = np.flatnonzero(~((column >= each.lower) & (column <= each.upper)))
        if wrong.size:
            raise FitError(
                f"event {wrong[0] + 1}: {each.name} (got {column[wrong[0]]:g} {each.unit}, expected within its "
                f"bounds {each.lower:g} to {each.upper:g})"
            )
        if np.ptp(column) == 0.0:
            raise FitError(f"{each.name} is {column[0]:g} {each.unit} in every event (expected it to vary)")
    return table, named


def _fit_one(each: Input, values: Floats, random: np.random.Generator) -> tuple[Input, MarginalFit]:
    fitted: dict[str, tuple[float, Input]] = {}
    for family in (*_ANYWHERE, *(_FROM_NOUGHT if values.min() > 0.0 and each.lower >= 0.0 else ())):
        try:
            law = _law_of(each, family, values)
        except FitError:
            continue  # one family that does not fit leaves the others; none at all is refused below
        free = sum(name != "shift" for name in law.law)
        likelihood = float(np.sum(_made(law).computeLogPDF(ot.Sample(values[:, None]))))
        fitted[family] = float(free * np.log(len(values)) - 2.0 * likelihood) / len(values), law
    if not fitted:
        raise FitError(f"{each.name}: no family could be fitted on {len(values)} events")
    family, (_, chosen) = min(fitted.items(), key=lambda entry: entry[1][0])
    distance = _distance(chosen, values)
    beyond = sum(_distance_anew(chosen, len(values), random) >= distance for _ in range(REPLICATES))
    return chosen, MarginalFit(
        name=each.name,
        family=family,
        bic={name: bic for name, (bic, _) in fitted.items()},
        statistic=distance,
        p_value=(beyond + 1) / (REPLICATES + 1),
    )


def _law_of(each: Input, family: str, values: Floats) -> Input:
    estimator = {**_ANYWHERE, **_FROM_NOUGHT}.get(family)
    if estimator is None:
        raise FitError(f"{each.name}: {family} is not fitted (expected a family that `fit` chose)")
    try:
        estimated = estimator(values)
    except (ValueError, RuntimeError) as error:
        raise FitError(f"{each.name}: {family} cannot be fitted: {error}") from error
    law = replace(each, family=family, law=dict(zip(FAMILIES[family].parameters, estimated, strict=True)))
    if not np.isfinite(estimated).all() or _inside(law) < LEAST_INSIDE:
        raise FitError(
            f"{each.name}: less than {LEAST_INSIDE:.0%} of the fitted {family} lies within the bounds"
        )
    return law


def _made(law: Input) -> Any:
    try:
        return FAMILIES[law.family].law(*law.law.values())
    except (TypeError, ValueError, RuntimeError) as error:
        raise FitError(f"{law.name}: {law.family}({dict(law.law)}) is no law: {error}") from error


def _inside(law: Input) -> float:
    made = _made(law)
    return float(made.computeCDF(law.upper) - made.computeCDF(law.lower))


def _distance(law: Input, values: Floats) -> float:
    """Kolmogorov's distance of values from a law."""
    return _kolmogorov(np.sort(np.asarray(_made(law).computeCDF(ot.Sample(values[:, None]))).ravel()))


def _distance_anew(law: Input, count: int, random: np.random.Generator) -> float:
    """The same of values drawn from the law and fitted again."""
    made = _made(law)
    drawn = np.asarray(made.computeQuantile(random.uniform(size=count).tolist())).ravel()
    return _distance(_law_of(law, law.family, drawn), drawn)


def _kolmogorov(expected: Floats) -> float:
    """Distance of sorted values of a distribution function from the uniform law."""
    steps = np.arange(len(expected) + 1) / len(expected)
    return float(max((steps[1:] - expected).max(), (expected - steps[:-1]).max()))


def _spearman(
    inputs: Sequence[Input], named: Sequence[Input], table: Floats
) -> tuple[tuple[float, ...], ...] | None:
    if len(named) < 2:  # noqa: PLR2004 - one input has nothing to depend on
        return None
    places = [[each.name for each in inputs].index(each.name) for each in named]
    matrix = np.eye(len(inputs))
    matrix[np.ix_(places, places)] = _ranks_correlation(table)
    return tuple(tuple(float(value) for value in row) for row in matrix)


def _ranks_correlation(table: Floats) -> Floats:
    """Rank correlation, drawn to independence by as little as a normal copula needs to exist."""
    ranks = np.corrcoef(np.apply_along_axis(stats.rankdata, 0, table), rowvar=False)
    normal = 2.0 * np.sin(np.pi * ranks / 6.0)
    least = float(np.linalg.eigvalsh(normal)[0])
    shrink = 0.0 if least > 1e-3 else (1e-3 - least) / (1.0 - least)  # noqa: PLR2004 - well conditioned
    return np.asarray(ranks * (1.0 - shrink) + np.eye(len(ranks)) * shrink)


def _copula_p_value(table: Floats, seed: int) -> float:
    """By ranks alone, so that it judges the dependence whatever the marginals."""
    distance, ranks = _radius_distance(table)
    factor = np.linalg.cholesky(2.0 * np.sin(np.pi * ranks / 6.0))
    random = np.random.default_rng(seed)
    again = (_radius_distance(random.standard_normal(table.shape) @ factor.T)[0] for _ in range(REPLICATES))
    return (sum(each >= distance for each in again) + 1) / (REPLICATES + 1)


def _radius_distance(table: Floats) -> tuple[float, Floats]:
    """Kolmogorov's distance of squared radii of normal scores from chi-square; the rank correlation."""
    count, dimension = table.shape
    scores = ndtri(np.apply_along_axis(stats.rankdata, 0, table) / (count + 1.0))
    ranks = _ranks_correlation(table)
    white = np.linalg.solve(np.linalg.cholesky(2.0 * np.sin(np.pi * ranks / 6.0)), scores.T)
    return _kolmogorov(stats.chi2.cdf(np.sort((white**2).sum(axis=0)), dimension)), ranks
