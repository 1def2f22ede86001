"""Triggers, compiled to DuckDB and evaluated over signals: events with their span of time and severity."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import duckdb
import numpy as np

from pipeline.mining.errors import SignalError, TriggerFileError
from pipeline.mining.locked_duckdb import locked_duckdb
from pipeline.mining.signals import Clip, SignalTable
from pipeline.mining.trigger_file import Feature, Trigger, TriggerFile

TOLERANCE_S: Final = 1e-6
"""Differences of times are compared to this, so that ten steps of 0.1 s are 1 s."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A stretch of time in which a trigger's condition held, gaps up to its ``merge_gap_s`` included.

    Attributes:
        trigger: Name of the trigger.
        version: Its version.
        priority: Its priority.
        clip: Where it is.
        begin_s: Time of the first row, in the clip.
        end_s: Time of the last row.
        worst_s: Time of the worst row.
        worst: What the trigger's severity is taken of, at that row; None where it is absent in all rows.
        severity: 0 to 1; 0 where ``worst`` is absent.
        rows: How many rows met the condition.
    """

    trigger: str
    version: int
    priority: int
    clip: Clip
    begin_s: float
    end_s: float
    worst_s: float
    worst: float | None
    severity: float
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """On how much a trigger could be evaluated: no event where nothing was measured says nothing.

    Attributes:
        rows: Rows for which the condition was true or false.
        absent: Signals that it names and that have no value in any row.
    """

    rows: int
    absent: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """What triggers found.

    Attributes:
        events: Higher priority first, then greater severity, then by clip and time.
        coverage: By name of the trigger.
        rows: Rows that were looked at.
        untimed: Rows that had no time and were left out.
    """

    events: tuple[Event, ...]
    coverage: Mapping[str, Coverage]
    rows: int
    untimed: int


def find_events(
    table: SignalTable, triggers: TriggerFile, *, only: Iterable[str] = (), threads: int = 2
) -> Mined:
    """Evaluate triggers over signals.

    A row in which the condition is unknown, because a signal that decides it is absent, does not meet it. Rows of
    different clips never make one event.

    Args:
        table: The signals.
        triggers: The triggers.
        only: Names of the triggers to evaluate, all by default.
        threads: Threads of DuckDB.

    Raises:
        TriggerFileError: ``only`` names a trigger that the file does not have, or an expression fails on a value.
        SignalError: The table is larger than the memory that is permitted.
    """
    chosen = _chosen(triggers, tuple(only))
    features = _features_of(triggers, chosen)
    with locked_duckdb(threads=threads) as connection:
        try:
            _load(connection, table, features, chosen)
            events = [event for t in chosen for event in _events(connection, table, t, triggers.max_step_s)]
            coverage = _coverage(connection, table, chosen, triggers)
        except duckdb.OutOfMemoryException as error:
            raise SignalError(f"{len(table)} rows need too much memory at once: {error}") from error
        except duckdb.Error as error:
            raise TriggerFileError(f"an expression fails on a value: {error}") from error
    order = {clip: number for number, clip in enumerate(table.clips)}
    events.sort(key=lambda e: (-e.priority, -e.severity, order[e.clip], e.begin_s, e.trigger))
    return Mined(events=tuple(events), coverage=coverage, rows=len(table), untimed=table.untimed)


def _chosen(triggers: TriggerFile, only: tuple[str, ...]) -> tuple[Trigger, ...]:
    unknown = sorted(set(only) - triggers.triggers.keys())
    if unknown:
        raise TriggerFileError(f"triggers (got {unknown}, expected some of {sorted(triggers.triggers)})")
    return tuple(t for name, t in triggers.triggers.items() if not only or name in only)


def _features_of(triggers: TriggerFile, chosen: tuple[Trigger, ...]) -> tuple[Feature, ...]:
    named = {name for t in chosen for name in t.where.columns | t.severity.of.columns}
    return tuple(feature for name, feature in triggers.features.items() if name in named)


def _load(
    connection: duckdb.DuckDBPyConnection,
    table: SignalTable,
    features: tuple[Feature, ...],
    chosen: tuple[Trigger, ...],
) -> None:
    """Make the table ``signals`` with a column for each signal and feature that is named."""
    named = {name for t in chosen for name in t.where.columns | t.severity.of.columns}
    named |= {name for feature in features for name in feature.of.columns}
    names = sorted(named - {feature.name for feature in features} - {"t_s"})
    source = {"row": np.arange(len(table), dtype=np.int64), "clip": table.clip, "t_s": table.columns["t_s"]}
    source |= {name: table.columns[name] for name in names if name in table.columns}
    kept = ", ".join(
        f'CASE WHEN isnan("{n}") THEN NULL ELSE "{n}" END AS "{n}"'
        if n in source
        else f'NULL::DOUBLE AS "{n}"'
        for n in names
    )
    connection.register("source", source)
    columns = f"row, clip, t_s{', ' if kept else ''}{kept}"
    connection.execute(f"CREATE TABLE plain AS SELECT {columns} FROM source")  # noqa: S608 - names of signals
    connection.unregister("source")
    connection.execute(_featured(features))


def _featured(features: tuple[Feature, ...]) -> str:
    """The statement that makes ``signals`` of ``plain``: values, then what changed in them, then windows."""
    if not features:
        return "ALTER TABLE plain RENAME TO signals"
    values = "".join(f', {f.of.sql} AS "v_{f.name}"' for f in features)
    changes = "".join(
        f", {_CHANGES[f.take].format(v=f'v_{f.name}')}" + f' AS "c_{f.name}"'
        for f in features
        if f.take in _CHANGES
    )
    windows = "".join(f', {_window(f)} AS "{f.name}"' for f in features)
    internal = [f'"v_{f.name}"' for f in features] + [f'"c_{f.name}"' for f in features if f.take in _CHANGES]
    excluded = f" EXCLUDE ({', '.join(internal)})"
    return (
        f"CREATE TABLE signals AS WITH valued AS (SELECT *{values} FROM plain), "  # noqa: S608 - written anew
        f"changed AS (SELECT *{changes} FROM valued WINDOW o AS (PARTITION BY clip ORDER BY row)) "
        f"SELECT *{excluded}{windows} FROM changed"
    )


_CHANGES: Final[Mapping[str, str]] = {
    "rises": '("{v}" AND NOT lag("{v}" IGNORE NULLS) OVER o)',
    "age": '("{v}" IS DISTINCT FROM lag("{v}") OVER o AND lag(row) OVER o IS NOT NULL)',
}


def _window(feature: Feature) -> str:
    value, change = f'"v_{feature.name}"', f'"c_{feature.name}"'
    if feature.take == "age":
        since = f"max(CASE WHEN {change} THEN t_s END)"
        return f"t_s - {since} OVER (PARTITION BY clip ORDER BY row ROWS UNBOUNDED PRECEDING)"
    over = (
        f"OVER (PARTITION BY clip ORDER BY t_s RANGE BETWEEN {feature.over_s + TOLERANCE_S!r} PRECEDING "
        "AND CURRENT ROW)"
    )
    if feature.take == "change":
        return f"{value} - first_value({value}) {over}"
    if feature.take == "rises":
        return f"count(CASE WHEN {change} THEN 1 END) {over}::DOUBLE"
    return f"{'avg' if feature.take == 'mean' else feature.take}({value}) {over}"


def _events(
    connection: duckdb.DuckDBPyConnection, table: SignalTable, trigger: Trigger, max_step_s: float
) -> list[Event]:
    rising = trigger.severity.end > trigger.severity.start
    worst, at = ("max", "arg_max") if rising else ("min", "arg_min")
    found = connection.execute(
        f"""
        WITH met AS (
            SELECT row, clip, t_s, {trigger.severity.of.sql} AS s,
                lag(row) OVER w AS row_before, lag(t_s) OVER w AS t_before
            FROM signals WHERE {trigger.where.sql} WINDOW w AS (PARTITION BY clip ORDER BY row)
        ), begun AS (
            SELECT *, (row_before IS NULL OR NOT (
                (row = row_before + 1 AND t_s - t_before <= $step) OR t_s - t_before <= $gap))::INT AS begins
            FROM met
        ), numbered AS (SELECT *, sum(begins) OVER (ORDER BY row) AS event FROM begun)
        SELECT any_value(clip), min(t_s), max(t_s), coalesce({at}(t_s, s), min(t_s)), {worst}(s), count(*)
        FROM numbered GROUP BY event HAVING max(t_s) - min(t_s) >= $duration ORDER BY event
        """,  # noqa: S608 - expressions are written anew from what is permitted
        {
            "step": max_step_s + TOLERANCE_S,
            "gap": trigger.merge_gap_s + TOLERANCE_S,
            "duration": trigger.min_duration_s - TOLERANCE_S,
        },
    ).fetchall()
    return [
        Event(
            trigger=trigger.name,
            version=trigger.version,
            priority=trigger.priority,
            clip=table.clips[clip],
            begin_s=begin_s,
            end_s=end_s,
            worst_s=worst_s,
            worst=value,
            severity=_scaled(value, trigger),
            rows=rows,
        )
        for clip, begin_s, end_s, worst_s, value, rows in found
    ]


def _scaled(value: float | None, trigger: Trigger) -> float:
    if value is None:
        return 0.0
    start, end = trigger.severity.start, trigger.severity.end
    return float(min(max((value - start) / (end - start), 0.0), 1.0))


def _coverage(
    connection: duckdb.DuckDBPyConnection,
    table: SignalTable,
    chosen: tuple[Trigger, ...],
    triggers: TriggerFile,
) -> dict[str, Coverage]:
    counts = ", ".join(f"count({t.where.sql})" for t in chosen)
    row = connection.execute(f"SELECT {counts} FROM signals").fetchone() or ()  # noqa: S608 - written anew
    held = {name for name, values in table.columns.items() if np.isfinite(values).any()}
    made = {}
    for trigger, rows in zip(chosen, row, strict=True):
        needed: set[str] = set()
        for name in trigger.where.columns:
            feature = triggers.features.get(name)
            needed |= feature.of.columns if feature else {name}
        made[trigger.name] = Coverage(rows=int(rows), absent=tuple(sorted(needed - held)))
    return made
