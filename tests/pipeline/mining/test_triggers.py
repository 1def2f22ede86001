"""Triggers over made drives: every injected event and nothing else, and the same as a second look by numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mining_drives import INJECTIONS, made_drive, reference_spans
from pipeline.mining.errors import SignalError, TriggerFileError
from pipeline.mining.signals import Clip, join_tables, signal_table
from pipeline.mining.trigger_file import read_trigger_file, shipped_triggers
from pipeline.mining.triggers import find_events

CLIP = Clip(release="rel-made", item="a.csv", number=0)
PLAIN = """
format: fleetgate-triggers
version: 1
max_step_s: {step}
triggers:
  fast:
    version: 3
    priority: 10
    zh: 快
    en: fast
    where: speed_mps > 20
    min_duration_s: {duration}
    merge_gap_s: {gap}
    severity: {{of: speed_mps, from: 20, to: 40}}
"""


def plain(*, step: float = 0.25, duration: float = 0.0, gap: float = 0.0):
    return read_trigger_file(PLAIN.format(step=step, duration=duration, gap=gap).encode())


def spans(t, speed, **terms):
    mined = find_events(signal_table(CLIP, {"t_s": t, "speed_mps": speed}), plain(**terms))
    return sorted((event.begin_s, event.end_s) for event in mined.events)


def test_every_injected_event_is_found_and_nothing_else():
    drives = [made_drive(seed) for seed in range(12)]
    mined = find_events(join_tables([drive.table() for drive in drives]), shipped_triggers())

    found = sorted((e.clip.item, e.trigger, round(e.begin_s, 1)) for e in mined.events)
    injected = sorted((d.clip.item, i.trigger, round(i.begin_s, 1)) for d in drives for i in d.injected)
    assert {trigger for _, trigger, _ in injected} == set(INJECTIONS)
    assert len(injected) > 100
    assert found == injected
    ends = {(d.clip.item, i.trigger, round(i.begin_s, 1)): i.end_s for d in drives for i in d.injected}
    for event in mined.events:
        assert event.end_s == pytest.approx(
            ends[event.clip.item, event.trigger, round(event.begin_s, 1)], abs=0.11
        )
        assert event.begin_s <= event.worst_s <= event.end_s


def test_a_calm_drive_has_no_event_and_says_what_was_looked_at():
    drive = made_drive(1, seconds=100.0)
    assert drive.injected == ()
    mined = find_events(drive.table(), shipped_triggers())

    assert mined.events == ()
    assert mined.rows == 1000
    assert mined.coverage["hard_brake"].rows == 1000
    assert mined.coverage["hard_brake"].absent == ()


def test_a_trigger_without_its_signals_is_told_apart_from_one_that_found_nothing():
    table = signal_table(CLIP, {"t_s": [0.0, 1.0], "speed_mps": [5.0, 5.0], "gap_m": [np.nan, np.inf]})
    mined = find_events(table, shipped_triggers())

    assert mined.events == ()
    assert mined.coverage["near_miss"].absent == ("closing_mps", "gap_m")
    assert mined.coverage["near_miss"].rows == 0
    assert mined.coverage["take_over"].absent == ("engaged",)
    assert mined.coverage["stop_and_go"].rows == 2


def test_no_rows_are_no_events():
    for table in (signal_table(CLIP, {"t_s": []}), join_tables([])):
        mined = find_events(table, shipped_triggers())
        assert (mined.events, mined.rows) == ((), 0)
        assert all(coverage.rows == 0 for coverage in mined.coverage.values())


speeds = st.lists(st.sampled_from([10.0, 25.0, np.nan, np.inf, -np.inf, 20.0]), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(
    speed=speeds,
    steps=st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 3.0]), min_size=40, max_size=40),
    terms=st.fixed_dictionaries(
        {
            "step": st.sampled_from([0.1, 0.25, 1.0]),
            "gap": st.sampled_from([0.0, 0.1, 0.4, 2.0]),
            "duration": st.sampled_from([0.0, 0.2, 1.0]),
        }
    ),
)
def test_spans_are_those_of_the_definition(speed, steps, terms):
    t = np.cumsum(steps[: len(speed)])
    values = np.array(speed)
    met = np.isfinite(values) & (np.where(np.isfinite(values), values, 0.0) > 20)
    expected = reference_spans(t, met, step_s=terms["step"], gap_s=terms["gap"], duration_s=terms["duration"])
    assert spans(t, values, **terms) == sorted(expected)


def test_unsorted_times_are_sorted_and_rows_without_a_time_are_counted():
    rng = np.random.default_rng(3)
    drive = made_drive(5)
    order = rng.permutation(len(drive.columns["t_s"]))
    shuffled = {name: values[order] for name, values in drive.columns.items()}
    shuffled["t_s"][:3] = [np.nan, np.inf, -np.inf]
    kept = np.sort(order[3:])
    straight = signal_table(CLIP, {name: values[kept] for name, values in drive.columns.items()})

    mixed = find_events(signal_table(CLIP, shuffled), shipped_triggers())

    assert mixed.untimed == 3
    assert mixed.events == find_events(straight, shipped_triggers()).events


def test_equal_times_keep_their_order():
    table = signal_table(CLIP, {"t_s": [1.0, 0.0, 1.0, 0.0], "speed_mps": [1.0, 2.0, 3.0, 4.0]})
    assert table.columns["speed_mps"].tolist() == [2.0, 4.0, 1.0, 3.0]


def test_a_gap_in_the_data_ends_an_event_unless_it_is_within_the_merge_gap():
    t, speed = [0.0, 0.2, 5.0, 5.2], [30.0] * 4
    assert spans(t, speed) == [(0.0, 0.2), (5.0, 5.2)]
    assert spans(t, speed, gap=4.8) == [(0.0, 5.2)]


def test_an_absent_value_ends_an_event_unless_it_is_within_the_merge_gap():
    t, speed = [0.0, 0.1, 0.2, 0.3], [30.0, np.nan, 30.0, 30.0]
    assert spans(t, speed) == [(0.0, 0.0), (0.2, 0.3)]
    assert spans(t, speed, gap=0.2) == [(0.0, 0.3)]


def test_clips_are_never_joined_and_windows_do_not_look_across():
    one = signal_table(CLIP, {"t_s": [0.0, 0.1], "engaged": [1.0, 1.0], "speed_mps": [30.0, 30.0]})
    two = signal_table(
        Clip(release="rel-made", item="a.csv", number=1),
        {"t_s": [0.2, 0.3], "engaged": [0.0, 0.0], "speed_mps": [30.0, 30.0]},
    )
    both = join_tables([one, two])

    assert find_events(both, shipped_triggers(), only=["take_over"]).events == ()
    assert [e.clip.number for e in find_events(both, plain(gap=5.0)).events] == [0, 1]


def test_severity_is_that_of_the_worst_row_and_events_are_in_order():
    table = signal_table(CLIP, {"t_s": np.arange(8.0), "speed_mps": [25.0, 30.0, 0, 45.0, 0, 21.0, 22.0, 0]})
    first, second, third = find_events(table, plain(step=1.0)).events

    assert (first.begin_s, first.worst, first.severity) == (3.0, 45.0, 1.0)
    assert (second.begin_s, second.worst_s, second.severity, second.rows) == (0.0, 1.0, 0.5, 2)
    assert (third.worst, third.severity) == (22.0, pytest.approx(0.1))
    assert {(e.trigger, e.version, e.priority) for e in (first, second, third)} == {("fast", 3, 10)}


def test_priority_comes_before_severity():
    drive = made_drive(2)
    priorities = [event.priority for event in find_events(drive.table(), shipped_triggers()).events]
    assert priorities == sorted(priorities, reverse=True)


def test_an_unknown_trigger_is_named():
    with pytest.raises(TriggerFileError, match="slow"):
        find_events(signal_table(CLIP, {"t_s": [0.0]}), plain(), only=["slow"])


BAD_COLUMNS = {
    "unknown": ({"t_s": [0.0], "velocity": [1.0]}, "velocity"),
    "no time": ({"speed_mps": [1.0]}, "t_s"),
    "lengths": ({"t_s": [0.0], "speed_mps": [1.0, 2.0]}, "2 rows"),
    "dimensions": ({"t_s": [0.0], "speed_mps": [[1.0]]}, "2 dimensions"),
    "text": ({"t_s": [0.0], "speed_mps": ["fast"]}, "speed_mps"),
}


@pytest.mark.parametrize("case", BAD_COLUMNS)
def test_bad_signals_are_named(case):
    columns, match = BAD_COLUMNS[case]
    with pytest.raises(SignalError, match=match):
        signal_table(CLIP, columns)


FEATURES = {
    "max": ("{of: speed_mps, take: max, over_s: 0.2}", [1.0, 5.0, 5.0, 5.0, 2.0, 9.0]),
    "min": ("{of: speed_mps, take: min, over_s: 0.2}", [1.0, 1.0, 1.0, 2.0, 0.0, 0.0]),
    "mean": ("{of: speed_mps, take: mean, over_s: 0.1}", [1.0, 3.0, 3.5, 2.0, 1.0, 4.5]),
    "change": ("{of: speed_mps, take: change, over_s: 0.1}", [0.0, 4.0, -3.0, 0.0, -2.0, 9.0]),
    "rises": ("{of: speed_mps > 4, take: rises, over_s: 0.3}", [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
    "age": ("{of: speed_mps, take: age}", [None, 0.0, 0.0, 0.1, 0.0, 0.0]),
}


@pytest.mark.parametrize("take", FEATURES)
def test_features_are_what_they_are_called(take):
    feature, expected = FEATURES[take]
    document = PLAIN.format(step=1.0, duration=0, gap=0).replace("speed_mps > 20", "f IS NOT NULL")
    document = document.replace("of: speed_mps", "of: f").replace(
        "triggers:", f"features:\n  f: {feature}\ntriggers:", 1
    )
    table = signal_table(CLIP, {"t_s": np.arange(6) / 10, "speed_mps": [1.0, 5.0, 2.0, 2.0, 0.0, 9.0]})
    for row, value in enumerate(expected):
        terms = document.replace("f IS NOT NULL", f"t_s BETWEEN {row / 10 - 0.01} AND {row / 10 + 0.01}")
        (event,) = find_events(table, read_trigger_file(terms.encode())).events
        assert event.worst == (value if value is None else pytest.approx(value))
