import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anonymize.formats.track import Track
from anonymize.geo.ellipsoid import wrap_degrees
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


def drive(
    *, fixes: int = 2000, lat: float = 39.9, lon: float = 116.3, seed: int = 1, step_m: float = 8.0
) -> Track:
    """A winding drive at one fix per second."""
    rng = np.random.default_rng(seed)
    heading = np.cumsum(rng.normal(0.0, 0.05, fixes)) + rng.uniform(0.0, 2.0 * np.pi)
    north = np.cumsum(step_m * np.cos(heading)) / 111_200.0
    east = np.cumsum(step_m * np.sin(heading)) / (111_200.0 * np.cos(np.radians(lat)))
    return Track(
        lat=lat + north,
        lon=wrap_degrees(lon + east),
        time_s=1.7e9 + np.arange(fixes, dtype=np.float64),
        elevation_m=np.full(fixes, 43.5),
        speed_mps=np.full(fixes, step_m),
        segment=np.zeros(fixes, np.int32),
        crs="EPSG:4326",
    )


def square(lat: float, lon: float, half_m: float) -> list[list[list[float]]]:
    """A square about a position, as GeoJSON coordinates."""
    y, x = half_m / 111_200.0, half_m / (111_200.0 * np.cos(np.radians(lat)))
    ring = [
        [lon - x, lat - y],
        [lon + x, lat - y],
        [lon + x, lat + y],
        [lon - x, lat + y],
        [lon - x, lat - y],
    ]
    return [[[float(a), float(b)] for a, b in ring]]


def zone_file(*zones: dict[str, Any]) -> bytes:
    """A zone file; each zone gives ``coordinates`` and optionally ``kind``, ``margin_m``, ``type`` and
    ``id``."""
    features = [
        {
            "type": "Feature",
            "properties": {
                "id": zone.get("id", f"zone-{number}"),
                "kind": zone.get("kind", "MIL"),
                "margin_m": zone.get("margin_m", 0.0),
            },
            "geometry": {"type": zone.get("type", "Polygon"), "coordinates": zone["coordinates"]},
        }
        for number, zone in enumerate(zones)
    ]
    return json.dumps(
        {"type": "FeatureCollection", "name": "test", "version": 1, "features": features}
    ).encode()


@pytest.fixture(name="drive", scope="session")
def _drive() -> Callable[..., Track]:
    return drive


@pytest.fixture(name="square", scope="session")
def _square() -> Callable[..., list[list[list[float]]]]:
    return square


@pytest.fixture(name="zone_file", scope="session")
def _zone_file() -> Callable[..., bytes]:
    return zone_file
