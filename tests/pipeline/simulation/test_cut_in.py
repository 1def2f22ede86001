import numpy as np
import pytest

from pipeline.simulation.backend import MAX_TTC_S, Outcomes
from pipeline.simulation.cut_in import PARAMETERS, CutIn
from pipeline.simulation.errors import BackEndError

NAMES = [each.name for each in PARAMETERS]
CALM = {"ego_speed": 25.0, "gap": 30.0, "relative_speed": 0.0}


def rows(*changes: dict[str, float]) -> np.ndarray:
    table = []
    for change in changes:
        values = CALM | change
        table.append([values.get(p.name, np.nan if p.default is None else p.default) for p in PARAMETERS])
    return np.array(table)


def run(*changes: dict[str, float], step_s: float = 0.1) -> Outcomes:
    return CutIn(step_s).run(rows(*changes))


def drawn(count: int) -> np.ndarray:
    random = np.random.default_rng(3)
    table = np.repeat(rows({}), count, axis=0)
    for name, low, high in (
        ("ego_speed", 10, 40),
        ("gap", 5, 60),
        ("relative_speed", -10, 5),
        ("braking", 0, 7),
        ("braking_delay", 0, 3),
        ("reaction_time", 0.1, 1.5),
        ("grip", 4, 9),
    ):
        table[:, NAMES.index(name)] = random.uniform(low, high, count)
    return table


def test_a_driver_who_never_reacts_hits_the_slower_vehicle_at_their_closing_speed():
    hit = run({"gap": 20.0, "relative_speed": -5.0, "reaction_time": 5.0})
    assert hit.collision.tolist() == [True]
    assert hit.min_gap[0] == 0.0
    assert hit.min_ttc[0] == 0.0
    assert hit.impact_speed[0] == pytest.approx(5.0)


def test_the_gap_when_a_faster_vehicle_reaches_the_lane_is_the_least_gap():
    # It reaches the lane after 0.3 of 4 s and gains 3 m/s all the while.
    calm = run({"relative_speed": 3.0})
    assert calm.collision.tolist() == [False]
    assert calm.min_gap[0] == pytest.approx(30.0 + 3.0 * 1.2, abs=0.31)
    assert calm.min_ttc[0] == MAX_TTC_S


def test_time_to_collision_is_gap_over_closing_speed():
    closing = run({"gap": 60.0, "relative_speed": -5.0, "reaction_time": 0.0, "grip": 12.0, "jerk": 200.0})
    at_the_lane = (60.0 - 5.0 * 1.2) / 5.0
    assert closing.min_ttc[0] <= at_the_lane + 0.1
    assert closing.min_ttc[0] > 5.0


def test_a_vehicle_beside_that_pulls_over_collides_and_one_that_was_passed_does_not():
    beside, passed = {"gap": 3.0, "relative_speed": -5.0}, {"gap": 3.0, "relative_speed": -20.0}
    answer = run(beside, passed)
    assert answer.collision.tolist() == [True, False]


def test_stronger_braking_of_the_other_and_weaker_grip_lead_to_collision():
    answer = run(
        {"braking": 1.0, "speed_drop": 25.0},
        {"braking": 9.0, "speed_drop": 25.0, "grip": 3.0, "reaction_time": 1.5},
    )
    assert answer.collision.tolist() == [False, True]


def test_less_grip_and_a_later_reaction_never_undo_a_collision():
    table = drawn(2000)
    worse = table.copy()
    worse[:, NAMES.index("grip")] *= 0.8
    worse[:, NAMES.index("reaction_time")] += 0.3
    before, after = CutIn().run(table).collision, CutIn().run(worse).collision
    assert 0.05 < before.mean() < 0.95
    assert not (before & ~after).any()
    assert (after & ~before).any()


def test_a_finer_step_gives_nearly_the_same_collisions():
    table = drawn(4000)
    coarse, fine = CutIn(0.1).run(table), CutIn(0.01).run(table)
    assert (coarse.collision != fine.collision).mean() < 0.01
    apart = np.abs(coarse.min_gap - fine.min_gap)
    assert np.median(apart) < 0.1
    assert np.quantile(apart, 0.95) < 1.0


def test_mobil_leaves_for_a_free_lane_and_stays_when_that_would_force_somebody_to_brake():
    threat = {
        "gap": 21.0, "relative_speed": -6.0, "braking": 6.0, "braking_delay": 1.5, "speed_drop": 30.0,
        "grip": 4.0, "own_lane_change_duration": 1.0, "neighbour_speed": 25.0,
    }  # fmt: skip
    free = threat | {"neighbour_front_gap": 200.0, "neighbour_rear_gap": 200.0}
    taken = threat | {"neighbour_front_gap": 200.0, "neighbour_rear_gap": 1.0}
    assert run(threat, free, taken).collision.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gap": np.nan}, r"gap \(got nan m, expected 0.0 to 500.0\)"),
        ({"grip": 0.0}, r"grip \(got 0.0"),
        ({"ego_speed": np.inf}, r"ego_speed \(got inf"),
    ],
)
def test_values_outside_what_a_parameter_admits_are_refused(change: dict[str, float], said: str):
    with pytest.raises(BackEndError, match=said):
        run(change)


@pytest.mark.parametrize("step", [0.0, -0.1, 1.0, float("nan")])
def test_a_step_that_is_no_time_is_refused(step: float):
    with pytest.raises(BackEndError, match="step"):
        CutIn(step)


def test_the_same_row_gives_the_same_answer_wherever_it_stands():
    table = drawn(50)
    whole = CutIn().run(table)
    backwards = CutIn().run(table[::-1])
    assert np.array_equal(whole.min_gap, backwards.min_gap[::-1])
    assert np.array_equal(whole.min_ttc, backwards.min_ttc[::-1])


def test_the_driver_behind_in_the_neighbouring_lane_is_one_of_its_own():
    threat = {
        "gap": 21.0, "relative_speed": -6.0, "braking": 6.0, "braking_delay": 1.5, "speed_drop": 30.0,
        "grip": 4.0, "own_lane_change_duration": 1.0, "neighbour_speed": 25.0, "neighbour_front_gap": 200.0,
        "neighbour_rear_gap": 25.0,
    }  # fmt: skip
    # Who keeps a short distance would not have to brake, so the lane is free to take.
    near, far = threat | {"rear_headway": 0.3}, threat | {"rear_headway": 4.0}
    assert run(near, far).collision.tolist() == [False, True]
