import numpy as np
import pytest

from pipeline.simulation.cut_in import CutIn
from pipeline.simulation.limit_state import LimitState
from pipeline.simulation.reliability.study import Study, StudySettings, study
from pipeline.simulation.reliability.verdict import Verdict
from pipeline.simulation.scenario_file import example_text, parse_scenario


def limit_state(**changes: str) -> LimitState:
    text = example_text()
    for old, new in changes.values():
        assert old in text
        text = text.replace(old, new)
    return LimitState(parse_scenario(text), CutIn())


@pytest.fixture(scope="module")
def example() -> Study:
    return study(limit_state(), StudySettings(), 1)


def test_the_example_cut_in_converges_to_about_1e_7(example: Study):
    assert example.judgement.verdict is Verdict.CONVERGED, example.judgement.reasons
    # Monte Carlo of its own: 1.0e-7 (docs/simulation.md).
    assert example.judgement.probability == pytest.approx(1.04e-7, rel=0.3)
    assert example.judgement.standard_error < 0.1 * example.judgement.probability
    assert all(each.runs <= 5500 for each in example.estimates)
    assert example.plain is None


def test_margins_name_values_at_which_the_failure_turns_into_a_pass(example: Study):
    state = limit_state()
    nearest = example.margins[0]
    assert nearest.distance == pytest.approx(np.linalg.norm(nearest.standard))
    assert 0.2 < nearest.firmness < 0.9
    names = [each.name for each in nearest.inputs]
    failing = np.array([[each.value for each in nearest.inputs]])
    assert state.run(failing).failed.tolist() == [True]
    turned = [each for each in nearest.inputs if each.passes_at is not None]
    assert {"gap", "relative_speed"} <= {each.name for each in turned}
    for each in turned:
        trial = failing.copy()
        trial[0, names.index(each.name)] = each.passes_at
        assert state.run(trial).failed.tolist() == [False], each
        trial[0, names.index(each.name)] = each.value + 0.9 * (each.passes_at - each.value)
        assert state.run(trial).failed.tolist() == [True], each
    gap = nearest.inputs[names.index("gap")]
    assert gap.passes_at > gap.value, "a longer gap is what saves"


def test_frequent_failure_agrees_with_plain_monte_carlo():
    state = limit_state(gap=("log_mean: 4.25", "log_mean: 3.0"))
    found = study(state, StudySettings(), 3).judgement
    plain = (state(np.random.default_rng(4).standard_normal((200_000, 8))) <= 0.0).mean()
    error = np.hypot(found.standard_error, np.sqrt(plain / 200_000))
    assert plain > 50 / 200_000
    assert abs(found.probability - plain) < 4 * error


def test_a_scenario_that_never_fails_has_a_bound_and_no_probability():
    safe = study(limit_state(fail=("at_most: 0", "at_most: -1")), StudySettings(), 1)
    assert safe.judgement.verdict is Verdict.NO_FAILURE_FOUND
    assert safe.judgement.probability is None
    assert safe.plain.failures == 0
    assert safe.plain.upper_bound == pytest.approx(1e-3, rel=0.05)
    assert safe.margins == ()


def test_the_same_seed_gives_the_same_study_and_progress_counts_all_runs():
    told: list[tuple[str, int]] = []
    again = study(limit_state(), StudySettings(), 1, lambda stage, runs: told.append((stage, runs)))
    assert [each[1] for each in told] == sorted(each[1] for each in told)
    assert told[-1][1] == again.runs
    assert again.judgement == study(limit_state(), StudySettings(), 1).judgement
