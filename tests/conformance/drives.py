"""Image-free trips that differ by a seed, so that each may be released once."""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np

from gateway.flow.recording import ReleaseMode
from simulators import ORIGIN, START

KEYED = (ReleaseMode.LOCAL, ReleaseMode.OFFSET)
"""The modes that need no recognised processor."""

# Within the first clip of a LOCAL release; the trims of an OFFSET release leave it out.
CAPTURED: Mapping[str, datetime] = {"lidar/000000.bin": START + timedelta(seconds=10)}


def fixes(seed: int, count: int = 400, step_m: float = 12.0) -> list[tuple[float, float]]:
    """Latitudes and longitudes of a straight drive east, one fix per second; seeds lie eleven metres apart.

    Together they stay below the area that one recipient may hold (rule 18).
    """
    step = step_m / (111_320 * math.cos(math.radians(ORIGIN[0])))
    latitude = ORIGIN[0] + 0.0001 * (seed % 50)
    return [(latitude, ORIGIN[1] + 0.2 * (seed // 50) + i * step) for i in range(count)]


def track(seed: int, count: int = 400) -> bytes:
    rows = ["time,lat,lon,speed"]
    for i, (lat, lon) in enumerate(fixes(seed, count)):
        moment = (START + timedelta(seconds=i)).strftime("%Y-%m-%dT%H:%M:%SZ")
        rows.append(f"{moment},{lat:.7f},{lon:.7f},12.0")
    return ("\n".join(rows) + "\n").encode()


def sweep(seed: int, count: int = 500) -> bytes:
    generator = np.random.default_rng(seed)
    points = generator.uniform(-40, 40, (count, 4))
    points[:, 2:] = generator.uniform(0, 1, (count, 2))
    return points.astype("<f4").tobytes()


def trip(seed: int) -> dict[str, bytes]:
    """A track and a sweep: every stage in well under a second, no analyzer, no detector."""
    return {"drive.csv": track(seed), "lidar/000000.bin": sweep(seed)}
