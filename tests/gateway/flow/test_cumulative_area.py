"""Rule 18: the area that a recipient holds is that of all its releases together, and has a limit."""

import json
import math

import pytest

from gateway.errors import DeniedError
from gateway.flow.dossier import release_summary
from gateway.flow.erase import erase_recording
from gateway.flow.gate import Gate
from gateway.flow.recording import ReleaseMode
from simulators import ORIGIN, START, House, candidate, cleanse, publish

RADIUS_KM = 0.12


def drive(north_km: float, length_km: float) -> dict[str, bytes]:
    """A straight way to the east, one fix every 50 m and second, some kilometres north of the origin."""
    rows = ["time,lat,lon"]
    for i in range(round(length_km * 20) + 1):
        lon = ORIGIN[1] + i * 0.05 / (111.320 * math.cos(math.radians(ORIGIN[0])))
        rows.append(f"{START.timestamp() + i:.0f},{ORIGIN[0] + north_km / 111.2:.7f},{lon:.7f}")
    return {"drive.csv": ("\n".join(rows) + "\n").encode()}


def corridor_km2(length_km: float) -> float:
    return 2 * RADIUS_KM * length_km + math.pi * RADIUS_KM**2


def held(gate: Gate, release: str) -> float:
    return float(release_summary(gate, release)["recipient_holds"]["area_km2"])


def test_areas_add_up_and_what_was_driven_twice_counts_once(sqlite_gate: Gate, sqlite_house: House):
    first = candidate(sqlite_gate, sqlite_house, cleanse(sqlite_gate, drive(0.0, 6.0)))
    assert held(sqlite_gate, first) == pytest.approx(corridor_km2(6.0), rel=0.1)
    publish(sqlite_gate, sqlite_house, first)
    again = candidate(sqlite_gate, sqlite_house, cleanse(sqlite_gate, drive(0.001, 6.0)))
    assert held(sqlite_gate, again) == pytest.approx(held(sqlite_gate, first), rel=0.01)
    elsewhere = candidate(sqlite_gate, sqlite_house, cleanse(sqlite_gate, drive(3.0, 4.0)))
    assert held(sqlite_gate, elsewhere) == pytest.approx(corridor_km2(6.0) + corridor_km2(4.0), rel=0.1)


def test_a_recipient_never_reaches_the_area_of_a_state_secret(sqlite_gate: Gate, sqlite_house: House):
    first = cleanse(sqlite_gate, drive(0.0, 60.0))
    publish(sqlite_gate, sqlite_house, candidate(sqlite_gate, sqlite_house, first, mode=ReleaseMode.OFFSET))
    # What was once released is held, also when the recording is gone.
    erase_recording(sqlite_gate, first, actor=sqlite_house.people["officer"].actor)
    second = cleanse(sqlite_gate, drive(5.0, 60.0))
    with pytest.raises(DeniedError) as denied:
        candidate(sqlite_gate, sqlite_house, second)
    (violation,) = denied.value.decision.violations
    assert violation.rule == "cumulative_area"
    assert "25" in json.dumps(violation.facts)


def test_evidence_keeps_no_place(sqlite_gate: Gate, sqlite_house: House):
    release = candidate(sqlite_gate, sqlite_house, cleanse(sqlite_gate, drive(0.0, 2.0)))
    summary = json.dumps(release_summary(sqlite_gate, release))
    assert f"{ORIGIN[0]:.3f}" not in summary
    assert "cells" not in summary
