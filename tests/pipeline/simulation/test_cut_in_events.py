import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from driven_tracks import Drive, Other
from pipeline.simulation.cut_in_events import OBSERVED, cut_ins
from pipeline.simulation.errors import TracksError
from pipeline.simulation.tracks import read_tracks


@pytest.mark.parametrize("curvature", [0.0, 1 / 400, -1 / 250])
@pytest.mark.parametrize("yaw", [0.0, 2.4])
def test_a_cut_in_is_found_with_its_parameters(curvature: float, yaw: float):
    other = Other(gap=30.0, relative_speed=-2.0, duration=4.0, braking=3.0, braking_delay=1.5)
    found = cut_ins(Drive(name="a", others=[other], curvature=curvature, yaw=yaw).table(), "ego")
    assert found.height == 1
    row = found.row(0, named=True)
    assert (row["clip"], row["track"]) == ("a", "car-0")
    assert row["t"] == pytest.approx(3.0, abs=0.6)
    assert row["ego_speed"] == pytest.approx(25.0, abs=0.1)
    assert row["relative_speed"] == pytest.approx(-2.0, abs=0.5)
    assert row["gap"] == pytest.approx(30.0, abs=1.5)
    assert row["lane_change_duration"] == pytest.approx(4.0, abs=1.2)
    assert row["braking"] == pytest.approx(3.0, abs=0.3)
    assert row["t"] + row["braking_delay"] == pytest.approx(4.5, abs=0.4)


NOT_CUT_INS = {
    "overtakes and stays in its lane": Other(gap=-20.0, relative_speed=6.0, to_lane=None),
    "leaves the lane": Other(gap=20.0, lane=0.0, to_lane=3.5),
    "comes in behind": Other(gap=-30.0),
    "was there all the time": Other(gap=40.0, lane=0.0),
    "changes between two other lanes": Other(gap=20.0, lane=7.0, to_lane=3.5),
    "far ahead": Other(gap=200.0),
}


def test_only_cut_ins_are_found_among_other_manoeuvres():
    others = [*NOT_CUT_INS.values(), Other(gap=25.0), Other(gap=45.0, lane=-3.5)]
    found = cut_ins(Drive(name="a", others=others, curvature=1 / 500, noise=0.02).table(), "ego")
    assert sorted(found["track"]) == ["car-6", "car-7"]


@pytest.mark.parametrize("case", NOT_CUT_INS)
def test_a_drive_without_cut_ins_is_told(case: str):
    with pytest.raises(TracksError, match="no cut-in among 1 pairs of tracks"):
        cut_ins(Drive(name="a", others=[NOT_CUT_INS[case]]).table(), "ego")


def test_two_hundred_cut_ins_are_all_found_and_their_laws_recovered():
    random = np.random.default_rng(2)
    gaps, speeds = random.lognormal(3.3, 0.3, 200), random.normal(0.0, 2.0, 200)
    tables = [
        Drive(
            name=f"{i:03}", others=[Other(gap=gap, relative_speed=speed)], noise=0.01, seed=i,
            yaw=float(random.uniform(0, 6)), curvature=float(random.uniform(-1 / 400, 1 / 400)),
        ).table()
        for i, (gap, speed) in enumerate(zip(gaps, speeds, strict=True))
    ]  # fmt: skip
    found = cut_ins(pl.concat(tables), "ego")
    assert found["clip"].to_list() == [f"{i:03}" for i in range(200)]
    assert found["gap"].to_numpy() == pytest.approx(gaps, abs=4.0)
    assert np.median(np.abs(found["relative_speed"].to_numpy() - speeds)) < 0.2
    assert set(OBSERVED) < set(found.columns)


def test_a_pause_in_a_track_is_not_bridged():
    table = Drive(name="a", others=[Other(gap=30.0)]).table()
    with_pause = table.filter((pl.col("track") == "ego") | (pl.col("t") < 3.2) | (pl.col("t") > 6.5))
    with pytest.raises(TracksError, match="no cut-in among 2 pairs"):
        cut_ins(with_pause, "ego")


TABLE = Drive(name="a", others=[Other(gap=30.0)]).table()
SPOILT = {
    "no rows": (TABLE.head(0), "no rows"),
    "no column": (TABLE.drop("y"), "column 'y' is missing"),
    "text for numbers": (TABLE.with_columns(pl.col("x").cast(pl.String)), "expected numbers"),
    "NaN": (
        TABLE.with_columns(pl.when(pl.col("t") > 3).then(float("nan")).otherwise("x").alias("x")),
        "x (got nan",
    ),
    "null": (
        TABLE.with_columns(pl.when(pl.col("t") > 3).then(None).otherwise("y").alias("y")),
        "y (got None",
    ),
    "infinite": (TABLE.with_columns(pl.lit(float("inf")).alias("t")), "t (got inf"),
    "an instant twice": (pl.concat([TABLE, TABLE.tail(1)]), "is given twice"),
    "no automated vehicle": (TABLE.filter(pl.col("track") != "ego"), "no track 'ego'"),
    "a track without a name": (TABLE.with_columns(pl.lit(None).alias("track")), "rows without a value"),
    "a length of nothing": (TABLE.with_columns(pl.lit(0.0).alias("length")), "expected more than 0 m"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_table_is_refused_with_its_place(case: str):
    table, said = SPOILT[case]
    with pytest.raises(TracksError, match=re.escape(said)):
        cut_ins(table, "ego")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_tables_are_read_from_files(tmp_path: Path, suffix: str):
    path = tmp_path / f"tracks.{suffix}"
    TABLE.write_csv(path) if suffix == "csv" else TABLE.write_parquet(path)
    assert cut_ins(read_tracks(path), "ego").height == 1


def test_files_that_are_no_tables_are_refused(tmp_path: Path):
    (tmp_path / "tracks.parquet").write_bytes(b"no table")
    for name in ("tracks.parquet", "nowhere.csv", "tracks.xlsx"):
        with pytest.raises(TracksError, match=re.escape(name)):
            read_tracks(tmp_path / name)
