import re

import numpy as np
import pytest
from scipy import stats

from pipeline.simulation.cut_in import CutIn
from pipeline.simulation.errors import FitError, SettingsError
from pipeline.simulation.fitting import Fit, fit, fit_drivers, refitted
from pipeline.simulation.laws import JointLaw
from pipeline.simulation.limit_state import LimitState
from pipeline.simulation.reliability.bootstrap import bootstrap_band
from pipeline.simulation.reliability.estimate import Settings, estimate
from pipeline.simulation.scenario_file import example_text, parse_scenario, write_scenario

TEMPLATE = parse_scenario(example_text())
SEEN = ("ego_speed", "gap", "relative_speed", "lane_change_duration", "braking", "braking_delay")


FEWER = ("gap", "relative_speed", "braking")


def events(count: int, seed: int, names: tuple[str, ...] = SEEN) -> dict[str, np.ndarray]:
    law = JointLaw(TEMPLATE.inputs, TEMPLATE.spearman)
    values = law.to_physical(np.random.default_rng(seed).standard_normal((count, law.dimension)))
    return {each.name: values[:, i] for i, each in enumerate(TEMPLATE.inputs) if each.name in names}


@pytest.fixture(scope="module")
def fitted() -> Fit:
    return fit(TEMPLATE, events(1000, 1))


def test_the_laws_that_events_were_drawn_from_are_found_again(fitted: Fit):
    assert fitted.events == 1000
    assert [each.name for each in fitted.marginals] == list(SEEN)
    assert fitted.not_observed == ("reaction_time", "grip")
    families = {each.name: each.family for each in fitted.marginals}
    assert families["gap"] == "lognormal"
    assert families["braking_delay"] == "gamma"
    assert families["braking"] in {"weibull", "gamma"}, "shapes that are hard to tell apart"
    gap = next(each for each in fitted.scenario.inputs if each.name == "gap")
    # Standard errors of the parameters of 1,000 events: 0.011 and 0.008.
    assert gap.law["log_mean"] == pytest.approx(4.25, abs=0.05)
    assert gap.law["log_deviation"] == pytest.approx(0.35, abs=0.035)
    assert gap.law["shift"] == 0.0
    assert all(each.p_value > 0.01 for each in fitted.marginals)
    assert fitted.copula_p_value > 0.01
    # Ego speed and gap; the standard error of a rank correlation of 1,000 pairs is 0.03.
    assert fitted.scenario.spearman[0][1] == pytest.approx(0.3, abs=0.12)
    grip = fitted.scenario.inputs[7]
    assert (grip, fitted.scenario.spearman[7][:7]) == (TEMPLATE.inputs[7], (0.0,) * 7)


def test_a_fitted_scenario_survives_its_file(fitted: Fit):
    assert parse_scenario(write_scenario(fitted.scenario)) == fitted.scenario


def test_a_law_that_no_family_has_is_told_by_its_p_value():
    two_humps = events(600, 2, FEWER)
    random = np.random.default_rng(3)
    two_humps["gap"] = np.where(
        random.uniform(size=600) < 0.5, random.normal(20, 2, 600), random.normal(80, 2, 600)
    )
    found = {each.name: each for each in fit(TEMPLATE, two_humps).marginals}
    assert found["gap"].p_value <= 0.01
    assert found["relative_speed"].p_value > 0.01


def test_dependence_that_a_normal_copula_cannot_have_is_told():
    random = np.random.default_rng(4)
    z = random.standard_normal((600, 2))
    # Large with large and small alike in size, of either sign: uncorrelated, and far from independent.
    pair = np.column_stack([z[:, 0], np.sign(z[:, 1]) * np.abs(z[:, 0])])
    odd = {"ego_speed": 26 + 3 * pair[:, 0], "relative_speed": 1.5 * pair[:, 1]}
    assert fit(TEMPLATE, odd).copula_p_value < 0.02


