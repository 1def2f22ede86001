import hashlib
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from anonymize.formats.track import Track
from anonymize.geo.clips import plan_clips
from anonymize.geo.offset_plan import plan_offset
from anonymize.geo.zones import ZoneSet
from anonymize.profile import shipped_profile

KEY = hashlib.sha256(b"release").digest()
CONTEXT = b"recording"
BEGIN = 1317042145.0


@pytest.fixture(scope="session")
def kitti_object() -> Path:
    root = Path(os.environ.get("FLEETGATE_SHARED", Path(__file__).resolve().parents[4] / "shared"))
    folder = root / "data" / "formats" / "kitti_object"
    if not folder.is_dir():
        pytest.skip("the real samples are not here (FLEETGATE_SHARED names their folder)")
    return folder


@pytest.fixture(scope="session")
def profile():
    return shipped_profile("cn-2026").profile.tracks


@pytest.fixture(scope="session")
def point_profile():
    return shipped_profile("cn-2026").profile.points


class Drive:
    """A car that drives about at 10 records a second, as KITTI's GPS/IMU writes it."""

    def __init__(self, seconds: float = 600.0, lat: float = 49.01, lon: float = 8.43, seed: int = 3):
        n = int(seconds * 10)
        rng = np.random.default_rng(seed)
        self.t = BEGIN + np.arange(n) * 0.1
        self.yaw = 0.4 + np.cumsum(rng.normal(0.0, 0.01, n))
        speed = 10.0 + np.sin(np.arange(n) / 50.0)
        self.ve, self.vn = speed * np.cos(self.yaw), speed * np.sin(self.yaw)
        self.east, self.north = np.cumsum(self.ve * 0.1), np.cumsum(self.vn * 0.1)
        self.lat = lat + self.north / 111_210.0
        self.lon = lon + self.east / (111_320.0 * np.cos(np.radians(lat)))
        self.alt = 115.0 + np.sin(np.arange(n) / 90.0)
        self.speed = speed
        self.rng = rng

    def record(self, i: int) -> str:
        motion = [0.02, -0.01, self.yaw[i], self.vn[i], self.ve[i], self.speed[i], 0.01, 0.02]
        imu = self.rng.normal(0.0, 0.1, 12).tolist()
        place = [f"{self.lat[i]:.14g}", f"{self.lon[i]:.14g}", f"{self.alt[i]:.14g}"]
        return (
            " ".join([*place, *(f"{v:.14g}" for v in (*motion, *imu, 0.06, 0.013)), "4", "9", "6", "6", "6"])
            + "\n"
        )

    def oxts(self, index=None) -> bytes:
        return "".join(self.record(i) for i in (range(len(self.t)) if index is None else index)).encode()

    def timestamps(self) -> bytes:
        start = datetime(1970, 1, 1, tzinfo=UTC)
        lines = [
            (start + timedelta(seconds=float(t))).strftime("%Y-%m-%d %H:%M:%S.%f") + "389\n" for t in self.t
        ]
        return "".join(lines).encode()

    def times(self) -> bytes:
        return "".join(f"{t - self.t[0]:.6e}\n" for t in self.t).encode()

    def poses(self, index=None) -> bytes:
        """Camera poses: x right, y down, z forward, in the camera's frame at the first line."""
        index = np.arange(len(self.t)) if index is None else np.asarray(index)
        yaw0 = self.yaw[index[0]]
        rows = []
        for i in index:
            de, dn = self.east[i] - self.east[index[0]], self.north[i] - self.north[index[0]]
            forward = de * np.cos(yaw0) + dn * np.sin(yaw0)
            right = de * np.sin(yaw0) - dn * np.cos(yaw0)
            a = self.yaw[i] - yaw0
            down = -(self.alt[i] - self.alt[index[0]])
            row = [np.cos(a), 0, -np.sin(a), right, 0, 1, 0, down, np.sin(a), 0, np.cos(a), forward]
            rows.append(" ".join(f"{v:.6e}" for v in row))
        return "\n".join([*rows, ""]).encode()

    def track(self) -> Track:
        return Track(
            lat=self.lat,
            lon=self.lon,
            time_s=self.t,
            elevation_m=np.full(len(self.t), np.nan),
            speed_mps=self.speed,
            segment=np.zeros(len(self.t), np.int32),
            crs="EPSG:4326",
        )


@pytest.fixture(scope="session")
def drive():
    return Drive()


@pytest.fixture(scope="session")
def clips(drive, profile):
    return plan_clips(drive.track(), key=KEY, context=CONTEXT, profile=profile)


@pytest.fixture(scope="session")
def offset(drive, profile):
    return plan_offset(drive.track(), key=KEY, context=CONTEXT, profile=profile)


def zone_set(lat: float, lon: float, half_m: float = 60.0) -> ZoneSet:
    y, x = half_m / 111_200.0, half_m / (111_200.0 * np.cos(np.radians(lat)))
    ring = [
        [lon - x, lat - y],
        [lon + x, lat - y],
        [lon + x, lat + y],
        [lon - x, lat + y],
        [lon - x, lat - y],
    ]
    zone = {
        "type": "Feature",
        "properties": {"id": "z", "kind": "MIL", "margin_m": 20.0},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    return ZoneSet.from_geojson(
        json.dumps({"type": "FeatureCollection", "name": "test", "version": 1, "features": [zone]}).encode()
    )


@pytest.fixture(scope="session")
def zones():
    return zone_set


@pytest.fixture(scope="session")
def make_drive():
    return Drive
