"""Known drivers are recovered from generated tracks with noise; what was not driven is undetermined."""

import numpy as np
import polars as pl
import pytest

from pipeline.simulation.calibration import BOUNDS, Driver, calibrated, followed
from pipeline.simulation.errors import TracksError
from pipeline.simulation.following import followers

TRUE = {
    "desired_speed": 24.0,
    "headway": 1.4,
    "standstill_gap": 2.5,
    "greatest_acceleration": 1.3,
    "comfortable_braking": 1.8,
}
STEP = 0.1
LENGTH = 4.8


def lead_speed(seconds: float, *, stops: bool) -> np.ndarray:
    """City traffic: it speeds up beyond the follower's wish, slows down and stops; or steady, a little uneven."""
    t = np.arange(0.0, seconds, STEP)
    if not stops:
        return 12.0 + 0.05 * np.sin(t / 4.0)
    return np.interp(
        t,
        [0, 10, 25, 40, 48, 60, 64, 80, 95, 105, 125],
        [12, 12, 28, 28, 3, 10, 0, 0, 20, 6, 26],
    )


def table(
    driver: dict[str, float],
    *,
    stops: bool = True,
    seconds: float = 120.0,
    noise: float = 0.05,
    seed: int = 0,
) -> pl.DataFrame:
    """An automated vehicle far behind, a leader, and between them the driver."""
    random = np.random.default_rng(seed)
    speed = lead_speed(seconds, stops=stops)
    lead = np.concatenate([[0.0], np.cumsum(speed[:-1] * STEP)])
    begin = 20.0
    gaps = followed(lead, begin, 12.0, STEP, np.array([driver[name] for name in BOUNDS]))
    own = lead - gaps - LENGTH
    t = np.arange(len(lead)) * STEP
    rows = [
        pl.DataFrame(
            {
                "clip": ["a"] * len(t),
                "track": [name] * len(t),
                "t": t,
                "x": x + random.normal(0.0, noise, len(t)),
                "y": random.normal(0.0, noise, len(t)),
            }
        )
        for name, x in (("lead", lead), ("driver", own), ("ego", 0.0 * t - 500.0))
    ]
    return pl.concat(rows)


def of(made: pl.DataFrame) -> Driver:
    (found,) = [each for each in followers(made, "ego") if each.track == "driver"]
    return calibrated(found)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_known_parameters_are_recovered_under_noise(seed: int):
    driver = of(table(TRUE, seed=seed))
    assert driver.mixed_error < 0.05
    for name, true in TRUE.items():
        found = driver.parameters[name]
        assert found.determined, (name, found)
        assert found.value == pytest.approx(true, rel=0.15), name
    assert driver.parameters["headway"].value == pytest.approx(1.4, rel=0.05)


def test_another_driver_is_told_apart():
    other = {**TRUE, "headway": 0.9, "standstill_gap": 1.5, "greatest_acceleration": 2.0}
    found = of(table(other, seed=4)).parameters
    assert found["headway"].value == pytest.approx(0.9, rel=0.1)
    assert found["standstill_gap"].value == pytest.approx(1.5, rel=0.25)
    assert found["greatest_acceleration"].value == pytest.approx(2.0, rel=0.2)


def test_what_was_not_driven_is_said_to_be_undetermined():
    driver = of(table(TRUE, stops=False, seconds=30.0, noise=0.2))
    determined = {name for name, each in driver.parameters.items() if each.determined}
    # Steady following tells one relation between gap and speed, not who wishes what.
    assert determined <= {"headway"}
    assert not driver.parameters["desired_speed"].determined
    assert not driver.parameters["comfortable_braking"].determined


def test_only_the_nearest_vehicle_in_the_lane_is_followed():
    made = table(TRUE, noise=0.0)
    beside = made.filter(pl.col("track") == "lead").with_columns(
        pl.lit("beside").alias("track"), pl.col("x") - 8.0, pl.col("y") + 3.5
    )
    far = made.filter(pl.col("track") == "lead").with_columns(
        pl.lit("far").alias("track"), pl.col("x") + 30.0
    )
    found = {each.track: each for each in followers(pl.concat([made, beside, far]), "ego")}
    assert {stretch.leader for stretch in found["driver"].stretches} == {"lead"}
    assert "beside" not in found
    assert not found["driver"].automated
    assert {stretch.leader for stretch in found["lead"].stretches} == {"far"}


def test_short_stretches_and_standing_vehicles_are_no_followers():
    made = table(TRUE, noise=0.0)
    assert not [each for each in followers(made.filter(pl.col("t") < 7.0), "ego") if each.track == "driver"]
    still = made.with_columns(
        pl.when(pl.col("track") == "lead")
        .then(20.0)
        .when(pl.col("track") == "driver")
        .then(0.0)
        .otherwise("x")
        .alias("x")
    )
    assert not list(followers(still, "ego"))


def test_tracks_with_nan_are_refused():
    made = table(TRUE).with_columns(pl.when(pl.col("t") > 3.0).then(float("nan")).otherwise("x").alias("x"))
    with pytest.raises(TracksError, match=r"x \(got nan"):
        list(followers(made, "ego"))
