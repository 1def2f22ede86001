import os
from pathlib import Path

import pytest

from anonymize.profile import PointProfile, TrackProfile, shipped_profile


@pytest.fixture(scope="session")
def shared() -> Path:
    root = Path(os.environ.get("FLEETGATE_SHARED", Path(__file__).resolve().parents[4] / "shared"))
    if not (root / "data" / "formats").is_dir():
        pytest.skip("the real samples are not here (FLEETGATE_SHARED names their folder)")
    return root / "data" / "formats"


@pytest.fixture(scope="session")
def profile() -> TrackProfile:
    return shipped_profile("cn-2026").profile.tracks


@pytest.fixture(scope="session")
def point_profile() -> PointProfile:
    return shipped_profile("cn-2026").profile.points