def changed(**columns: object) -> dict[str, np.ndarray]:
    return {**events(100, 5), **columns}


FEW = {name: values[:20] for name, values in events(100, 5).items()}
REFUSED = {
    "nothing observed": ({"colour": np.ones(50)}, "none of the inputs"),
    "too few": (FEW, "events (got 20, expected 30 or more)"),
    "NaN": (changed(gap=np.r_[np.full(99, 30.0), np.nan]), "event 100: gap (got nan m"),
    "outside the bounds": (changed(gap=np.r_[500.0, np.full(99, 30.0)]), "event 1: gap (got 500 m"),
    "constant": (changed(gap=np.full(100, 30.0)), "gap is 30 m in every event"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_events_that_carry_no_law_are_refused(case: str):
    observed, said = REFUSED[case]
    with pytest.raises(FitError, match=re.escape(said)):
        fit(TEMPLATE, observed)


def test_the_band_of_few_events_is_wide_and_that_of_many_narrow():
    widths = []
    for count in (150, 3000):
        seen = events(count, 6, FEWER)
        scenario = fit(TEMPLATE, seen).scenario
        state = LimitState(scenario, CutIn())
        each = estimate(state, Settings(), 1)
        band = bootstrap_band(scenario, state.law, seen, [each], replicates=25, seed=1)
        assert band.low < each.probability < band.high
        assert band.replicates + band.unfitted == 25
        widths.append(band.factor)
    assert widths[0] > 2 * widths[1]


def test_a_band_by_weights_agrees_with_running_a_refitted_scenario():
    seen = events(800, 7, FEWER)
    scenario = fit(TEMPLATE, seen).scenario
    state = LimitState(scenario, CutIn())
    each = estimate(state, Settings(runs=11_000), 1)
    rows = np.random.default_rng(1).integers(0, 800, 800)
    band = bootstrap_band(scenario, state.law, seen, [each], replicates=1, seed=1)
    drawn = {name: values[rows] for name, values in seen.items()}
    named = tuple(i for i in scenario.inputs if i.name in seen)
    again = refitted(scenario, np.column_stack([drawn[i.name] for i in named]), named)
    run = estimate(LimitState(again, CutIn()), Settings(runs=11_000), 2)
    assert stats.norm.sf(abs(np.log(run.probability / band.middle)) / 0.2) > 1e-3


def test_a_band_needs_a_failing_run():
    state = LimitState(TEMPLATE, CutIn())
    with pytest.raises(SettingsError, match="no estimate has a failing run"):
        bootstrap_band(TEMPLATE, state.law, events(50, 1), [], replicates=10, seed=1)


def test_drivers_give_laws_to_what_drivers_decide():
    random = np.random.default_rng(4)
    law = "headway: {unit: s, bounds: [0.3, 4], law: {normal: {mean: 1.5, deviation: 0.3}}}"
    template = parse_scenario(example_text().replace("inputs:\n", f"inputs:\n  {law}\n"))
    headway = random.lognormal(np.log(1.2), 0.25, 80)
    headway[::4] = np.nan
    blank = Fit(
        scenario=template, events=0, marginals=(), not_observed=("headway", "gap"), copula_p_value=None
    )
    fitted = fit_drivers(blank, {"headway": headway, "rear_headway": headway}, 1)
    (told,) = fitted.marginals
    assert told.name == "headway"
    assert fitted.not_observed == ("gap",)
    found = next(each for each in fitted.scenario.inputs if each.name == "headway")
    assert found.law != template.inputs[0].law
    assert fitted.scenario.inputs[1:] == template.inputs[1:]
    assert fitted.scenario.spearman == template.spearman
    with pytest.raises(FitError, match="is determined for 15 of 20 drivers"):
        fit_drivers(blank, {"headway": headway[:20]}, 1)
    with pytest.raises(FitError, match="expected one of rear_headway"):
        fit_drivers(blank, {"rear_headway": headway}, 1)
