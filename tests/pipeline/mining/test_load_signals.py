"""From real releases to signals: what leaves the gate is read right, and what is not read is told."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateway.flow.release import revoke_grant
from mining_drives import reference_spans
from pipeline.errors import RefusedError
from pipeline.mining.load import load_signals
from pipeline.mining.signal_file import CanSignals
from pipeline.mining.trigger_file import shipped_triggers
from pipeline.mining.triggers import find_events
from pipeline.sealed_cache import SealedCache
from simulators import grant


def named(manifest: Any, extension: str) -> Any:
    (item,) = (item for item in manifest.items if item.name.endswith(extension))
    return item


def clips_of(content: bytes) -> dict[int, np.ndarray]:
    """The released CSV, read apart from the code under test: times and speeds by clip."""
    rows = list(csv.DictReader(io.StringIO(content.decode())))
    numbers = sorted({int(row["clip"]) for row in rows})
    return {
        n: np.array([(float(r["t_s"]), float(r["speed_mps"])) for r in rows if int(r["clip"]) == n]).T
        for n in numbers
    }


def test_braking_in_a_released_track_is_found_where_it_is(served: Any):
    with served.client() as client:
        item = named(client.manifest(served.local), ".csv")
        content = client.read(served.local, item.name)
        loaded = load_signals(client, served.local)
    expected = []
    for number, (t, speed) in clips_of(content).items():
        slope = np.gradient(speed, t, edge_order=1)
        met = (slope <= -4) & (speed > 0.5)
        expected += [
            (number, begin, end)
            for begin, end in reference_spans(t, met, step_s=1.0, gap_s=0.5, duration_s=0.3)
        ]

    events = find_events(loaded.table, shipped_triggers(), only=["hard_brake"]).events

    found = sorted((e.clip.number, e.begin_s, e.end_s) for e in events)
    assert len(found) >= 10
    assert found == sorted(expected)
    assert {e.clip.item for e in events} == {item.name}


def test_logs_without_a_file_of_signals_are_passed_over_and_told(served: Any):
    with served.client() as client:
        loaded = load_signals(client, served.local)

    assert {name.rpartition(".")[2] for name in loaded.passed_over} == {"asc", "blf"}
    assert all("no file of signals" in reason for reason in loaded.passed_over.values())


def test_both_forms_of_a_released_can_log_hold_the_same_events(served: Any, can_signals: CanSignals):
    with served.client() as client:
        manifest = client.manifest(served.local)
        loaded = load_signals(client, served.local, signals=can_signals)
    mined = find_events(loaded.table, shipped_triggers())
    by_form = {
        form: sorted(
            (e.trigger, e.clip.number, round(e.begin_s, 3), round(e.end_s, 3))
            for e in mined.events
            if e.clip.item == named(manifest, form).name
        )
        for form in (".asc", ".blf")
    }

    assert by_form[".asc"] == by_form[".blf"]
    assert {trigger for trigger, *_ in by_form[".asc"]} >= {"near_miss", "take_over", "hard_brake"}
    for trigger, _, begin, end in by_form[".asc"]:
        assert 0 <= begin <= end < 100
        if trigger == "near_miss":
            assert end - begin <= 0.901


def test_clips_of_a_log_are_those_of_the_track(served: Any, can_signals: CanSignals):
    with served.client() as client:
        item = named(client.manifest(served.local), ".csv")
        loaded = load_signals(client, served.local, signals=can_signals)
    table = loaded.table
    spans: dict[int, list[float]] = {}
    for position, clip in enumerate(table.clips):
        of = table.columns["t_s"][table.clip == position]
        spans.setdefault(clip.number, []).append(float(of.max()))
        if clip.item == item.name:
            assert of[0] == 0.0
    assert len(spans) >= 8
    for lengths in spans.values():
        assert len(lengths) == 3
        assert max(lengths) - min(lengths) < 0.15


@pytest.mark.parametrize("which", ["offset", "container"])
def test_motion_of_a_released_recording_is_read_with_its_units(served: Any, which: str):
    release = getattr(served, which)
    with served.client() as client:
        loaded = load_signals(client, release)
    (item,) = loaded.items
    columns = loaded.table.columns

    assert item.sources["speed_mps"] == "/localization"
    assert item.sources["accel_mps2"] == "/imu"
    assert np.nanmedian(columns["speed_mps"]) == pytest.approx(8.0)
    assert np.nanmedian(columns["yaw_rate_rps"]) == pytest.approx(0.1)
    assert np.nanmedian(columns["accel_mps2"]) == pytest.approx(0.1)
    steps = np.hypot(np.diff(columns["x_m"]), np.diff(columns["y_m"])) / np.diff(columns["t_s"])
    within = np.diff(loaded.table.clip) == 0
    assert np.median(steps[within]) == pytest.approx(8.0, rel=0.02)
    assert len(loaded.table.clips) > 4 if which == "container" else len(loaded.table.clips) == 1
    assert columns["t_s"].min() >= 0.0


def test_a_grant_that_ends_stops_the_next_use_and_wipes_the_cache(
    served: Any, tmp_path: Path, can_signals: CanSignals
):
    gate, house = served.gate, served.house
    key = house.people["stranger"].key
    before = sum(1 for _ in gate.ledger.entries())
    held = grant(gate, house, served.local, person="stranger", days=1)
    with served.client("stranger") as client, SealedCache(client, tmp_path / "cache", key=key) as cache:
        first = load_signals(cache, served.local, signals=can_signals)
        again = load_signals(cache, served.local, signals=can_signals)
        assert find_events(again.table, shipped_triggers()) == find_events(first.table, shipped_triggers())
        revoke_grant(gate, held, actor=house.people["first"].actor)

        with pytest.raises(RefusedError) as caught:
            load_signals(cache, served.local, signals=can_signals)

    assert caught.value.status == 403
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
    reads = [
        entry.event.outcome.value
        for entry in list(gate.ledger.entries())[before:]
        if entry.event.type.value == "serve:item:read" and entry.event.outcome.value != "intended"
    ]
    assert reads.count("completed") == 6
    assert reads[-1] == "refused"
