import numpy as np
import pytest

from pipeline.simulation.cut_in import CutIn
from pipeline.simulation.limit_state import LimitState
from pipeline.simulation.reliability.estimate import Settings, estimate
from pipeline.simulation.scenario_file import example_text, parse_scenario
from pipeline.simulation.sensitivity import Held, Influence, bulk, hold_each


@pytest.fixture(scope="module")
def state() -> LimitState:
    return LimitState(parse_scenario(example_text()), CutIn())


@pytest.fixture(scope="module")
def influences(state: LimitState) -> dict[str, Influence]:
    return {each.name: each for each in bulk(state, trajectories=40, base=512, seed=1)}


@pytest.fixture(scope="module")
def held(state: LimitState) -> dict[str, Held]:
    free = estimate(state, Settings(), 1)
    return {each.name: each for each in hold_each(state, free, Settings(), 2)}


def test_gap_and_braking_make_most_of_the_variance_of_the_least_gap(influences: dict[str, Influence]):
    ranked = sorted(influences.values(), key=lambda each: -each.total)
    assert {each.name for each in ranked[:2]} == {"gap", "braking"}
    assert {each.name for each in sorted(ranked, key=lambda each: -each.mean_effect)[:2]} == {
        "gap",
        "braking",
    }
    for each in influences.values():
        assert each.total >= each.first - 3 * each.total_confidence - 0.05
        assert each.mean_effect >= 0.0


def test_inputs_that_hardly_matter_in_the_bulk_decide_how_often_it_fails(
    influences: dict[str, Influence], held: dict[str, Held]
):
    quiet = [name for name, each in influences.items() if each.total < 0.05]
    decisive = [name for name in quiet if held[name].ratio is not None and held[name].ratio < 0.5]
    assert decisive, (quiet, {name: each.ratio for name, each in held.items()})


def test_what_is_held_stays_still_and_ratios_are_of_two_estimates(held: dict[str, Held]):
    assert held["gap"].median == pytest.approx(np.exp(4.25), rel=0.02)
    assert held["gap"].ratio is None or held["gap"].ratio < 1e-2
    # Grip is not reached where failure is likeliest.
    assert held["grip"].ratio == pytest.approx(1.0, abs=5 * held["grip"].ratio_error)


def test_runs_are_those_that_the_designs_say(state: LimitState):
    before = state.runs
    bulk(state, trajectories=10, base=64, seed=3)
    assert state.runs - before == (10 + 64) * 9 + 64
