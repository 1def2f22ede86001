"""Every output of a release is searched for true positions, whatever its kind (rule 10)."""

import numpy as np
import pytest

from gateway.flow.dossier import release_summary
from gateway.flow.gate import Gate
from gateway.flow.recording import ReleaseMode
from simulators import House, candidate, cleanse, csv_track, route, sweep


def planted(hidden: bytes) -> bytes:
    """A sweep with something among its points that no reader of sweeps would miss or mind."""
    whole = sweep(2000)
    return whole[: len(whole) // 2] + hidden + whole[len(whole) // 2 :]


def positions(fixes: int) -> bytes:
    """True fixes as y and z of points within range: latitude and longitude in degrees."""
    lats, lons = (np.array(axis[100 : 100 + fixes], dtype="<f4") for axis in route())
    return np.stack([np.zeros_like(lats), lats, lons, np.zeros_like(lats)], axis=1).tobytes()


@pytest.mark.parametrize("mode", [ReleaseMode.LOCAL, ReleaseMode.OFFSET])
def test_a_sweep_that_hides_true_positions_is_left_out(
    sqlite_gate: Gate, sqlite_house: House, mode: ReleaseMode
):
    files = {"drive.csv": csv_track(), "honest/a.bin": sweep(2000), "hidden/b.bin": planted(positions(60))}
    recording = cleanse(sqlite_gate, files, captured={}, attestation="a closed test track")
    release = candidate(sqlite_gate, sqlite_house, recording, mode=mode)
    summary = release_summary(sqlite_gate, release)
    assert list(summary["left_out"].values()) == ["residual_found"]
    assert min(item["class"] for item in summary["items"]) == "POINT_CLOUD"
    assert len(summary["items"]) == 2
