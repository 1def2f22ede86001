"""Rows a second through the shipped triggers, against a plain numpy pass and a DuckDB count over the same columns.

    python benchmarks/trigger_rows.py [--rows 1800000] [--clip-rows 300] [--rounds 3] [--json]

The drive is made: noise that no trigger minds, with hard braking injected at known rows. Both sides take turns in
one run, and what the trigger finds is held against what was injected. ``plain``: the five conditions that look at
one row, without features; ``all``: the six shipped triggers, windows over time included. The peers evaluate the
same five conditions and make no events: numpy as arrays, DuckDB as counts over a table that is there already.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable

import duckdb
import numpy as np

from pipeline.mining.signals import Clip, SignalTable
from pipeline.mining.trigger_file import TriggerFile, read_trigger_file, shipped_triggers
from pipeline.mining.triggers import find_events

CONDITIONS = {
    "hard_brake": "accel_mps2 <= -4 AND speed_mps > 0.5",
    "take_over": "engaged = 0",
    "near_miss": "closing_mps > 0.5 AND gap_m / closing_mps <= 1.5",
    "sharp_turn": "speed_mps >= 3 AND abs(speed_mps * yaw_rate_rps) >= 3.5",
    "close": "gap_m < 5 AND speed_mps > 10",
}
EVENT_ROWS = 10


def plain_triggers() -> TriggerFile:
    """The five conditions as a file of triggers."""
    entries = "".join(
        f"  {name}:\n    version: 1\n    priority: 1\n    zh: 触发\n    en: {name}\n    where: {where}\n"
        "    min_duration_s: 0.3\n    merge_gap_s: 0.5\n    severity: {of: speed_mps, from: 0, to: 30}\n"
        for name, where in CONDITIONS.items()
    )
    head = "format: fleetgate-triggers\nversion: 1\nmax_step_s: 1.0\ntriggers:\n"
    return read_trigger_file((head + entries).encode())


def drive(rows: int, clip_rows: int) -> tuple[SignalTable, int]:
    """A made drive at 10 Hz, and how many times it brakes hard: once in every tenth clip."""
    rng = np.random.default_rng(7)
    row = np.arange(rows)
    columns = {
        "t_s": (row % clip_rows) / 10.0,
        "speed_mps": 12.0 + rng.normal(0, 0.5, rows),
        "accel_mps2": rng.normal(0, 0.5, rows).clip(-3, 3),
        "yaw_rate_rps": rng.normal(0, 0.02, rows),
        "engaged": np.ones(rows),
        "gap_m": 60.0 + rng.normal(0, 1.0, rows),
        "closing_mps": rng.normal(0, 0.2, rows),
        "lead_id": np.ones(rows),
    }
    clip = (row // clip_rows).astype(np.int32)
    starts = np.arange(0, rows - clip_rows + 1, 10 * clip_rows) + clip_rows // 2
    for offset in range(EVENT_ROWS):
        columns["accel_mps2"][starts + offset] = -6.0
    clips = tuple(Clip(release="made", item="made.csv", number=n) for n in range(int(clip[-1]) + 1))
    return SignalTable(clips=clips, clip=clip, columns=columns), len(starts)


def numpy_pass(table: SignalTable) -> int:
    """The five conditions over arrays, and how many rows meet one."""
    c = table.columns
    with np.errstate(divide="ignore", invalid="ignore"):
        met = (c["accel_mps2"] <= -4) & (c["speed_mps"] > 0.5)
        met |= c["engaged"] == 0
        met |= (c["closing_mps"] > 0.5) & (c["gap_m"] / c["closing_mps"] <= 1.5)
        met |= (c["speed_mps"] >= 3) & (np.abs(c["speed_mps"] * c["yaw_rate_rps"]) >= 3.5)
        met |= (c["gap_m"] < 5) & (c["speed_mps"] > 10)
    return int(met.sum())


def timed(work: Callable[[], object]) -> float:
    """Seconds that it took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def run(options: argparse.Namespace) -> dict[str, float]:
    """Medians of all sides."""
    table, braked = drive(options.rows, options.clip_rows)
    simple, shipped = plain_triggers(), shipped_triggers()
    for triggers in (simple, shipped):
        found = [e for e in find_events(table, triggers).events if e.trigger == "hard_brake"]
        assert len(found) == braked, (len(found), braked)
    counts = ", ".join(f"count_if({where})" for where in CONDITIONS.values())
    taken: dict[str, list[float]] = {name: [] for name in ("plain", "all", "numpy", "duckdb")}
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET threads = 2")
        connection.register("source", dict(table.columns))
        connection.execute("CREATE TABLE made AS SELECT * FROM source")
        for _ in range(options.rounds):
            taken["plain"].append(timed(lambda: find_events(table, simple)))
            taken["numpy"].append(timed(lambda: numpy_pass(table)))
            taken["all"].append(timed(lambda: find_events(table, shipped)))
            taken["duckdb"].append(
                timed(lambda: connection.execute(f"SELECT {counts} FROM made").fetchall())  # noqa: S608
            )
    rate = {name: options.rows / statistics.median(seconds) for name, seconds in taken.items()}
    return {
        "rows": options.rows,
        "events": braked,
        **{f"{name}_rows_per_s": value for name, value in rate.items()},
        "plain_to_numpy": rate["plain"] / rate["numpy"],
        "plain_to_duckdb": rate["plain"] / rate["duckdb"],
        "all_to_numpy": rate["all"] / rate["numpy"],
        "all_to_duckdb": rate["all"] / rate["duckdb"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_800_000)
    parser.add_argument("--clip-rows", type=int, default=300, help="rows of each clip, at 10 Hz")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    figures = run(options := parser.parse_args())
    if options.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:20} {value:14,.3f}")


if __name__ == "__main__":
    main()
